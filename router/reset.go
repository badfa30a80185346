package router

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/moat-router/moat/router/fib"
	"github.com/moat-router/moat/stack/packet"
)

// sendReset answers a TCP segment with a reset (RFC 9293 3.10.7.1): to a closed port of ours, or because REJECT
// --reject-with tcp-reset says so. A reset is never answered, nor a segment with a wrong checksum, nor a fragment.
//
// The stack's own reset reflects the DSCP and is a packet like any other to conntrack; REJECT's has TOS 0 and belongs to
// the connection of the segment that it answers (nf_send_reset attaches it).
func (w *worker) sendReset(p *passage, fromStack bool) {
	t, ok := p.TCP()
	if !ok || p.FragOff != 0 || t.Flags()&header.TCPFlagRst != 0 || !fromStack && !p.hookSumOK() {
		return
	}
	if p.dest.Type == fib.Broadcast || p.dest.Type == fib.Multicast || fromStack && p.dest.Type == fib.Anycast {
		return
	}
	if o, ok := p.TCPOptions(); fromStack && (!ok || !answersSignature(o, p.V6)) {
		return
	}
	src, dst := p.Dst(), p.Src()
	if p.V6 && (src[0] == 0xff || dst[0] == 0xff || !fromStack && (unanswerable6(src) || unanswerable6(dst))) {
		return
	}
	k := fib.Key{V6: p.V6, Dst: dst, Src: src, Mark: w.s.replyMark(p)}
	tos := uint8(0)
	if fromStack {
		tos = p.TOS() &^ 3
		if !p.V6 {
			k.TOS = tos & 0x1e
		} else if dst[0] == 0xfe && dst[1]&0xc0 == 0x80 {
			k.OIF = p.in.Index // a link-local address means something on its link only
		}
	}
	if !p.V6 {
		// A REJECT in FORWARD answers in the name of an address that is not ours: any source will do.
		if t := w.s.fib.AddrType(false, src, 0); t != fib.Local && t != fib.Unicast && !fromStack {
			k.Src = packet.Addr{}
		}
	}
	dest := w.s.fib.Lookup(k)
	if !reachable(dest) {
		return
	}

	l4 := 40
	var options []byte
	var own packet.IPOptions
	if !p.V6 {
		if fromStack {
			if options, own, ok = w.echoOptions(p, src); !ok {
				return
			}
		}
		l4 = 20 + len(options)
	}
	q := w.make()
	q.SetLen(l4 + header.TCPMinimumSize)
	if p.V6 {
		putHeader6(q.Data, protoTCP, tos, w.hops(true, dest), src, dst)
	} else {
		copy(q.Data[20:], options)
		putHeader4(q.Data, l4, protoTCP, tos, w.s.ttl(), 0, true, src, dst)
	}
	b := q.Data[l4:]
	clear(b)
	copy(b[0:2], t[2:4])
	copy(b[2:4], t[0:2])
	b[12] = 5 << 4
	if f := t.Flags(); f&header.TCPFlagAck != 0 {
		copy(b[4:8], t[8:12]) // our sequence number is what the other side expects
		b[13] = uint8(header.TCPFlagRst)
	} else {
		n := uint32(len(t) - int(t.DataOffset()))
		if f&header.TCPFlagSyn != 0 {
			n++
		}
		if f&header.TCPFlagFin != 0 {
			n++
		}
		binary.BigEndian.PutUint32(b[8:], t.SequenceNumber()+n)
		b[13] = uint8(header.TCPFlagRst | header.TCPFlagAck)
	}
	q.Parse()
	q.PutTransportChecksum()
	q.Mark = k.Mark
	q.dest = dest
	q.options = own
	if !fromStack {
		q.CT = p.CT.ForError()
		w.CT.SetClosing(w.now, &p.CT)
	}
	w.nested(q, w.output)
}

// unanswerable6 tells whether an IPv6 address is one with which REJECT resets nothing: the unspecified one, and IPv4 addresses
// in IPv6's clothes, which ipv6_addr_type does not call unicast.
func unanswerable6(a packet.Addr) bool { return a == packet.Addr{} || a.Is4() }

// answersSignature tells whether the stack answers a segment with these options by a reset. It looks for a signature
// (RFC 2385, 5925) first: with one there would have to be a key for it, and there is none; options that cannot be read are
// not answered. Less than an MD5 signature takes is not read at all, and IPv6 does not mind TCP-AO (tcp_do_parse_auth_options,
// tcp_v4_send_reset, tcp_v6_send_reset).
func answersSignature(options []byte, v6 bool) bool {
	const md5, ao, md5Len = 19, 29, 18
	signed := false
	for o := options; len(o) >= md5Len; {
		switch o[0] {
		case header.TCPOptionEOL:
			return !signed
		case header.TCPOptionNOP:
			o = o[1:]
			continue
		}
		if o[1] < 2 || int(o[1]) > len(o) || o[0] == md5 && o[1] != md5Len || o[0] == ao && o[1] <= 4 {
			return false
		}
		signed = signed || o[0] == md5 || o[0] == ao && !v6
		o = o[o[1]:]
	}
	return !signed
}
