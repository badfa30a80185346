package xt

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

type hashlimitName struct {
	name   string
	family policy.Family
}

// hashlimitTable holds the buckets of one name. It is cut into shards with a lock each; a bucket is looked up and
// charged under the lock of its shard.
type hashlimitTable struct {
	cfg    hashlimitConfig
	limit  int64 // of buckets
	gc     uint64
	expire uint64
	seed   maphash.Seed
	count  atomic.Int64
	shards [hashlimitShards]hashlimitShard
}

const hashlimitShards = 16

type hashlimitShard struct {
	mu      sync.Mutex
	buckets map[hashlimitKey]hashlimitBucket
	swept   uint64 // the last turn of the garbage collector that this shard has seen
	_       [40]byte
}

type hashlimitKey struct {
	src, dst         packet.Addr
	srcPort, dstPort uint16
}

// hashlimitBucket is struct dsthash_ent. Limits hold credit, which grows with time up to a cap; a rate match counts
// what came in the running interval.
type hashlimitBucket struct {
	prev, expires uint64 // jiffies
	credit        uint64
	cap           uint64
	current       uint64
	over          bool
}

const (
	// creditsPerJiffy and its brother for bytes are the largest powers of two with which a day's credit fits.
	creditsPerJiffy     = uint64(1) << 39
	byteCreditsPerJiffy = uint64(1) << 24
	byteCreditCap       = byteCreditsPerJiffy * hz
)

// userToCredits turns 1/1000000 s into credit (user2credits): the constants are divided first, and the product may
// wrap, for which rules are checked when they are loaded.
func userToCredits(user uint64) uint64 { return user * (hz * creditsPerJiffy / hashlimitScale) }

// hashlimitTable finds or makes a table. The rule that makes it gives it its rate and sizes.
func (s *Shared) hashlimitTable(name string, c *hashlimitConfig) *hashlimitTable {
	k := hashlimitName{name, c.family}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.hashlimit[k]
	if t != nil {
		return t
	}
	size := c.size
	if size == 0 {
		size = 8192 // as Linux on a machine with 1 GB or more
	}
	limit := c.max
	if limit == 0 {
		limit = 8 * size
	}
	t = &hashlimitTable{
		cfg: *c, limit: int64(max(limit, size)), seed: maphash.MakeSeed(),
		gc: msToJiffies(uint64(c.gc)), expire: msToJiffies(uint64(c.expire)),
	}
	for i := range t.shards {
		t.shards[i].buckets = map[hashlimitKey]hashlimitBucket{}
	}
	s.hashlimit[k] = t
	return t
}

// take charges a packet of size bytes to its bucket and tells whether it was within the limit. It is not ok if the
// table is full. What is charged and how follows the rule's own options, the rate is the table's.
func (t *hashlimitTable) take(k hashlimitKey, size, now uint64, rule *hashlimitConfig) (within, ok bool) {
	s := &t.shards[maphash.Comparable(t.seed, k)%hashlimitShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	t.sweep(s, now)
	b, found := s.buckets[k]
	if found {
		t.refill(&b, now)
	} else {
		if t.count.Load() >= t.limit {
			return false, false
		}
		t.count.Add(1)
		b = t.fresh(now)
	}
	b.expires = now + t.expire
	within = t.charge(&b, size, rule)
	s.buckets[k] = b
	return within, true
}

func (t *hashlimitTable) fresh(now uint64) hashlimitBucket {
	c := &t.cfg
	switch {
	case c.rateMatch:
		return hashlimitBucket{prev: now}
	case c.bytes:
		return hashlimitBucket{prev: now, credit: byteCreditCap, cap: c.burst}
	}
	full := userToCredits(c.avg * c.burst)
	return hashlimitBucket{prev: now, credit: full, cap: full}
}

func (t *hashlimitTable) refill(b *hashlimitBucket, now uint64) {
	delta := now - b.prev
	if delta == 0 {
		return
	}
	c := &t.cfg
	switch {
	case c.rateMatch:
		interval := uint64(c.interval) * hz
		if delta < interval {
			return
		}
		rate, _ := t.rate()
		b.over = b.current*interval > delta*rate
		b.current = 0
	case c.bytes:
		b.credit = min(b.credit+min(delta, hz)*byteCreditsPerJiffy, byteCreditCap)
	default:
		// More than a day's credit would not fit into 64 bits, and is more than any cap worth having.
		more := min(delta, 24*60*60*hz) * creditsPerJiffy
		if b.credit += more; b.credit < more || b.credit > b.cap {
			b.credit = b.cap
		}
	}
	b.prev = now
}

// rate is what a rate match allows in an interval, and how much more at once.
func (t *hashlimitTable) rate() (rate, burst uint64) {
	c := &t.cfg
	if c.bytes {
		rate = costToBytes(c.avg)
		if c.burst != 0 {
			return rate, c.burst * rate
		}
		return rate, rate
	}
	rate = hashlimitScale / c.avg
	return rate, c.burst + rate
}

func (t *hashlimitTable) charge(b *hashlimitBucket, size uint64, rule *hashlimitConfig) bool {
	if rule.rateMatch {
		cost := uint64(1)
		if rule.bytes {
			cost = size
		}
		b.current += cost
		_, burst := t.rate()
		return !b.over && b.current <= burst
	}
	cost := userToCredits(t.cfg.avg)
	if rule.bytes {
		perChunk := uint64(uint32(t.cfg.avg * hz * byteCreditsPerJiffy >> 32))
		cost = min((size>>hashlimitByteShift+1)*perChunk, byteCreditCap)
		if b.credit < cost && b.cap != 0 {
			// A burst in bytes is a number of refills.
			b.cap--
			b.credit = byteCreditCap
		}
	}
	if b.credit < cost {
		return false
	}
	b.credit -= cost
	return true
}

// sweep does what the garbage collector has done to this shard at its last turn, one every gc jiffies: buckets that
// were idle for the time to expire go, together with the memory of what they had used up.
func (t *hashlimitTable) sweep(s *hashlimitShard, now uint64) {
	turn := now / t.gc
	if turn == s.swept {
		return
	}
	s.swept = turn
	for k, b := range s.buckets {
		if b.expires <= turn*t.gc {
			delete(s.buckets, k)
			t.count.Add(-1)
		}
	}
}
