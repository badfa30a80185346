package link

import "github.com/moat-router/moat/stack/packet"

// maxWaiting is how many bytes wait in each direction of a pipe: as a cable's queue on Linux is bounded in bytes too
// (byte queue limits), and more than one TCP window's worth of super-segments would only go cold in the cache.
const maxWaiting = 4 << 20

// firstBytes is what a ring starts with when the first datagram comes; an idle ring has nothing.
const firstBytes = 4 << 10

// ring is a queue of datagrams that lie one behind the other in one circle of bytes. It costs what its datagrams need:
// both circles grow by doubling and are never given back, so that a warm ring does not allocate.
type ring struct {
	slots    []slot
	first, n int
	most     int // slots at the most
	bytes    []byte
	head     int // of the oldest datagram
	used     int
}

type slot struct {
	size int
	off  packet.Offload
}

func (r *ring) put(p *packet.Packet) bool {
	size := len(p.Data)
	if r.n == r.most || r.n > 0 && r.used+size > maxWaiting {
		return false
	}
	if r.n == len(r.slots) {
		r.moreSlots()
	}
	if r.used+size > len(r.bytes) {
		r.moreBytes(size)
	}
	at := wrap(r.head+r.used, len(r.bytes))
	k := copy(r.bytes[at:], p.Data)
	copy(r.bytes, p.Data[k:])
	r.slots[wrap(r.first+r.n, len(r.slots))] = slot{size, p.Offload}
	r.n++
	r.used += size
	return true
}

// take moves the oldest datagram into p.
func (r *ring) take(p *packet.Packet) {
	s := &r.slots[r.first]
	p.Reset()
	p.SetLen(s.size)
	k := copy(p.Data, r.bytes[r.head:])
	copy(p.Data[k:], r.bytes)
	p.Offload = s.off
	r.first, r.n = wrap(r.first+1, len(r.slots)), r.n-1
	r.head, r.used = wrap(r.head+s.size, len(r.bytes)), r.used-s.size
	if r.used == 0 {
		r.head = 0 // the same bytes again: they are in the cache
	}
}

func (r *ring) moreSlots() {
	slots := make([]slot, min(max(2*len(r.slots), 16), r.most))
	for i := range r.n {
		slots[i] = r.slots[wrap(r.first+i, len(r.slots))]
	}
	r.slots, r.first = slots, 0
}

func (r *ring) moreBytes(size int) {
	n := max(2*len(r.bytes), firstBytes)
	for n < r.used+size {
		n *= 2
	}
	b := make([]byte, n)
	k := copy(b[:r.used], r.bytes[r.head:])
	copy(b[k:r.used], r.bytes)
	r.bytes, r.head = b, 0
}

// wrap is i in a circle of n; i < 2n.
func wrap(i, n int) int {
	if i >= n {
		return i - n
	}
	return i
}
