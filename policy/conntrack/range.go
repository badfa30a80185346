package conntrack

import (
	"slices"

	"github.com/moat-router/moat/stack/packet"
)

// Range calls f for every confirmed connection, in order of creation within a shard's chunk, until f says false. f may
// kill; connections that come or go meanwhile may be missed.
func (t *Table) Range(f func(*Conn) bool) {
	var batch []*Conn
	for i := range t.shards {
		s := &t.shards[i]
		batch = batch[:0]
		s.mu.Lock()
		buckets := *s.buckets.Load()
		for b := range buckets {
			for l := link(buckets[b].Load()); l != 0; {
				c, d := t.at(l), l.dir()
				if d == Original || c.status.Load()&flagNoForward != 0 {
					c.hold()
					batch = append(batch, c)
				}
				l = link(c.next[d].Load())
			}
		}
		s.mu.Unlock()
		for n, c := range batch {
			if !f(c) {
				for _, c := range batch[n:] {
					c.put()
				}
				return
			}
			c.put()
		}
	}
}

// Sorted gives all confirmed connections, oldest first, each with a reference; done gives them back.
func (t *Table) Sorted() (all []*Conn, done func()) {
	t.Range(func(c *Conn) bool {
		c.hold()
		all = append(all, c)
		return true
	})
	slices.SortFunc(all, func(a, b *Conn) int { return int(int32(a.seq - b.seq)) })
	return all, func() {
		for _, c := range all {
			c.put()
		}
	}
}

// Flush kills every connection (conntrack -F), oldest first.
func (t *Table) Flush(now packet.Time) {
	all, done := t.Sorted()
	for _, c := range all {
		t.kill(now, c)
	}
	done()
}
