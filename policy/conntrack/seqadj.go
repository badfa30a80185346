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
	var s tcpSegment
	ok := s.parse(p.L4Bytes())
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
	return other.adjustSACK(p, s.b)
}

// adjustSACK moves the edges of the blocks that a segment with header h acknowledges (nf_ct_sack_adjust). It is false
// where an option is cut: such a segment is dropped.
func (a *seqAdjust) adjustSACK(p *packet.Packet, h []byte) bool {
	const sack, block = 5, 8
	for i := 20; i < len(h) && h[i] != 0; {
		if h[i] == 1 {
			i++
			continue
		}
		if i+1 == len(h) || h[i+1] < 2 || i+int(h[i+1]) > len(h) {
			return false
		}
		n := int(h[i+1])
		if h[i] == sack && (n-2)%block == 0 {
			for at := i + 2; at < i+n; at += 4 {
				edge := be32(h[at:])
				var b [4]byte
				binary.BigEndian.PutUint32(b[:], edge-uint32(a.back(edge)))
				p.Overwrite(at, b[:])
			}
		}
		i += n
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
