package host

import (
	"sync"

	"github.com/moat-router/moat/stack/packet"
)

// ring holds what the stack has made until the worker sends it. It keeps its buffers.
type ring struct {
	mu       sync.Mutex
	wake     sync.Cond // the worker waits here
	slots    [][]byte
	first, n int
	dropped  uint64
	closed   bool
}

func newRing(slots int) *ring {
	r := &ring{slots: make([][]byte, slots)}
	r.wake.L = &r.mu
	return r
}

// put copies the parts of a datagram in, or counts it as dropped.
func (r *ring) put(parts [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.n == len(r.slots) {
		r.dropped++
		return
	}
	s := &r.slots[(r.first+r.n)%len(r.slots)]
	*s = (*s)[:0]
	for _, b := range parts {
		*s = append(*s, b...)
	}
	r.n++
	r.wake.Signal()
}

// take moves the oldest datagram into p. Without any it returns false, or, if told to wait, waits until there is one
// or the ring is closed.
func (r *ring) take(p *packet.Packet, wait bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.n == 0 && wait && !r.closed {
		r.wake.Wait()
	}
	if r.n == 0 || r.closed {
		return false
	}
	p.Load(r.slots[r.first])
	r.first, r.n = (r.first+1)%len(r.slots), r.n-1
	return true
}

func (r *ring) close() {
	r.mu.Lock()
	r.closed = true
	r.wake.Broadcast()
	r.mu.Unlock()
}

func (r *ring) drops() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped
}
