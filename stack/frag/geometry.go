package frag

import "github.com/moat-router/moat/stack/packet"

// geometry is where a datagram is cut.
type geometry struct {
	p      *packet.Packet
	hlen   int  // bytes of headers that every piece repeats
	space  int  // bytes of payload that a piece has room for
	offset int  // of a fragment that is cut further: where it starts
	more   bool // and whether it was not the last

	pieces []packet.Piece // the cuts that came in, if they are to be used again
}

// original takes the geometry that reassembly left behind, if every piece still fits and ends where a fragment may end
// (the fast path of ip_do_fragment and ip6_fragment). The headers in front of the first piece may have grown or
// shrunk by what counts as repeated.
func (g *geometry) original() bool {
	ps := g.p.Pieces
	if len(ps) < 2 || g.p.IsFragment() {
		return false
	}
	first := g.first(ps)
	if first < 0 || first > g.space || first&7 != 0 {
		return false
	}
	for i, q := range ps[1:] {
		if n := int(q.Len); n == 0 || n > g.space || n&7 != 0 && i+2 < len(ps) {
			return false
		}
	}
	g.pieces = ps
	return true
}

// first is how many bytes behind the repeated headers came with the first piece.
func (g *geometry) first(ps []packet.Piece) int {
	n := g.p.Len() - g.hlen
	for _, q := range ps[1:] {
		n -= int(q.Len)
	}
	return n
}

// each hands out the pieces in order: payload, offset in bytes, and whether more follow.
func (g *geometry) each(emit func(pay []byte, off int, more bool) error) error {
	pay := g.p.Data[g.hlen:]
	for i, off := 0, g.offset; len(pay) > 0; i++ {
		n := len(pay)
		switch {
		case g.pieces != nil && i == 0:
			n = g.first(g.pieces)
		case g.pieces != nil:
			n = int(g.pieces[i].Len)
		case n > g.space:
			n = g.space &^ 7
		}
		more := n < len(pay)
		if err := emit(pay[:n], off, more || g.more); err != nil {
			return err
		}
		pay, off = pay[n:], off+n
	}
	return nil
}
