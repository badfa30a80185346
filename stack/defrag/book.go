package defrag

import (
	"container/heap"

	"github.com/moat-router/moat/stack/packet"
)

// book is the set of queues: by key, by age, by deadline, by source, with the memory they hold.
type book struct {
	queues  map[key]*queue
	sources map[sourceKey]*source
	heap    deadlines
	oldest  [kinds]*queue
	newest  [kinds]*queue
	mem     [kinds]int
	seq     uint64
}

// source is a sender with at least one queue.
type source struct {
	key    sourceKey
	mem    int
	queues int
	rid    uint64 // fragments seen since its first queue
}

type sourceKey struct {
	addr packet.Addr
	kind kind
}

func newBook() book {
	return book{queues: map[key]*queue{}, sources: map[sourceKey]*source{}}
}

// queueCost is the memory of a queue itself (measured: /proc/net/sockstat, one fragment against two).
const queueCost = 200

// cost is the memory that Linux accounts for a datagram of n bytes read from a TUN: its truesize, which is 256 bytes
// of sk_buff and the data with 384 bytes around it in the next slab or page size (measured as above).
func cost(n int) int {
	n += 384
	for _, slab := range [...]int{576, 1024, 2048, 4096, 8192} {
		if n <= slab {
			return 256 + slab
		}
	}
	return 256 + (n+4095)&^4095
}

func (b *book) open(k key, deadline packet.Time) *queue {
	sk := sourceKey{k.src, k.kind}
	s := b.sources[sk]
	if s == nil {
		s = &source{key: sk}
		b.sources[sk] = s
	}
	s.queues++
	b.seq++
	q := &queue{key: k, deadline: deadline, seq: b.seq, source: s}
	b.queues[k] = q
	heap.Push(&b.heap, q)
	if q.older = b.newest[k.kind]; q.older != nil {
		q.older.newer = q
	} else {
		b.oldest[k.kind] = q
	}
	b.newest[k.kind] = q
	b.charge(q, queueCost)
	return q
}

func (b *book) charge(q *queue, n int) {
	q.cost += n
	q.source.mem += n
	b.mem[q.kind] += n
}

// close forgets a queue (inet_frag_kill).
func (b *book) close(q *queue) {
	b.charge(q, -q.cost)
	if q.source.queues--; q.source.queues == 0 {
		delete(b.sources, q.source.key)
	}
	if b.queues[q.key] == q {
		delete(b.queues, q.key)
	}
	heap.Remove(&b.heap, q.heapAt)
	if q.older != nil {
		q.older.newer = q.newer
	} else {
		b.oldest[q.kind] = q.newer
	}
	if q.newer != nil {
		q.newer.older = q.older
	} else {
		b.newest[q.kind] = q.older
	}
}

// empty throws away what a queue holds but not the queue (ip_frag_reinit).
func (b *book) empty(q *queue, deadline packet.Time) {
	b.charge(q, queueCost-q.cost)
	q.pieces, q.runs, q.raw = nil, nil, nil
	q.length, q.meat, q.first, q.last, q.ecn, q.max, q.maxDF, q.bad = 0, 0, false, false, 0, 0, 0, false
	q.deadline = deadline
	heap.Fix(&b.heap, q.heapAt)
}

// scan is how many of the oldest queues are looked at for one of a greedy source.
const scan = 64

// evict closes the oldest datagram that is not from addr, of a source that holds more than share if one is near.
func (b *book) evict(k kind, addr packet.Addr, share int) bool {
	var victim *queue
	for q, n := b.oldest[k], 0; q != nil && (n < scan || victim == nil); q, n = q.newer, n+1 {
		if q.src == addr {
			continue
		}
		if q.source.mem > share {
			victim = q
			break
		}
		if victim == nil {
			victim = q
		}
	}
	if victim == nil {
		return false
	}
	b.close(victim)
	return true
}

// deadlines is a heap of queues by (deadline, birth).
type deadlines []*queue

func (h deadlines) Len() int { return len(h) }
func (h deadlines) Less(i, j int) bool {
	if h[i].deadline != h[j].deadline {
		return h[i].deadline < h[j].deadline
	}
	return h[i].seq < h[j].seq
}
func (h deadlines) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapAt, h[j].heapAt = i, j
}
func (h *deadlines) Push(x any) {
	q := x.(*queue)
	q.heapAt = len(*h)
	*h = append(*h, q)
}
func (h *deadlines) Pop() any {
	old := *h
	q := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return q
}
