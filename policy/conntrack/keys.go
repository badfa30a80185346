package conntrack

import (
	"encoding/binary"
	"math/bits"

	"github.com/moat-router/moat/stack/packet"
)

// same is ==, field by field: a tuple that was just read from a packet was written in words, and a processor has to wait
// where it reads back more at once than it wrote.
func (k *Tuple) same(o *Tuple) bool {
	return k.SrcPort == o.SrcPort && k.DstPort == o.DstPort && k.Src == o.Src && k.Dst == o.Dst &&
		k.Proto == o.Proto && k.V6 == o.V6 && k.Zone == o.Zone
}

// hash mixes the whole tuple with the table's secret, so that nobody outside can aim at one bucket.
func (t *Table) hash(k *Tuple) uint64 {
	le := binary.LittleEndian
	tail := uint64(k.SrcPort) | uint64(k.DstPort)<<16 | uint64(k.Proto)<<32 | uint64(k.Zone)<<40
	if k.V6 {
		tail |= 1 << 63
	}
	h := fold(le.Uint64(k.Src[8:])^t.secret[0], le.Uint64(k.Dst[8:])^t.secret[1])
	h ^= fold(tail^t.secret[2], t.secret[3])
	if k.V6 {
		h ^= fold(le.Uint64(k.Src[:])^t.secret[3], le.Uint64(k.Dst[:])^t.secret[2])
	}
	return fold(h^t.secret[1], 0x9e3779b97f4a7c15)
}

// hashSource is the key of the index by original source: address, port or id, protocol and zone.
func (t *Table) hashSource(k *Tuple) uint64 {
	le := binary.LittleEndian
	tail := uint64(k.SrcPort) | uint64(k.Proto)<<32 | uint64(k.Zone)<<40
	h := fold(le.Uint64(k.Src[8:])^t.secret[1], le.Uint64(k.Src[:])^t.secret[2])
	return fold(h^tail^t.secret[3], t.secret[0])
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b|1)
	return hi ^ lo
}

// Invert gives the tuple that an answer to t has (nf_ct_invert_tuple); false for ICMP types that nobody answers.
func (t Tuple) Invert() (r Tuple, ok bool) {
	r = t
	r.Src, r.Dst = t.Dst, t.Src
	switch t.Proto {
	case packet.ProtoICMP, packet.ProtoICMPv6:
		typ, ok := answer(t.Proto, uint8(t.DstPort>>8))
		r.DstPort = uint16(typ)<<8 | t.DstPort&0xff
		return r, ok
	}
	r.SrcPort, r.DstPort = t.DstPort, t.SrcPort
	return r, true
}

// answer is the ICMP type that answers another, both ways (RFC 792, 950; RFC 4443, 4620).
func answer(proto, typ uint8) (uint8, bool) {
	if proto == packet.ProtoICMPv6 {
		switch typ {
		case 128, 139:
			return typ + 1, true
		case 129, 140:
			return typ - 1, true
		}
		return 0, false
	}
	switch typ {
	case 0, 8:
		return typ ^ 8, true
	case 13, 15, 17:
		return typ + 1, true
	case 14, 16, 18:
		return typ - 1, true
	}
	return 0, false
}

// zones are the zone ids that count for the two directions of a packet (nf_ct_zone_id).
type zones [2]uint16

func (t *Template) zones(mark uint32) (z zones) {
	if t == nil {
		return z
	}
	id := t.Zone
	if t.ZoneFromMark {
		id = uint16(mark)
	}
	if t.ZoneDir != ZoneReply {
		z[Original] = id
	}
	if t.ZoneDir != ZoneOrig {
		z[Reply] = id
	}
	return z
}

// TupleOf is the tuple of a packet that conntrack has not seen (nf_ct_get_tuplepr); false where it has no transport
// header, or one that is cut off.
func TupleOf(p *packet.Packet) (k Tuple, ok bool) {
	if !p.HasL4() {
		return k, false
	}
	p.Ends(&k.Src, &k.Dst)
	k.Proto, k.V6 = p.Proto, p.V6
	return k, k.readPorts(p.L4Bytes())
}

// readPorts reads what of the tuple stands in the transport header; false where that does not reach far enough
// (nf_ct_get_tuple).
func (k *Tuple) readPorts(l4 []byte) bool {
	be := binary.BigEndian
	switch k.Proto {
	case packet.ProtoTCP, packet.ProtoUDP, packet.ProtoUDPLite, packet.ProtoSCTP:
		if len(l4) < 4 {
			return false
		}
		k.SrcPort, k.DstPort = be.Uint16(l4), be.Uint16(l4[2:])
	case packet.ProtoICMP, packet.ProtoICMPv6:
		if len(l4) < 8 {
			return false
		}
		k.SrcPort, k.DstPort = be.Uint16(l4[4:]), be.Uint16(l4)
	case packet.ProtoGRE:
		// Only version 1 (RFC 2637) has keys: the call id. The source's key is known to a PPTP helper alone.
		if len(l4) >= 8 && l4[1]&7 == 1 {
			if be.Uint16(l4[2:]) != 0x880b {
				return false
			}
			k.DstPort = be.Uint16(l4[6:])
		}
	}
	return true
}
