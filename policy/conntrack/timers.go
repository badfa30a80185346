package conntrack

import (
	"slices"
	"time"

	"github.com/moat-router/moat/stack/packet"
)

// grain is by how much a deadline may be too early: within it a packet need not write, and takes no cache line from a
// worker that carries the other direction. Linux counts in ticks of 1 to 10 ms.
const grain = packet.Time(time.Millisecond)

// refresh sets the deadline. Only if it comes before the slot that the connection is queued in, the wheel is touched.
func (t *Table) refresh(c *Conn, deadline packet.Time) {
	if was := c.Expires(); was <= deadline && deadline < was+grain {
		return
	}
	c.deadline.Store(int64(deadline))
	if c.Status()&StatusConfirmed != 0 && tickOf(deadline) < c.due.Load() {
		s := &t.shards[c.self.shard()]
		s.mu.Lock()
		if c.slot != slotNone {
			s.wheel.remove(t, c)
			s.wheel.place(t, c)
		}
		s.mu.Unlock()
	}
}

// Advance ends everything that is due at now, connections in order of (deadline, creation), expectations after them.
// It is for one caller at a time; others wait.
func (t *Table) Advance(now packet.Time) {
	t.advance.Lock()
	defer t.advance.Unlock()
	for t.expire(now, int(^uint(0)>>1)) {
	}
	t.expireExpects(now)
}

// Tick is Advance in small steps for a live router: it looks at no more than budget connections and reports whether
// there is more to do at this time.
func (t *Table) Tick(now packet.Time, budget int) (more bool) {
	if !t.advance.TryLock() {
		return false
	}
	defer t.advance.Unlock()
	more = t.expire(now, budget)
	t.expireExpects(now)
	return more
}

func (t *Table) expire(now packet.Time, budget int) (more bool) {
	t.due = t.due[:0]
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		var done bool
		t.due, done = s.wheel.advance(t, now, &budget, t.due)
		s.mu.Unlock()
		more = more || !done
	}
	slices.SortFunc(t.due, func(a, b *Conn) int {
		if a, b := a.deadline.Load(), b.deadline.Load(); a != b {
			if a < b {
				return -1
			}
			return 1
		}
		return int(int32(a.seq - b.seq))
	})
	for i, c := range t.due {
		if c.Expires() <= now {
			t.kill(max(0, c.Expires()), c)
		} else {
			s := &t.shards[c.self.shard()]
			s.mu.Lock()
			if c.slot == slotDue {
				s.wheel.remove(t, c)
				s.wheel.place(t, c)
			}
			s.mu.Unlock()
		}
		c.put()
		t.due[i] = nil
	}
	return more
}

// Next is when the first connection or expectation is due, for a clock that is moved by hand. It looks at all of
// them.
func (t *Table) Next() (next packet.Time, ok bool) {
	t.Range(func(c *Conn) bool {
		if e := c.Expires(); !ok || e < next {
			next, ok = e, true
		}
		return true
	})
	t.RangeExpects(func(e *Expect) bool {
		if !ok || e.deadline < next {
			next, ok = e.deadline, true
		}
		return true
	})
	return next, ok
}

// Refresh gives a connection d from now on, for helpers whose answers come late (nf_ct_refresh).
func (t *Table) Refresh(now packet.Time, c *Conn, d time.Duration) {
	if c.Status()&StatusFixedTimeout == 0 {
		t.refresh(c, now.Add(d))
	}
}
