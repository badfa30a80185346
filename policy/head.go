package policy

import (
	"encoding/binary"
	"strings"

	"github.com/moat-router/moat/stack/packet"
)

// headProg is Head made ready for comparison: two words per address, interface wildcards cut, and a set of checks so
// that what a rule does not ask costs one bit test.
type headProg struct {
	check                              headCheck
	not                                headCheck
	proto                              uint8
	inWild, outWild                    bool
	srcHi, srcLo, srcMaskHi, srcMaskLo uint64
	dstHi, dstLo, dstMaskHi, dstMaskLo uint64
	in, out                            string
}

type headCheck uint8

const (
	checkSrc headCheck = 1 << iota
	checkDst
	checkIn
	checkOut
	checkProto
	checkFrag
	checkChain // IPv6 -p: the chain of extension headers must be sound
)

func halves(a packet.Addr) (hi, lo uint64) {
	return binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])
}

func (h *Head) compile(f Family) (g headProg) {
	set := func(c headCheck, on, not bool) {
		if on {
			g.check |= c
			if not {
				g.not |= c
			}
		}
	}
	// An address without a mask still has to be compared when it is inverted ("! -s 0.0.0.0/0" matches nothing).
	set(checkSrc, !h.SrcMask.IsZero() || h.NotSrc, h.NotSrc)
	set(checkDst, !h.DstMask.IsZero() || h.NotDst, h.NotDst)
	set(checkIn, h.In != "" || h.NotIn, h.NotIn)
	set(checkOut, h.Out != "" || h.NotOut, h.NotOut)
	// -p 0 in IPv4 is "any"; in IPv6 it asks whether the chain can be walked, and compares nothing else.
	set(checkProto, h.Proto != 0 || f == V6 && h.ProtoSet, h.NotProto)
	if f == V6 && (h.Proto != 0 || h.ProtoSet) {
		g.check |= checkChain
	}
	set(checkFrag, h.Fragment || h.NotFragment, h.NotFragment)
	g.proto = h.Proto
	g.srcMaskHi, g.srcMaskLo = halves(h.SrcMask)
	g.dstMaskHi, g.dstMaskLo = halves(h.DstMask)
	g.srcHi, g.srcLo = halves(h.Src)
	g.dstHi, g.dstLo = halves(h.Dst)
	g.srcHi, g.srcLo = g.srcHi&g.srcMaskHi, g.srcLo&g.srcMaskLo
	g.dstHi, g.dstLo = g.dstHi&g.dstMaskHi, g.dstLo&g.dstMaskLo
	g.in, g.inWild = strings.CutSuffix(h.In, "+")
	g.out, g.outWild = strings.CutSuffix(h.Out, "+")
	return g
}

// addrs are a packet's addresses as words, read once per table.
type addrs struct{ srcHi, srcLo, dstHi, dstLo uint64 }

func addrsOf(p *packet.Packet) (a addrs) {
	if p.V6 {
		d := p.Data[8:40]
		return addrs{
			binary.BigEndian.Uint64(d), binary.BigEndian.Uint64(d[8:]),
			binary.BigEndian.Uint64(d[16:]), binary.BigEndian.Uint64(d[24:]),
		}
	}
	d := p.Data[12:20]
	const mapped = 0xffff << 32
	return addrs{
		0, mapped | uint64(binary.BigEndian.Uint32(d)),
		0, mapped | uint64(binary.BigEndian.Uint32(d[4:])),
	}
}

func devMatches(d *Dev, name string, wild bool) bool {
	have := ""
	if d != nil {
		have = d.Name
	}
	if wild {
		return strings.HasPrefix(have, name)
	}
	return have == name
}

// next is the first rule, from i on, whose head fits p; len(c.Rules) if there is none. It may set p.HotDrop, as
// ip6_tables does for an IPv6 packet whose header chain is cut and whose protocol a rule asks for.
func (c *Chain) next(i int, p *Packet, k *sifted) int {
	for ; ; i++ {
		if !k.blind {
			i = sift(c.sieves, i, k)
		}
		if i >= len(c.heads) {
			break
		}
		g := &c.heads[i]
		ask, not := g.check, g.not
		if ask == 0 {
			break
		}
		var a addrs
		if ask&(checkSrc|checkDst) != 0 {
			a = addrsOf(p.Packet)
		}
		if ask&checkSrc != 0 && (a.srcHi&g.srcMaskHi == g.srcHi && a.srcLo&g.srcMaskLo == g.srcLo) == (not&checkSrc != 0) {
			continue
		}
		if ask&checkDst != 0 && (a.dstHi&g.dstMaskHi == g.dstHi && a.dstLo&g.dstMaskLo == g.dstLo) == (not&checkDst != 0) {
			continue
		}
		if ask&checkIn != 0 && devMatches(p.In, g.in, g.inWild) == (not&checkIn != 0) {
			continue
		}
		if ask&checkOut != 0 && devMatches(p.Out, g.out, g.outWild) == (not&checkOut != 0) {
			continue
		}
		if ask&checkChain != 0 && p.ExtBad {
			p.HotDrop = true // a later fragment of an extension header, too: ipv6_find_hdr does not say its offset then
			break
		}
		if ask&checkProto != 0 && g.proto != 0 && (p.Proto == g.proto) == (not&checkProto != 0) {
			continue
		}
		if ask&checkFrag != 0 && (p.FragOff != 0) == (not&checkFrag != 0) {
			continue
		}
		break
	}
	return i
}
