package xt

import (
	"math/bits"
	"sync"

	"github.com/moat-router/moat/stack/packet"
)

// recentTable is one list of recent. It holds recentEntries addresses and gives up the one that was longest not
// seen; of each it remembers the last stamps of a ring.
type recentTable struct {
	mu      sync.Mutex
	mask    packet.Addr // of the rule that named the list first
	ring    int         // stamps kept of an address: a power of two
	entries map[recentKey]*recentEntry
	// The entries hang on a ring through lru: next is the one longest not seen.
	lru recentEntry
}

// recentEntries is the size of a list (the kernel module's parameter ip_list_tot).
const recentEntries = 100

type recentKey struct {
	addr packet.Addr
	v6   bool
}

type recentEntry struct {
	key        recentKey
	ttl        uint8
	index      int // of the next stamp
	stamps     []uint64
	prev, next *recentEntry
}

// recentTable finds or makes a list. A rule that counts more hits than the list can hold empties it, as loading
// such a rule does in Linux.
func (s *Shared) recentTable(name string, hits uint32, mask packet.Addr) *recentTable {
	ring := 32
	if hits != 0 {
		ring = 1 << bits.Len32(hits-1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.recent[name]
	if t == nil {
		t = &recentTable{mask: mask, ring: ring}
		t.flush()
		s.recent[name] = t
		return t
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if ring > t.ring {
		t.flush()
		t.ring = ring
	}
	return t
}

func (t *recentTable) flush() {
	t.entries = map[recentKey]*recentEntry{}
	t.lru.next, t.lru.prev = &t.lru, &t.lru
}

func (t *recentTable) find(k recentKey) *recentEntry { return t.entries[k] }

func (t *recentTable) add(k recentKey, now uint64, ttl uint8) {
	if len(t.entries) >= recentEntries {
		t.remove(t.lru.next)
	}
	e := &recentEntry{key: k, ttl: ttl, index: 1, stamps: make([]uint64, 1, min(t.ring, 8))}
	e.stamps[0] = now
	t.entries[k] = e
	t.link(e)
}

func (t *recentTable) remove(e *recentEntry) {
	delete(t.entries, e.key)
	t.unlink(e)
}

// see adds a stamp and makes the entry the one most recently seen.
func (t *recentTable) see(e *recentEntry, now uint64) {
	e.index &= t.ring - 1
	if e.index == len(e.stamps) {
		e.stamps = append(e.stamps, now)
	} else {
		e.stamps[e.index] = now
	}
	e.index++
	t.unlink(e)
	t.link(e)
}

// reap removes the entry that was longest not seen if it is older than since, but not the one about to be updated.
func (t *recentTable) reap(since uint64, working *recentEntry, update bool) {
	e := t.lru.next
	if e == &t.lru || e == working && update {
		return
	}
	if int64(since-e.stamps[e.index-1]) > 0 {
		t.remove(e)
	}
}

func (t *recentTable) link(e *recentEntry) {
	e.prev, e.next = t.lru.prev, &t.lru
	e.prev.next, t.lru.prev = e, e
}

func (t *recentTable) unlink(e *recentEntry) { e.prev.next, e.next.prev = e.next, e.prev }
