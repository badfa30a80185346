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

// target is what the packet is to look like: the inverse of the other direction's tuple.
func target(ref conntrack.Ref) conntrack.Tuple {
	k, _ := ref.Conn.Tuple(ref.Info.Dir().Other()).Invert()
	return k
}

// Translate changes the packet by the binding of its connection (nf_nat_packet): m is the manip of the hook.
func Translate(p *packet.Packet, ref conntrack.Ref, m Manip) packet.Reason {
	if !changes(ref, m) {
		return packet.ReasonNone
	}
	k := target(ref)
	if !manip(p, &k, m) {
		return packet.ReasonNATUntranslatable
	}
	return packet.ReasonNone
}

// editor is what can be translated: a datagram, or one quoted in an ICMP error.
type editor interface {
	SetSrc(packet.Addr)
	SetDst(packet.Addr)
	SetSrcPort(uint16) bool
	SetDstPort(uint16) bool
	SetICMPID(uint16) bool
	Set16(off int, v uint16) bool
	L4Bytes() []byte
}

// manip makes one end of e look like k (nf_nat_ipv4_manip_pkt, nf_nat_ipv6_manip_pkt): port or id first, then the
// address. It is false where the transport header is cut before what has to be changed.
func manip(p *packet.Packet, k *conntrack.Tuple, m Manip) bool {
	if p.FragOff == 0 && !p.ExtBad && !manipTransport(p, p.Proto, k, m) {
		return false
	}
	if m == ManipSrc {
		p.SetSrc(k.Src)
	} else {
		p.SetDst(k.Dst)
	}
	return true
}

// manipTransport is nf_nat_l4proto_manip_pkt; proto is that of the header in e.
func manipTransport[E editor](e E, proto uint8, k *conntrack.Tuple, m Manip) bool {
	l4 := e.L4Bytes()
	switch proto {
	case packet.ProtoTCP, packet.ProtoUDP, packet.ProtoUDPLite, packet.ProtoSCTP:
		if len(l4) < 8 {
			return false
		}
		if m == ManipSrc {
			return e.SetSrcPort(k.SrcPort)
		}
		return e.SetDstPort(k.DstPort)
	case packet.ProtoICMP:
		if len(l4) < 8 {
			return false
		}
		switch l4[0] {
		case 0, 8, 13, 14, 15, 16, 17, 18:
			return e.SetICMPID(k.SrcPort)
		}
	case packet.ProtoICMPv6:
		if len(l4) < 8 {
			return false
		}
		if l4[0] == 128 || l4[0] == 129 {
			return e.SetICMPID(k.SrcPort)
		}
	case packet.ProtoGRE:
		// Only the destination's key stands in a packet, and only in version 1.
		if len(l4) < 8 {
			return false
		}
		if m == ManipDst {
			switch l4[1] & 7 {
			case 0:
			case 1:
				return e.Set16(6, k.DstPort)
			default:
				return false
			}
		}
	}
	return true
}
