package conntrack

import (
	"github.com/moat-router/moat/stack/packet"
)

// find looks a tuple up and returns its connection with a reference. A connection whose time has run out is absent, and
// killed on the way. filter restricts the direction that may be found: bit 1<<Dir.
func (t *Table) find(now packet.Time, k *Tuple, filter uint8) (*Conn, Dir) {
	h := t.hash(k)
	s := &t.shards[t.shardOf(h)]
	if c, d := t.peek(s, h, k); c != nil {
		if filter>>d&1 != 0 && c.Expires() > now {
			return c, d
		}
		c.put()
	}
	for {
		s.mu.Lock()
		l := link(s.bucket(h).Load())
		for l != 0 {
			c, d := t.at(l), l.dir()
			if c.tuple[d].same(k) && filter>>d&1 != 0 {
				c.refs.Add(1)
				s.mu.Unlock()
				if c.Expires() > now {
					return c, d
				}
				t.kill(now, c)
				c.put()
				break
			}
			l = link(c.next[d].Load())
		}
		if l == 0 {
			s.mu.Unlock()
			return nil, 0
		}
	}
}

// peek is find without the lock, for packets of connections that are there: no two workers write to the same memory for
// them. It may miss one while others come and go, and is right in what it finds: a slot may be freed and used again
// under its eyes, so it takes a reference, which only a slot in use gives, and then looks again. What is confirmed
// and held keeps its tuples. The caller looks under the lock before it believes that there is nothing.
func (t *Table) peek(s *shard, h uint64, k *Tuple) (*Conn, Dir) {
	const far = 64 // a chain that changes while it is walked may lead anywhere
	l := link(s.bucket(h).Load())
	for range far {
		if l == 0 {
			return nil, 0
		}
		c, d := t.at(l), l.dir()
		if c.maybe(d, k) {
			if !c.take() {
				return nil, 0
			}
			if c.Status()&(StatusConfirmed|StatusDying) == StatusConfirmed && c.tuple[d].same(k) {
				return c, d
			}
			c.put()
			return nil, 0
		}
		l = link(c.next[d].Load())
	}
	return nil, 0
}

// maybe compares a tuple that may be changed at this moment; what it says has to be looked at again under a reference.
// That is the one race of this package, and the detector is told so.
//
//go:norace
func (c *Conn) maybe(d Dir, k *Tuple) bool {
	o := &c.tuple[d]
	return o.SrcPort == k.SrcPort && o.DstPort == k.DstPort && o.Src == k.Src && o.Dst == k.Dst && o.Proto == k.Proto
}

// take takes a reference unless the slot is free.
func (c *Conn) take() bool {
	for {
		n := c.refs.Load()
		if n == 0 {
			return false
		}
		if c.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

const bothDirs = 1<<Original | 1<<Reply

// lookup is find for a packet's tuple and the zones that count for its two directions.
func (t *Table) lookup(now packet.Time, k *Tuple, z zones) (*Conn, Dir) {
	k.Zone = z[Original]
	if z[Original] == z[Reply] {
		return t.find(now, k, bothDirs)
	}
	if c, d := t.find(now, k, 1<<Original); c != nil {
		return c, d
	}
	r := *k
	r.Zone = z[Reply]
	return t.find(now, &r, 1<<Reply)
}

// Find looks a tuple up in either direction. The Ref holds the connection until Release.
func (t *Table) Find(now packet.Time, k Tuple) (Ref, bool) {
	c, d := t.find(now, &k, bothDirs)
	if c == nil {
		return Ref{}, false
	}
	return Ref{Conn: c, Info: Info(d) * EstablishedReply}, true
}

// Hold takes a reference that Release gives back.
func (c *Conn) hold() { c.refs.Add(1) }

// put gives a reference back; the last one frees the slot.
func (c *Conn) put() {
	if c.refs.Add(-1) == 0 {
		c.table().free(c)
	}
}
