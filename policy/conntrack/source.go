package conntrack

import "github.com/moat-router/moat/stack/packet"

// The index by original source (nf_nat_bysource): every connection whose source NAT has been decided. Linux asks it
// which mapping a source has; what outlives connections can stand on the same key.

// IndexSource puts c into the index (the end of nf_nat_setup_info for a source manip).
func (t *Table) IndexSource(c *Conn) {
	if c.status.Or(flagSource)&flagSource != 0 {
		return
	}
	h := t.hashSource(&c.tuple[Original])
	s := &t.bySrc[t.shardOf(h)]
	s.mu.Lock()
	if s.entries*load >= len(s.buckets) {
		t.growSource(s)
	}
	b := bucketOf(len(s.buckets), h)
	c.srcNext = s.buckets[b]
	s.buckets[b] = c.self
	s.entries++
	s.mu.Unlock()
}

func (t *Table) unlinkSource(c *Conn) {
	if c.status.And(^uint32(flagSource))&flagSource == 0 {
		return
	}
	h := t.hashSource(&c.tuple[Original])
	s := &t.bySrc[t.shardOf(h)]
	s.mu.Lock()
	defer s.mu.Unlock()
	at := &s.buckets[bucketOf(len(s.buckets), h)]
	for *at != 0 {
		if *at == c.self {
			*at = c.srcNext
			s.entries--
			return
		}
		at = &t.at(*at).srcNext
	}
}

// SameSource calls f with the reply tuple of every connection whose original source (address, port or id, protocol,
// zone) is that of k, latest first, until f says false. f runs under a lock and must not call the table.
func (t *Table) SameSource(k *Tuple, f func(reply *Tuple) bool) {
	h := t.hashSource(k)
	s := &t.bySrc[t.shardOf(h)]
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := s.buckets[bucketOf(len(s.buckets), h)]; l != 0; {
		c := t.at(l)
		o := &c.tuple[Original]
		if o.Src == k.Src && o.SrcPort == k.SrcPort && o.Proto == k.Proto && o.V6 == k.V6 && o.Zone == k.Zone {
			if !f(&c.tuple[Reply]) {
				return
			}
		}
		l = c.srcNext
	}
}

func (t *Table) growSource(s *srcShard) {
	old := s.buckets
	s.buckets = make([]link, growth*len(old))
	// Chains are turned around twice so that the latest stays first.
	for _, l := range old {
		var back link
		for l != 0 {
			c := t.at(l)
			next := c.srcNext
			c.srcNext, back = back, l
			l = next
		}
		for back != 0 {
			c := t.at(back)
			next := c.srcNext
			b := bucketOf(len(s.buckets), t.hashSource(&c.tuple[Original]))
			c.srcNext = s.buckets[b]
			s.buckets[b] = back
			back = next
		}
	}
}

// Taken tells whether a connection other than ignore has the tuple (nf_conntrack_tuple_taken). A connection with the
// same original tuple does not count: it is the same flow, met by two workers at once, and confirm resolves it.
func (t *Table) Taken(now packet.Time, k *Tuple, ignore *Conn) bool {
	h := t.hash(k)
	s := &t.shards[t.shardOf(h)]
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := link(s.bucket(h).Load()); l != 0; {
		c, d := t.at(l), l.dir()
		if c.tuple[d].same(k) && c != ignore && c.Expires() > now && !c.tuple[Original].same(&ignore.tuple[Original]) {
			return true
		}
		l = link(c.next[d].Load())
	}
	return false
}
