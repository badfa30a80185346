package nat

import (
	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// changes tells whether manip m, in the direction that the packet travels in, changes packets of this connection: for
// replies the two manips change places.
func changes(ref conntrack.Ref, m Manip) bool {
	if ref.Info.Dir() == conntrack.Reply {
		m ^= 1
	}
	return ref.Conn.Status()&changed[m] != 0
}

// end is what one end of a packet is to look like.
type end struct {
	addr packet.Addr
	port uint16 // of protocols with ports; the key of GRE
	id   uint16 // of ICMP queries, the same in both directions
}

// endOf is what manip m makes of its end: what the other direction's tuple has there, since that is the packet's tuple
// turned around. A quoted packet went the other way, so that its other end is to look the same.
func endOf(e *end, ref conntrack.Ref, m Manip) {
	k := ref.Conn.Tuple(ref.Info.Dir().Other())
	if e.id = k.SrcPort; m == ManipSrc {
		e.addr, e.port = k.Dst, k.DstPort
	} else {
		e.addr, e.port = k.Src, k.SrcPort
	}
}

// Translate changes the packet by the binding of its connection (nf_nat_packet): m is the manip of the hook.
func Translate(p *packet.Packet, ref conntrack.Ref, m Manip) packet.Reason {
	if !changes(ref, m) {
		return packet.ReasonNone
	}
	var e end
	endOf(&e, ref, m)
	if !manip(p, &e, m) {
		return packet.ReasonNATUntranslatable
	}
	return packet.ReasonNone
}

// manip makes one end of p look like e (nf_nat_ipv4_manip_pkt, nf_nat_ipv6_manip_pkt): port or id first, then the
// address. It is false where the transport header is cut before what has to be changed.
func manip(p *packet.Packet, e *end, m Manip) bool {
	if p.FragOff == 0 && !p.ExtBad {
		what, ok := transport(p.Proto, p.L4Bytes(), m)
		if !ok {
			return false
		}
		switch what {
		case editPort:
			if p.SetEnd(m == ManipDst, &e.addr, e.port) {
				return true
			}
			if m == ManipSrc {
				p.SetSrcPort(e.port)
			} else {
				p.SetDstPort(e.port)
			}
		case editID:
			p.SetICMPID(e.id)
		case editKey:
			p.Set16(greKey, e.port)
		}
	}
	if m == ManipSrc {
		p.SetSrc(e.addr)
	} else {
		p.SetDst(e.addr)
	}
	return true
}

// manipQuote makes the other end of a quoted packet look like e, as manip does; it is false where the quote is cut
// before what has to be changed.
func manipQuote(q *packet.Quote, proto uint8, e *end, m Manip) bool {
	if !q.Bad {
		what, ok := transport(proto, q.L4Bytes(), m^1)
		switch {
		case !ok:
			return false
		case what == editPort && m == ManipSrc:
			ok = q.SetDstPort(e.port)
		case what == editPort:
			ok = q.SetSrcPort(e.port)
		case what == editID:
			ok = q.SetICMPID(e.id)
		case what == editKey:
			ok = q.Set16(greKey, e.port)
		}
		if !ok {
			return false
		}
	}
	if m == ManipSrc {
		q.SetDst(e.addr)
	} else {
		q.SetSrc(e.addr)
	}
	return true
}

// edit is what has to be changed in a transport header.
type edit uint8

const (
	editNothing edit = iota
	editPort
	editID
	editKey
)

// greKey is where the call id stands in a GRE header of version 1 (RFC 2637 4.1).
const greKey = 6

// transport tells what manip m changes in a transport header (nf_nat_l4proto_manip_pkt); false where the header is cut
// before it.
func transport(proto uint8, l4 []byte, m Manip) (edit, bool) {
	switch proto {
	case packet.ProtoTCP, packet.ProtoUDP, packet.ProtoUDPLite, packet.ProtoSCTP:
		return editPort, len(l4) >= 8
	case packet.ProtoICMP:
		if len(l4) < 8 {
			return editNothing, false
		}
		switch l4[0] {
		case 0, 8, 13, 14, 15, 16, 17, 18:
			return editID, true
		}
	case packet.ProtoICMPv6:
		if len(l4) < 8 {
			return editNothing, false
		}
		if l4[0] == 128 || l4[0] == 129 {
			return editID, true
		}
	case packet.ProtoGRE:
		// Only the destination's key stands in a packet, and only in version 1.
		if len(l4) < 8 {
			return editNothing, false
		}
		if m == ManipDst {
			switch l4[1] & 7 {
			case 0:
			case 1:
				return editKey, true
			default:
				return editNothing, false
			}
		}
	}
	return editNothing, true
}
