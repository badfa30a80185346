package policy

import (
	"encoding/binary"

	"github.com/moat-router/moat/stack/packet"
)

// sieve is what a packet must have so that a rule may match: thirty-two bytes for the questions that most rules ask, so
// that a long chain is passed over without a look at the rules themselves. What falls through here cannot match, and
// the rule would have had no effect on it; what stays is compared in full.
//
//	-s 10.66.0.0/16 -i lan -p tcp --dport 25
//	src 10.66.0.0 under 255.255.0.0, in tag of "lan", proto 6, dport 25 to 25
type sieve struct {
	src, srcMask, dst, dstMask uint32
	sportLo, sportHi           uint16
	dportLo, dportHi           uint16
	in, out                    uint16 // 0: any
	proto                      uint8  // 0: any
}

// PortMatch is a Match that a packet with a whole transport header passes only if its ports lie in these ranges, both
// ends included; for such a packet it does nothing but say so.
type PortMatch interface {
	Ports() (src, dst [2]uint16)
}

// sieveFor makes the sieve of a rule. Only its first match can take part: those behind it may count what they see.
func sieveFor(r *Rule, f Family) sieve {
	s := sieve{sportHi: 0xffff, dportHi: 0xffff}
	h := &r.Head
	if !h.NotSrc {
		s.srcMask = addrKey(&h.SrcMask, f)
		s.src = addrKey(&h.Src, f) & s.srcMask
	}
	if !h.NotDst {
		s.dstMask = addrKey(&h.DstMask, f)
		s.dst = addrKey(&h.Dst, f) & s.dstMask
	}
	if !h.NotIn && h.In != "" && h.In[len(h.In)-1] != '+' {
		s.in = nameTag(h.In)
	}
	if !h.NotOut && h.Out != "" && h.Out[len(h.Out)-1] != '+' {
		s.out = nameTag(h.Out)
	}
	if !h.NotProto {
		s.proto = h.Proto
	}
	if len(r.Matches) > 0 {
		if m, ok := r.Matches[0].(PortMatch); ok {
			src, dst := m.Ports()
			s.sportLo, s.sportHi, s.dportLo, s.dportHi = src[0], src[1], dst[0], dst[1]
		}
	}
	return s
}

// addrKey is the part of an address that tells most networks apart: all of IPv4, of IPv6 the second half of the /64.
func addrKey(a *packet.Addr, f Family) uint32 {
	if f == V6 {
		return binary.BigEndian.Uint32(a[4:])
	}
	return binary.BigEndian.Uint32(a[12:])
}

// nameTag tells most names apart; it is never 0.
func nameTag(name string) uint16 {
	n := len(name)
	if n == 0 {
		return 1
	}
	return uint16(n)<<11 ^ uint16(name[0])<<6 ^ uint16(name[n-1])<<1 | 1
}

// sifted is a packet as sieves see it.
type sifted struct {
	src, dst     uint32
	sport, dport uint16
	in, out      uint16
	proto        uint8
	ports        bool // the transport header is whole
	blind        bool // a chain of extension headers that cannot be walked: rules may have effects without matching
}

func (k *sifted) read(p *Packet) {
	d := p.Data
	if p.V6 {
		k.src, k.dst = binary.BigEndian.Uint32(d[12:]), binary.BigEndian.Uint32(d[28:])
	} else {
		k.src, k.dst = binary.BigEndian.Uint32(d[12:]), binary.BigEndian.Uint32(d[16:])
	}
	k.proto, k.blind = p.Proto, p.ExtBad
	const whole = 20 // of TCP, and more than what others need
	if k.ports = p.FragOff == 0 && !p.ExtBad && p.L4+whole <= len(d); k.ports {
		k.sport, k.dport = binary.BigEndian.Uint16(d[p.L4:]), binary.BigEndian.Uint16(d[p.L4+2:])
	}
	k.in, k.out = 1, 1
	if p.In != nil {
		k.in = nameTag(p.In.Name)
	}
	if p.Out != nil {
		k.out = nameTag(p.Out.Name)
	}
}

// sift is the first rule, from i on, that the packet does not fall through.
func sift(sieves []sieve, i int, k *sifted) int {
	for ; i < len(sieves); i++ {
		s := &sieves[i]
		if (k.src^s.src)&s.srcMask|(k.dst^s.dst)&s.dstMask != 0 {
			continue
		}
		if s.proto != k.proto && s.proto != 0 || s.in != k.in && s.in != 0 || s.out != k.out && s.out != 0 {
			continue
		}
		if k.ports && (k.sport < s.sportLo || k.sport > s.sportHi || k.dport < s.dportLo || k.dport > s.dportHi) {
			continue
		}
		break
	}
	return i
}
