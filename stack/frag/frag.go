package frag

import (
	"encoding/binary"
	"errors"

	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

// Errors of Cut beside those that emit returns.
var (
	// ErrTooBig is a datagram that may not be cut and does not fit: an ICMP error with the MTU is due.
	ErrTooBig = errors.New("datagram is larger than the MTU and may not be cut")
	// ErrUncuttable is a datagram whose headers leave no room for payload, or cannot be walked.
	ErrUncuttable = errors.New("datagram cannot be cut")
)

// minMTU6 is the MTU that every IPv6 link has (RFC 8200 5).
const minMTU6 = 1280

// Cutter makes fragments and segments. It owns the buffers that they are made in.
type Cutter struct {
	segment  *packet.Packet
	fragment *packet.Packet
}

// New gives a Cutter for one worker.
func New() *Cutter { return &Cutter{packet.New(), packet.New()} }

// Way is the way out: what the datagram has to fit.
type Way struct {
	MTU int // bytes, IP header included
	Can link.Offloads
	ID  uint32 // a random identification, for IPv6 fragments
	// Own is a datagram that the router itself has made: an IPv6 one may be cut, too.
	Own bool
	// IgnoreDF lets an IPv4 datagram be cut although it has DF, which its pieces do not have then (skb->ignore_df).
	IgnoreDF bool
	// TooBig, if there is one, is told of each segment of a super-segment that may not leave, instead of ErrTooBig: in IPv4 of
	// all that have DF, also of a last one that would fit (ip_finish_output_gso); in IPv6 of those that are too long.
	TooBig func(segment *packet.Packet)
}

// TooBig is the question of the forwarding path: does p need an ICMP error because it is larger than the MTU and may
// not be cut (ip_exceeds_mtu, ip6_pkt_too_big)? A reassembled datagram may be, if the fragments that came in fit; a
// super-segment counts by its segments.
func TooBig(p *packet.Packet, mtu int) bool {
	switch {
	case p.Len() <= mtu:
		return false
	case !p.DF():
		return false
	case p.FragMax != 0:
		return p.FragMax > mtu
	case p.GSO != packet.GSONone:
		return NetworkLen(p) > mtu
	}
	return true
}

// Needed tells whether Cut has something to do: false for a datagram that leaves as it is.
func Needed(p *packet.Packet, mtu int, can link.Offloads) bool {
	if p.GSO != packet.GSONone {
		return NetworkLen(p) > mtu || !takes(can, p.GSO)
	}
	if p.NeedsCsum && !can.Csum || p.Len() > mtu {
		return true
	}
	return p.FragMax != 0 && (!p.V6 || p.Len() > p.FragMax)
}

// Cut emits p as it has to be for its way out, in one or more packets that are lent to emit. It stops at the first
// error that emit returns and hands it on.
func (c *Cutter) Cut(p *packet.Packet, w Way, emit func(*packet.Packet) error) error {
	if p.GSO != packet.GSONone {
		return c.outGSO(p, w, emit)
	}
	if p.NeedsCsum && (!w.Can.Csum || p.Len() > w.MTU || p.FragMax != 0) {
		p.CompleteChecksum()
	}
	return c.outWhole(p, w, emit)
}

// outWhole emits a datagram that is no super-segment: itself or its fragments.
func (c *Cutter) outWhole(p *packet.Packet, w Way, emit func(*packet.Packet) error) error {
	if p.V6 {
		return c.out6(p, w, emit)
	}
	return c.out4(p, w, emit)
}

func (c *Cutter) outGSO(p *packet.Packet, w Way, emit func(*packet.Packet) error) error {
	fits := NetworkLen(p) <= w.MTU
	if fits && takes(w.Can, p.GSO) {
		return emit(p)
	}
	if !fits && p.DF() && !w.Own && w.TooBig == nil {
		return ErrTooBig
	}
	none := !fits && !p.V6 && p.DF() && !w.IgnoreDF && w.TooBig != nil
	return Segment(p, c.segment, func(s *packet.Packet) error {
		if none {
			w.TooBig(s)
			return nil
		}
		err := c.outWhole(s, w, emit)
		if err == ErrTooBig && w.TooBig != nil {
			w.TooBig(s)
			return nil
		}
		return err
	})
}

func takes(can link.Offloads, g packet.GSO) bool {
	switch g {
	case packet.GSOTCPv4:
		return can.Csum && can.TSO4
	case packet.GSOTCPv6:
		return can.Csum && can.TSO6
	case packet.GSOUDP:
		return can.Csum && can.USO
	}
	return false
}

// out4 is ip_finish_output and ip_do_fragment: the original geometry where there is one and it still fits, else pieces
// as long as the MTU and the longest fragment that came in allow.
func (c *Cutter) out4(p *packet.Packet, w Way, emit func(*packet.Packet) error) error {
	if p.Len() <= w.MTU && p.FragMax == 0 {
		return emit(p)
	}
	if p.DF() && !w.IgnoreDF && (p.FragMax == 0 || p.FragMax > w.MTU) {
		return ErrTooBig
	}
	limit := w.MTU
	if p.FragMax != 0 {
		limit = min(limit, p.FragMax)
	}
	hlen := p.HeaderLen()
	space := limit - hlen
	if space < 8 {
		return ErrUncuttable
	}
	g := geometry{p: p, hlen: hlen, space: space, offset: p.FragOff, more: p.MF}
	if g.original() {
		return g.each(func(pay []byte, off int, more bool) error {
			return emit(c.piece4(p, pay, off, more, false))
		})
	}
	// A reassembled datagram has DF only if its longest fragment had it: then its pieces have it, too
	// (IPSKB_FRAG_PMTUD).
	df := p.DF() && !w.IgnoreDF
	return g.each(func(pay []byte, off int, more bool) error {
		return emit(c.piece4(p, pay, off, more, df))
	})
}

// piece4 is one IPv4 fragment: the header of p, with only the options to be copied in all but the first.
func (c *Cutter) piece4(p *packet.Packet, pay []byte, off int, more, df bool) *packet.Packet {
	f, hlen := c.fragment, p.HeaderLen()
	f.Reset()
	f.SetLen(hlen + len(pay))
	b := f.Data
	copy(b, p.Data[:hlen])
	copy(b[hlen:], pay)
	if off != 0 {
		packet.FragmentOptions(b[20:hlen])
	}
	w := uint16(off / 8)
	if more {
		w |= 0x2000
	}
	if df {
		w |= 0x4000
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[6:], w)
	packet.SetIPv4Checksum(b)
	f.Parse()
	return f
}

// out6 is ip6_finish_output and ip6_fragment.
func (c *Cutter) out6(p *packet.Packet, w Way, emit func(*packet.Packet) error) error {
	if p.Len() <= w.MTU && (p.FragMax == 0 || p.Len() <= p.FragMax) {
		return emit(p)
	}
	if p.FragMax > w.MTU || p.FragMax == 0 && !w.Own || p.FragHdr != 0 {
		return ErrTooBig
	}
	limit := w.MTU
	if p.FragMax != 0 {
		limit = max(p.FragMax, minMTU6)
	}
	hlen, nextAt, ok := unfragmentable(p.Data)
	if !ok {
		return ErrUncuttable
	}
	space := limit - hlen - 8
	if space < 8 {
		return ErrTooBig
	}
	g := geometry{p: p, hlen: hlen, space: space}
	g.original()
	return g.each(func(pay []byte, off int, more bool) error {
		return emit(c.piece6(p, hlen, nextAt, w.ID, pay, off, more))
	})
}

// piece6 is one IPv6 fragment: the headers that every fragment repeats, a fragment header, and its payload.
func (c *Cutter) piece6(p *packet.Packet, hlen, nextAt int, id uint32, pay []byte, off int, more bool) *packet.Packet {
	f := c.fragment
	f.Reset()
	f.SetLen(hlen + 8 + len(pay))
	b := f.Data
	copy(b, p.Data[:hlen])
	next := b[nextAt]
	b[nextAt] = packet.ProtoFragment
	h := packet.FragmentHeader(next, off, more, id)
	copy(b[hlen:], h[:])
	copy(b[hlen+8:], pay)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	f.Parse()
	return f
}

// unfragmentable is the part of an IPv6 datagram that every fragment repeats, as Linux sees it (ip6_find_1stfragopt):
// hop-by-hop options, routing header, and destination options that do not follow a routing header. It gives the
// part's length and the offset of the next-header byte that is to name the fragment header.
func unfragmentable(b []byte) (hlen, nextAt int, ok bool) {
	off, next, routed := 40, 6, false
	for off <= len(b) {
		switch b[next] {
		case packet.ProtoHopByHop:
		case packet.ProtoRouting:
			routed = true
		case packet.ProtoDstOpts:
			if routed {
				return off, next, true
			}
		default:
			return off, next, true
		}
		if off+2 > len(b) {
			return 0, 0, false
		}
		next = off
		off += (int(b[off+1]) + 1) * 8
	}
	return 0, 0, false
}
