package router

import (
	"encoding/binary"

	"github.com/moat-router/moat/stack/defrag"
	"github.com/moat-router/moat/stack/packet"
)

// arrive6 is what ip6_rcv_core asks beyond lengths: addresses that may not stand on a wire (RFC 4291 2.5.3, 2.7), and
// the hop-by-hop options, which every node on the path processes (RFC 8200 4.3).
func (w *worker) arrive6(p *passage) packet.Reason {
	src, dst := p.Src(), p.Dst()
	loopback := packet.Addr{15: 1}
	lo := p.in == w.r.lo
	switch {
	case !lo && (src == loopback || dst == loopback):
		return packet.ReasonMartianSource
	case src[0] == 0xff:
		return packet.ReasonMartianSource
	case dst[0] == 0xff && (dst[1]&0xf == 0 || dst[1]&0xf == 1 && !lo):
		return packet.ReasonMartianDest
	}
	if p.Data[6] != 0 {
		return packet.ReasonNone
	}
	_, problem, why := p.CheckHopByHop(maxOptions6)
	w.parameterProblem(p, problem)
	return why
}

// maxOptions6 is how many options that are not padding one header may hold (net.ipv6.max_hbh_opts_number,
// max_dst_opts_number).
const maxOptions6 = 8

// parameterProblem sends the ICMPv6 error that a look at the headers found due (RFC 4443 3.4).
func (w *worker) parameterProblem(p *passage, e packet.ParamProblem) {
	if e.Send {
		w.icmpError(p, icmpKind{{255, 0}, {4, e.Code}}, e.Ptr)
	}
}

// destinationHeaders6 processes the extension headers of a packet for the router itself, in their order
// (ip6_protocol_deliver_rcu): fragments are gathered here, behind INPUT.
func (w *worker) destinationHeaders6(p *passage) packet.Reason {
	named := 6 // where the number of the next header stands
	gathered := p.V6 && p.FragMax != 0
	it := p.ExtHeaders()
	if p.lost != 0 {
		first := p.Data[6]
		if first == packet.ProtoHopByHop {
			first = p.Data[40]
		}
		it = p.ExtHeadersAt(first, p.lost)
	}
	for {
		next, off, n, ok := it.Next()
		if !ok {
			if proto, off := it.At(); p.ExtBad || p.lost != 0 && (proto != p.Proto || off != p.L4) {
				return packet.ReasonIPv6ExtHeader
			}
			return packet.ReasonNone
		}
		if next == protoAH { // authentication without IPsec: a protocol that nobody here speaks
			w.icmpError(p, errProtocol, uint32(named))
			return packet.ReasonNoProtocol
		}
		if off+n > len(p.Data) {
			return packet.ReasonIPv6ExtHeader
		}
		if next == packet.ProtoHopByHop && (off != 40 || p.bareHead) { // it stands first or is unknown
			w.icmpError(p, errProtocol, uint32(named))
			return packet.ReasonNoProtocol
		}
		named = off
		switch next {
		case 60:
			problem, why := p.CheckDestOptions(off, maxOptions6)
			w.parameterProblem(p, problem)
			if why != packet.ReasonNone {
				return why
			}
		case 43:
			if why := w.routing6(p, off); why != packet.ReasonNone {
				return why
			}
		case 44:
			if gathered { // a fragment of a fragment
				w.parameterProblem(p, packet.ParamProblem{Send: true, Ptr: uint32(off)})
				return packet.ReasonFragMalformed
			}
			gathered = true
			if binary.BigEndian.Uint16(p.Data[off+2:])&^6 == 0 {
				continue // atomic
			}
			before := p.Packet.Packet
			if why := w.gather(p, defrag.UserLocal); why != packet.ReasonNone {
				if code, ptr, ok := defrag.ParamProblem(p.Packet.Packet); ok && why == packet.ReasonFragMalformed {
					w.parameterProblem(p, packet.ParamProblem{Send: true, Code: code, Ptr: ptr})
				}
				return why
			}
			if p.Packet.Packet == before {
				return packet.ReasonFragMalformed
			}
			it, named = p.ExtHeaders(), 6 // the whole has other headers; those in front are looked at again, which does no harm
		}
	}
}

// routing6 refuses to be a waypoint: with segments left, type 0 (RFC 5095) and every type we do not know is an error
// that points to the type (RFC 8200 4.4); without, the header is of no concern. The source routes of RPL (RFC 6554) and
// of segment routing (RFC 8754) die without a word, with or without segments left, as long as they are not switched on.
func (w *worker) routing6(p *passage, off int) packet.Reason {
	const rpl, segments = 3, 4
	if t := p.Data[off+2]; t == rpl || t == segments {
		return packet.ReasonSourceRoute
	}
	if p.Data[off+3] == 0 {
		return packet.ReasonNone
	}
	if d := p.Dst(); d[0] == 0xff {
		return packet.ReasonSourceRoute
	}
	w.icmpError(p, errParameter, uint32(off+2))
	return packet.ReasonSourceRoute
}

// scope6 is the check that ip6_forward calls security critical: addresses that do not leave their link or their node
// are not forwarded (RFC 4291 2.5.6).
func (w *worker) scope6(p *passage) packet.Reason {
	src := p.Src()
	switch {
	case src == packet.Addr{}, src[0] == 0xff, src == packet.Addr{15: 1}:
		return packet.ReasonMartianSource
	case linkLocal(src):
		w.icmpError(p, errNotNeighbor, 0)
		return packet.ReasonLinkScope
	}
	return packet.ReasonNone
}

// linkLocal tells whether an IPv6 address has link scope (RFC 4291 2.5.6).
func linkLocal(a packet.Addr) bool { return a[0] == 0xfe && a[1]&0xc0 == 0x80 }

// multicastForUs tells whether a multicast group is one that every router has joined: all nodes, all routers, and the
// solicited-node groups of its addresses (RFC 4291 2.8); in IPv4 all systems (RFC 1112).
func (w *worker) multicastForUs(p *passage) bool {
	d := p.Dst()
	if !p.V6 {
		return d == packet.Addr4([]byte{224, 0, 0, 1})
	}
	switch {
	case d[0] != 0xff:
		return false
	case d == packet.Addr{0: 0xff, 1: 1, 15: 1}, d == packet.Addr{0: 0xff, 1: 2, 15: 1},
		d == packet.Addr{0: 0xff, 1: 1, 15: 2}, d == packet.Addr{0: 0xff, 1: 2, 15: 2}, d == packet.Addr{0: 0xff, 1: 5, 15: 2}:
		return true
	}
	node := packet.Addr{0: 0xff, 1: 2, 11: 1, 12: 0xff, 13: d[13], 14: d[14], 15: d[15]}
	return d == node && w.s.fib.OwnsSolicited(p.in.Index, d)
}
