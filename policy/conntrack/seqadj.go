package conntrack

import (
	"encoding/binary"

	"github.com/moat-router/moat/stack/packet"
)

// seqAdjust is by how much a helper's edits have moved one direction's sequence numbers (struct nf_ct_seqadj): before
// the place of the latest correction and after it.
type seqAdjust struct {
	at            uint32
	before, after int32
}

// seqOffset is by how much sequence number seq of direction d was moved (nf_ct_seq_offset); the caller holds the
// protocol lock.
func (c *Conn) seqOffset(d Dir, seq uint32) uint32 {
	if c.Status()&StatusSeqAdjust == 0 {
		return 0
	}
	a := &c.extension().seqadj[d]
	if after(seq, a.at) {
		return uint32(a.after)
	}
	return uint32(a.before)
}

// AdjustSeq tells that the payload of a segment with sequence number seq (as the sender wrote it) in direction d has
// grown by off bytes (nf_ct_seqadj_set).
func (t *Table) AdjustSeq(c *Conn, d Dir, seq uint32, off int) {
	if off == 0 {
		return
	}
	e := c.addExt()
	mu := &c.lock
	mu.Lock()
	a := &e.seqadj[d]
	if a.before == a.after || before(a.at, seq) {
		a.at, a.before = seq, a.after
		a.after += int32(off)
	}
	mu.Unlock()
	c.SetStatus(StatusSeqAdjust)
}

// adjustSeq writes the moved numbers into a segment (nf_ct_seq_adjust): sequence number, acknowledgment, SACK blocks.
func (t *Table) adjustSeq(p *packet.Packet, c *Conn, d Dir) bool {
	if p.Proto != packet.ProtoTCP {
		return true
	}
	l4 := p.L4Bytes()
	s, ok := parseTCP(l4)
	if !ok {
		return false
	}
	mu := &c.lock
	mu.Lock()
	defer mu.Unlock()
	e := c.extension()
	own, other := &e.seqadj[d], &e.seqadj[d.Other()]
	shift := own.before
	if after(s.seq, own.at) {
		shift = own.after
	}
	p.Set32(4, s.seq+uint32(shift))
	if s.flags&tcpACK == 0 {
		return true
	}
	p.Set32(8, s.ack-uint32(other.back(s.ack)))
	for kind, v := range tcpOptions(s.b[20:]) {
		if kind != 5 {
			continue
		}
		at := cap(l4) - cap(v)
		for i := 0; i+4 <= len(v); i += 4 {
			edge := binary.BigEndian.Uint32(v[i:])
			var b [4]byte
			binary.BigEndian.PutUint32(b[:], edge-uint32(other.back(edge)))
			p.Overwrite(p.L4+at+i, b[:])
		}
	}
	return true
}

// back is by how much an acknowledged number must go back: it counts what we sent, moved.
func (a *seqAdjust) back(ack uint32) int32 {
	if after(ack-uint32(a.before), a.at) {
		return a.after
	}
	return a.before
}
