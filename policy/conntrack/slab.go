package conntrack

import "sync/atomic"

// link names a connection and one of its directions without a pointer: shard, index in the shard's slab, direction.
// The zero value is none; index 0 is never used.
type link uint32

const (
	indexBits = 23 // of a shard's slab: eight million connections
	maxShards = 256
)

func makeLink(shard, index int) link { return link(shard<<indexBits|index) << 1 }

func (l link) shard() int        { return int(l >> (indexBits + 1)) }
func (l link) index() int        { return int(l>>1) & (1<<indexBits - 1) }
func (l link) dir() Dir          { return Dir(l & 1) }
func (l link) with(d Dir) link   { return l&^1 | link(d) }
func (t *Table) at(l link) *Conn { return t.shards[l.shard()].slab.at(l.index()) }

// slab is a shard's memory. Chunks are never freed, so a link stays readable; the list of chunks is replaced when it
// grows, so that reading it needs no lock.
type slab struct {
	chunks atomic.Pointer[[]*chunk]
	free   []link // under the shard's lock
	used   int    // index up to which slots were ever handed out
}

func (s *slab) at(i int) *Conn {
	return &(*s.chunks.Load())[i>>chunkBits].conns[i&(chunkLen-1)]
}

// alloc takes a slot; the caller holds the shard's lock. It returns nil when the slab is at its limit.
func (s *shard) alloc(t *Table, number int) *Conn {
	if n := len(s.slab.free); n > 0 {
		l := s.slab.free[n-1]
		s.slab.free = s.slab.free[:n-1]
		return s.slab.at(l.index())
	}
	s.slab.used++
	i := s.slab.used
	if i >= 1<<indexBits {
		s.slab.used--
		return nil
	}
	chunks := s.slab.chunks.Load()
	if chunks == nil || i>>chunkBits >= len(*chunks) {
		var grown []*chunk
		if chunks != nil {
			grown = append(grown, *chunks...)
		}
		grown = append(grown, &chunk{table: t})
		s.slab.chunks.Store(&grown)
	}
	c := s.slab.at(i)
	c.self = makeLink(number, i)
	c.slot = slotNone
	return c
}
