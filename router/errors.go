package router

import (
	"encoding/binary"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/router/fib"
	"github.com/moat-router/moat/stack/packet"
)

// icmpKind is one kind of ICMP error in both families: type and code, indexed by policy.Family.
type icmpKind [policy.NumFamilies]struct{ typ, code uint8 }

// The errors that routers and hosts send (RFC 792, RFC 1812 5.2.7, RFC 4443 3). What a family does not have has
// typ 255.
var (
	errTTL         = icmpKind{{11, 0}, {3, 0}}
	errReassembly  = icmpKind{{11, 1}, {3, 1}}
	errTooBig      = icmpKind{{3, 4}, {2, 0}}
	errNoRoute     = icmpKind{{3, 0}, {1, 0}}
	errUnreachable = icmpKind{{3, 1}, {1, 0}}
	errProhibited  = icmpKind{{3, 13}, {1, 1}}
	errPort        = icmpKind{{3, 3}, {1, 4}}
	errProtocol    = icmpKind{{3, 2}, {4, 1}}
	errParameter   = icmpKind{{12, 0}, {4, 0}}
	errNotNeighbor = icmpKind{{255, 0}, {1, 2}}
	errRedirect    = icmpKind{{5, 1}, {255, 0}}
)

const (
	protoICMP    = 1
	protoTCP     = 6
	protoUDP     = 17
	protoGRE     = 47
	protoESP     = 50
	protoAH      = 51
	protoICMPv6  = 58
	protoSCTP    = 132
	protoUDPLite = 136

	// RFC 1812 4.3.2.3: an IPv4 error holds as much of the packet as fits into 576 bytes in all; RFC 4443 2.4(c): an
	// IPv6 error as much as fits the minimum MTU of 1280.
	maxError4 = 576
	maxError6 = 1280
)

// icmpError sends an error about p, as p is at this moment: what a rule or a hook has changed shows in the quote
// until the translation of RELATED packets undoes it at POSTROUTING. info is the second word of the header: an MTU, a
// pointer, a gateway.
func (w *worker) icmpError(p *passage, kind icmpKind, info uint32) {
	k := kind[policy.FamilyOf(p.V6)]
	if k.typ == 255 || w.sending[family(p)] || !w.mayAnswer(p, k.typ, k.code) {
		return
	}
	src, ok := w.errorSource(p)
	if !ok {
		return
	}
	key := fib.Key{V6: p.V6, Dst: p.Src(), Src: src, Mark: w.s.replyMark(p)}
	if !p.V6 {
		key.TOS = p.TOS() & 0x1e
	} else if p.in != nil && linkLocal(key.Dst) {
		key.OIF = p.in.Index // a link-local address means something on its link only
	}
	dest := w.s.fib.Lookup(key)
	if !reachable(dest) || p.V6 && dest.Type == fib.Anycast && !w.s.sys.ICMPv6ErrorAnycastAsOurs {
		return
	}
	if src.IsZero() {
		src = w.errorSourceFromRoute(p, dest)
	}
	if !w.r.limits.allow(w, p.V6, k.typ, k.code, p.Src(), dest) {
		w.stats.drops[packet.ReasonRateLimit].Add(1)
		return
	}

	options, own, ok := w.echoOptions(p, src)
	if !ok {
		return
	}
	q := w.make()
	about := w.cut.First(p.Packet.Packet)
	about.CompleteChecksum() // a quote must be what the receiver would have seen
	buildError(q.Packet.Packet, about, options, src, k.typ, k.code, info, w.hops(p.V6, dest), w.Rand.Uint32(), w.errorRoom(p, dest))
	q.options = own
	q.CT = p.CT.ForError()
	q.Trace = p.Trace && w.r.cfg.TraceRelated
	q.Mark = key.Mark
	q.dest = dest
	w.sendICMP(q)
}

// sendICMP sends an ICMP message of ours.
func (w *worker) sendICMP(q *passage) {
	f := family(q)
	w.sending[f] = true
	w.nested(q, w.output)
	w.sending[f] = false
}

// hops is the TTL or hop limit of a packet that the router makes.
func (w *worker) hops(v6 bool, dest fib.Result) uint8 {
	if v6 {
		if dest.Type == fib.Local || dest.Type == fib.Anycast {
			return w.s.hopLimit(w.r.lo.Index)
		}
		return w.s.hopLimit(dest.Dev)
	}
	return w.s.ttl()
}

// errorRoom is how long an error about p may be, from its IP header on: of IPv4 no longer than the path back to the sender takes
// whole (__icmp_send).
func (w *worker) errorRoom(p *passage, dest fib.Result) int {
	if p.V6 {
		return maxError6
	}
	room := maxError4
	if dest.MTU != 0 {
		room = min(room, dest.MTU)
	} else if out := w.r.dev(dest.Dev); out != nil {
		room = min(room, int(out.mtu.Load()))
	}
	if known, ok := w.r.paths.known(p.Src(), w.now); ok {
		room = min(room, known.mtu)
	}
	return room
}

// buildError writes the error into b: an IP header, the eight bytes of ICMP and the quote, in all no more than room.
func buildError(b, about *packet.Packet, options []byte, src packet.Addr, typ, code uint8, info uint32, ttl uint8, id uint32, room int) {
	quote := about.Data
	if about.V6 {
		quote = quote[:min(len(quote), room-40-8)]
		b.SetLen(40 + 8 + len(quote))
		putHeader6(b.Data, protoICMPv6, 0, ttl, src, about.Src())
	} else {
		hdr := 20 + len(options)
		quote = quote[:min(len(quote), max(room-hdr-8, 0))]
		b.SetLen(hdr + 8 + len(quote))
		copy(b.Data[20:], options)
		tos := about.TOS()
		if typ == 3 || typ == 4 || typ == 5 || typ == 11 || typ == 12 {
			tos = tos&0x1e | 0xc0 // RFC 1812 4.3.2.5: precedence of an error is INTERNETWORK CONTROL
		}
		putHeader4(b.Data, hdr, protoICMP, tos, ttl, uint16(id), false, src, about.Src())
	}
	l4 := len(b.Data) - 8 - len(quote)
	h := b.Data[l4:]
	h[0], h[1] = typ, code
	h[2], h[3] = 0, 0
	binary.BigEndian.PutUint32(h[4:], info)
	copy(h[8:], quote)
	b.Parse()
	b.PutTransportChecksum()
}

// mayAnswer says whether an error about p may be sent at all: RFC 1122 3.2.2, RFC 4443 2.4(e).
func (w *worker) mayAnswer(p *passage, typ, code uint8) bool {
	if p.FragOff != 0 && !p.V6 {
		return false // only the first fragment of a datagram is answered
	}
	if p.dest.Type == fib.Broadcast || p.dest.Type == fib.Multicast && !p.V6 {
		return false
	}
	src, dst := p.Src(), p.Dst()
	if !p.V6 {
		return !(p.Proto == protoICMP && p.quotesNothing4())
	}
	if dst[0] == 0xff && typ != 2 && !(typ == 4 && code == 2) {
		return false
	}
	if src == (packet.Addr{}) || src[0] == 0xff {
		return false
	}
	return !p.ineligible6()
}

// quotesNothing4 tells whether an ICMP packet is itself an error, or of a type that nobody knows: no error about it.
func (p *passage) quotesNothing4() bool {
	h := p.L4Bytes()
	if len(h) < 1 {
		return true
	}
	switch h[0] {
	case 0, 8, 13, 14, 15, 16, 17, 18: // router discovery (9, 10) counts as an error in Linux
		return false
	}
	return true
}

// ineligible6 is the same for ICMPv6: error types are those below 128. A chain that cannot be walked to its end is
// answered (Linux is_ineligible).
func (p *passage) ineligible6() bool {
	if p.ExtBad || p.Proto != protoICMPv6 || p.FragOff != 0 {
		return false
	}
	h := p.L4Bytes()
	return len(h) < 1 || h[0] < 128
}

// errorSource is the address that an error about p comes from, if the packet itself decides that: its own
// destination, if that is ours. Zero leaves it to the route.
func (w *worker) errorSource(p *passage) (packet.Addr, bool) {
	dst := p.Dst()
	if p.dest.Type == fib.Local && !p.V6 {
		return dst, true
	}
	if p.V6 {
		if w.s.fib.Owns(dst, 0) || p.dest.Type == fib.Anycast {
			return dst, true
		}
		return packet.Addr{}, true
	}
	if p.in != nil && w.s.sys.ICMPErrorsUseInboundIfaddr {
		return w.s.fib.SelectAddr(false, p.in.Index, p.Src(), fib.ScopeLink), true
	}
	return packet.Addr{}, true
}

func (w *worker) errorSourceFromRoute(p *passage, dest fib.Result) packet.Addr {
	in := p.in
	if in == nil {
		in = p.came
	}
	if p.V6 && in != nil {
		if a := w.s.fib.SelectAddr(true, in.Index, p.Src(), fib.ScopeUniverse); !a.IsZero() {
			return a
		}
	}
	if !dest.PrefSrc.IsZero() {
		return dest.PrefSrc
	}
	if p.V6 {
		return packet.Addr{}
	}
	return packet.Addr{10: 0xff, 11: 0xff, 12: 192, 15: 8} // RFC 7600: the dummy address 192.0.0.8
}

func reachable(d fib.Result) bool {
	switch d.Type {
	case fib.Unicast, fib.Local, fib.Broadcast, fib.Anycast, fib.Multicast:
		return true
	}
	return false
}

// reject sends the answer that a REJECT target asked for.
func (w *worker) reject(p *passage) {
	r := p.Reject
	p.Reject = policy.RejectWith{}
	if r.Kind == policy.RejectTCPReset {
		w.sendReset(p, false)
		return
	}
	if p.FragOff != 0 && !p.V6 || !p.answerable() {
		return
	}
	kind := icmpKind{{r.Type, r.Code}, {r.Type, r.Code}}
	w.icmpError(p, kind, r.Info)
}

// answerable tells whether the checksum allows an answer: to a damaged packet none is sent, as its sender may be another.
// Linux (nf_reject_verify_csum) leaves out protocols whose checksum is optional or of another kind, and takes every
// protocol it does not know for one with an internet checksum from its first byte on.
func (p *passage) answerable() bool {
	if p.SumUnnecessary() {
		return true
	}
	b := p.L4Bytes()
	if p.V6 && (p.FragOff != 0 || p.ExtBad || len(b) == 0) {
		return false
	}
	switch p.Proto {
	case protoUDP:
		if len(b) >= 8 && b[6] == 0 && b[7] == 0 {
			return true
		}
	case protoGRE, protoESP, protoAH, protoSCTP, protoUDPLite:
		return true
	}
	return p.hookSumOK()
}

// hookSumOK is what a hook finds that asks for the checksum.
func (p *passage) hookSumOK() bool {
	return p.SumOK(p.Hook == policy.PreRouting || p.Hook == policy.Input)
}
