package router

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/router/fib"
	"github.com/moat-router/moat/stack/packet"
)

// deliver is the end of INPUT: the packet is for the router. Sockets are gVisor's (stack/host); echo replies, resets
// and errors are made here, since they must be Linux's to the byte.
func (w *worker) deliver(p *passage) packet.Reason {
	if p.V6 {
		if why := w.destinationHeaders6(p); why != packet.ReasonNone {
			return why
		}
	}
	switch p.Proto {
	case protoICMP:
		if !p.V6 {
			return w.deliverICMP(p)
		}
	case protoICMPv6:
		if p.V6 {
			return w.deliverICMPv6(p)
		}
	case protoTCP:
		return w.deliverTCP(p)
	case protoUDP, protoUDPLite:
		return w.deliverUDP(p)
	case 59: // no next header: there is nothing to deliver (RFC 8200 4.7)
		if p.V6 {
			return packet.ReasonLocalIgnored
		}
	}
	if p.V6 {
		// Parameter problem, code 1: the pointer is at the next-header field that nobody knows (RFC 4443 3.4).
		w.icmpError(p, errProtocol, uint32(p.NextHeaderOffset()))
		return packet.ReasonNoProtocol
	}
	w.icmpError(p, errProtocol, 0)
	return packet.ReasonNoProtocol
}

// toSocket hands p to the socket that waits for it, if there is one.
func (w *worker) toSocket(p *passage) (taken bool, why packet.Reason) {
	if !w.r.host.HasSocket(p.Packet.Packet) {
		return false, packet.ReasonNone
	}
	p.CompleteChecksum()
	if p.Proto == protoTCP {
		w.r.heard.note(p.Packet.Packet)
	}
	if !w.r.host.Deliver(p.Packet.Packet, p.in.Index) {
		return true, packet.ReasonHostFull
	}
	return true, packet.ReasonNone
}

// deliverTCP: to a socket, else it is refused with a reset (tcp_v4_rcv, tcp_v6_rcv).
func (w *worker) deliverTCP(p *passage) packet.Reason {
	if _, ok := p.TCPOptions(); !ok || !p.localSumOK() {
		return packet.ReasonLocalChecksum
	}
	if !w.r.host.Refuses(p.Packet.Packet) {
		if taken, why := w.toSocket(p); taken {
			return why
		}
	}
	w.sendReset(p, true)
	return packet.ReasonNoSocket
}

// deliverUDP: to a socket, else it is refused with an ICMP error (__udp4_lib_rcv, __udp6_lib_rcv). What lies behind the
// length that UDP gives is cut off first, also in the quote. IPv6 and UDP-Lite demand a checksum (RFC 8200 8.1, RFC 3828
// 3.1).
func (w *worker) deliverUDP(p *passage) packet.Reason {
	b := p.L4Bytes()
	if len(b) < 8 {
		return packet.ReasonLocalChecksum
	}
	n := int(binary.BigEndian.Uint16(b[4:]))
	none := b[6]|b[7] == 0
	if p.Proto == protoUDPLite {
		if none || n != 0 && (n < 8 || n > len(b)) {
			return packet.ReasonLocalChecksum
		}
	} else {
		if n == 0 && p.V6 {
			n = len(b)
		}
		if n < 8 || n > len(b) || none && p.V6 {
			return packet.ReasonLocalChecksum
		}
		if n < len(b) {
			p.Summed = packet.Summed{} // what conntrack has summed up was more
		}
		p.Data = p.Data[:p.L4+n]
	}
	if p.staleSum() || !p.SumStands() && !p.liteOrWholeSumOK(n) {
		return packet.ReasonLocalChecksum
	}
	if taken, why := w.toSocket(p); taken {
		return why
	}
	if p.dest.Type == fib.Local || p.V6 && p.dest.Type == fib.Anycast {
		// UDP has let go of the connection by now: unlike other errors this one finds it again by its quote.
		w.CT.Release(&p.CT)
		p.CT = conntrack.Ref{}
		w.icmpError(p, errPort, 0)
	}
	return packet.ReasonNoSocket
}

// staleSum tells whether Linux would take the checksum of a UDP packet for wrong although it may be right: a hook has
// summed up the whole packet, header included, and then a rule changed the header (TOS, hop limit), which in IPv6 no
// checksum of its own makes up for. UDP trusts such a sum where it would be long to compute (CHECKSUM_BREAK).
func (p *passage) staleSum() bool {
	const short = 76
	return p.SumStale() && len(p.L4Bytes()) > short
}

// localSumOK is TransportSumOK for a packet that is delivered here.
func (p *passage) localSumOK() bool { return p.SumStands() || p.TransportSumOK() }

// liteOrWholeSumOK verifies a UDP checksum, or that of UDP-Lite over the bytes that it covers (n; 0 is all).
func (p *passage) liteOrWholeSumOK(n int) bool {
	if p.Proto != protoUDPLite || p.CsumGood || p.NeedsCsum {
		return p.TransportSumOK()
	}
	b := p.L4Bytes()
	if n == 0 {
		n = len(b)
	}
	src, dst := p.Src(), p.Dst()
	return checksum.Checksum(b[:n], packet.PseudoSum(src.Wire(p.V6), dst.Wire(p.V6), protoUDPLite, len(b))) == 0xffff
}

// deliverICMP answers echo and timestamp requests (RFC 792, RFC 1122 3.2.2.6 and 3.2.2.8). Errors about packets of
// our own sockets go to them.
func (w *worker) deliverICMP(p *passage) packet.Reason {
	h := p.L4Bytes()
	if len(h) < 8 || !p.localSumOK() {
		return packet.ReasonLocalChecksum
	}
	broad := p.dest.Type == fib.Broadcast || p.dest.Type == fib.Multicast
	switch h[0] {
	case 8:
		if w.s.sys.ICMPEchoIgnoreAll || broad && w.s.sys.ICMPEchoIgnoreBroadcasts {
			return packet.ReasonLocalIgnored
		}
		w.icmpReply(p, len(h), func(b []byte) { b[0] = 0 })
		return packet.ReasonNone
	case 13:
		if broad && w.s.sys.ICMPEchoIgnoreBroadcasts || len(h) < 20 {
			return packet.ReasonLocalIgnored
		}
		ms := w.msOfDay()
		w.icmpReply(p, 20, func(b []byte) {
			b[0] = 14
			binary.BigEndian.PutUint32(b[12:], ms) // received
			binary.BigEndian.PutUint32(b[16:], ms) // sent
		})
		return packet.ReasonNone
	case 3, 4, 5, 11, 12:
		return w.errorToSocket(p)
	}
	return packet.ReasonLocalIgnored
}

// errorToSocket hands an ICMP error to the socket that sent what it quotes.
func (w *worker) errorToSocket(p *passage) packet.Reason {
	w.learnPMTU(p)
	if !w.r.host.HasSocket(p.Packet.Packet) {
		return packet.ReasonLocalIgnored
	}
	if !w.r.host.Deliver(p.Packet.Packet, p.in.Index) {
		return packet.ReasonHostFull
	}
	return packet.ReasonNone
}

// icmpReply answers an ICMP query with the first n of its own bytes, after edit has made a reply of them.
func (w *worker) icmpReply(p *passage, n int, edit func(icmp []byte)) {
	if w.sending[family(p)] {
		return
	}
	src := p.Dst()
	if p.dest.Type != fib.Local {
		src = packet.Addr{} // asked of a broadcast or multicast address: the route's own source
	}
	k := fib.Key{V6: p.V6, Dst: p.Src(), Src: src, Mark: w.s.replyMark(p)}
	if !p.V6 {
		k.TOS = p.TOS() & 0x1e
	} else {
		k.OIF = p.in.Index // rules see it; the way out it is only where the source is not given, or means something on its link only
	}
	dest := w.s.fib.Lookup(k)
	if !reachable(dest) {
		return
	}
	if src.IsZero() {
		src = dest.PrefSrc
	}
	q := w.make()
	l4 := p.L4Bytes()[:n]
	if p.V6 {
		q.SetLen(40 + len(l4))
		putHeader6(q.Data, protoICMPv6, p.TOS(), w.hops(true, dest), src, p.Src())
		copy(q.Data[40:], l4)
		edit(q.Data[40:])
	} else {
		options, own, ok := w.echoOptions(p, src)
		if !ok {
			w.end(q, packet.ReasonNone)
			return
		}
		q.options = own
		hdr := 20 + len(options)
		q.SetLen(hdr + len(l4))
		copy(q.Data[20:], options)
		putHeader4(q.Data, hdr, protoICMP, p.TOS(), w.s.ttl(), uint16(w.Rand.Uint32()), false, src, p.Src())
		copy(q.Data[hdr:], l4)
		edit(q.Data[hdr:])
	}
	q.Parse()
	q.PutTransportChecksum()
	q.Mark = k.Mark
	q.dest = dest
	if out := w.r.dev(dest.Dev); out != nil {
		q.fits = w.pathMTU(q, out)
	}
	w.sendICMP(q)
}

// deliverICMPv6 answers echo requests (RFC 4443 4.2) and neighbour solicitations for our own addresses (RFC 4861 7.2.4;
// the links have no link-layer addresses, so the advertisement holds none).
func (w *worker) deliverICMPv6(p *passage) packet.Reason {
	h := p.L4Bytes()
	if len(h) < 8 || !p.localSumOK() {
		return packet.ReasonLocalChecksum
	}
	switch {
	case h[0] == 128:
		if w.s.sys.ICMPv6EchoIgnoreAll || p.dest.Type == fib.Multicast && w.s.sys.ICMPv6EchoIgnoreMulticast ||
			p.dest.Type == fib.Anycast && w.s.sys.ICMPv6EchoIgnoreAnycast {
			return packet.ReasonLocalIgnored
		}
		w.icmpReply(p, len(h), func(b []byte) { b[0] = 129 })
		return packet.ReasonNone
	case h[0] == 135:
		return w.solicited(p, h)
	case h[0] < 128:
		return w.errorToSocket(p)
	}
	return packet.ReasonLocalIgnored
}

// solicited answers a neighbour solicitation that asks for one of our addresses on its own link.
func (w *worker) solicited(p *passage, h []byte) packet.Reason {
	if len(h) < 24 || p.TTL() != 255 || h[1] != 0 || p.Src() == (packet.Addr{}) {
		return packet.ReasonLocalIgnored
	}
	target := packet.Addr6(h[8:24])
	if target[0] == 0xff || !w.s.fib.Owns(target, p.in.Index) {
		return packet.ReasonLocalIgnored
	}
	dest := w.s.fib.Lookup(fib.Key{V6: true, Dst: p.Src(), Src: target, OIF: p.in.Index})
	if !reachable(dest) {
		return packet.ReasonLocalIgnored
	}
	q := w.make()
	q.SetLen(40 + 24)
	putHeader6(q.Data, protoICMPv6, 0, 255, target, p.Src())
	b := q.Data[40:]
	clear(b)
	const router, solicited = 1 << 7, 1 << 6 // no override: there is no link-layer address to override
	b[0], b[4] = 136, router|solicited
	copy(b[8:], target[:])
	q.Parse()
	q.PutTransportChecksum()
	q.dest = dest
	w.nested(q, w.output)
	return packet.ReasonNone
}
