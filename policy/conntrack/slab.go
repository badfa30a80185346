package conntrack

import (
	"math/bits"
	"sync/atomic"
	"unsafe"
)

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

// slab is a shard's memory. It grows by blocks, each as large as all before it together, so that a link leads to its
// connection in one step. Blocks are never freed, so a link stays readable, and reading needs no lock.
type slab struct {
	blocks [indexBits - chunkBits + 1]atomic.Pointer[chunk] // the first of 1, 1, 2, 4, 8 ... chunks
	free   []link                                           // under the shard's lock
	used   int                                              // index up to which slots were ever handed out
}

// blockOf finds chunk number n: which block, and which chunk of it.
func blockOf(n int) (block, at int) {
	block = bits.Len(uint(n))
	return block, n - 1<<block>>1
}

func (s *slab) at(i int) *Conn {
	block, n := blockOf(i >> chunkBits)
	c := (*chunk)(unsafe.Add(unsafe.Pointer(s.blocks[block].Load()), uintptr(n)*unsafe.Sizeof(chunk{})))
	return &c.conns[i&(chunkLen-1)]
}

// alloc takes a slot; the caller holds the shard's lock. It returns nil when the slab is at its limit.
func (s *shard) alloc(t *Table, number int) *Conn {
	if n := len(s.slab.free); n > 0 {
		l := s.slab.free[n-1]
		s.slab.free = s.slab.free[:n-1]
		return s.slab.at(l.index())
	}
	if s.slab.used+1 >= 1<<indexBits {
		return nil
	}
	s.slab.used++
	i := s.slab.used
	if block, _ := blockOf(i >> chunkBits); s.slab.blocks[block].Load() == nil {
		chunks := make([]chunk, max(1, 1<<block>>1))
		for n := range chunks {
			chunks[n].table = t
		}
		s.slab.blocks[block].Store(&chunks[0])
	}
	c := s.slab.at(i)
	c.self = makeLink(number, i)
	c.slot = slotNone
	return c
}
