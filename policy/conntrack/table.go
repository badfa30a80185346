package conntrack

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moat-router/moat/stack/packet"
)

// Options are what a Table is made with; the zero value is good.
type Options struct {
	Params *Params // DefaultParams if nil
	Shards int     // a power of two up to 256; 64 if 0
	Seed   uint64  // of the hash's secret, for runs that must repeat; random if 0
	// Helpers that a template or a port can assign.
	Helpers []*Helper
	// Policies are the timeout policies that -j CT --timeout names.
	Policies map[string]*Timeouts
}

// Table is all connections of one router.
type Table struct {
	// OnInvalid is told why a packet is INVALID, where nf_conntrack_log_invalid asks for its protocol: msg is the
	// kernel's text behind "nf_ct_proto_N: ". It is set before the first packet and runs on the packet's worker.
	OnInvalid func(p *packet.Packet, h HookInfo, proto uint8, msg string)

	params atomic.Pointer[Params]
	secret [4]uint64
	shards []shard
	mask   uint64
	bySrc  []srcShard
	exts   extSlab
	exp    expectTable

	count atomic.Int64
	seq   atomic.Uint32
	stats counters

	subMu sync.Mutex
	subs  atomic.Pointer[[]*subscriber]

	advance sync.Mutex
	due     []*Conn

	helpers  []*Helper
	policies map[string]*Timeouts
}

// shard is a part of the hash: the chains of those tuples that hash to it, and the memory and the timers of the
// connections whose original tuple does.
type shard struct {
	buckets atomic.Pointer[[]atomic.Uint32] // links; replaced when it grows. Read without a lock, written under it
	slab    slab
	_       [64]byte // what look-ups read and what only changes write lie apart
	mu      sync.Mutex
	entries int
	wheel   wheel
	_       [64]byte
}

// bucket is the chain that a tuple with this hash stands in.
func (s *shard) bucket(h uint64) *atomic.Uint32 {
	b := *s.buckets.Load()
	return &b[bucketOf(len(b), h)]
}

// srcShard is a part of the index by original source.
type srcShard struct {
	mu      sync.Mutex
	buckets []link
	entries int
	_       [64]byte
}

// New makes an empty table.
func New(o Options) *Table {
	n := o.Shards
	if n == 0 {
		n = 64
	}
	for n&(n-1) != 0 || n > maxShards {
		n = min(n&(n-1), maxShards)
	}
	t := &Table{shards: make([]shard, n), bySrc: make([]srcShard, n), mask: uint64(n - 1), helpers: o.Helpers, policies: o.Policies}
	t.exts.list.Store(&[]*ext{nil})
	seed := rand.Uint64
	if o.Seed != 0 {
		seed = rand.New(rand.NewPCG(o.Seed, o.Seed)).Uint64
	}
	for i := range t.secret {
		t.secret[i] = seed()
	}
	for i := range t.shards {
		b := make([]atomic.Uint32, 16)
		t.shards[i].buckets.Store(&b)
		t.bySrc[i].buckets = make([]link, 16)
	}
	if o.Params == nil {
		o.Params = DefaultParams()
	}
	t.params.Store(o.Params)
	return t
}

// Params are the sysctls in force; they are not to be changed in place.
func (t *Table) Params() *Params { return t.params.Load() }

// SetParams replaces them. Connections keep the deadlines that they have.
func (t *Table) SetParams(p *Params) { t.params.Store(p) }

// Count is nf_conntrack_count: connections in the table and those of packets on their way to confirm.
func (t *Table) Count() int { return int(t.count.Load()) }

func (t *Table) shardOf(h uint64) int { return int(h & t.mask) }

// load is how many buckets there are at least for each entry. A new flow asks for three tuples that nobody has, and every
// connection that stands in the way there is memory that is not in any cache; a bucket takes four bytes.
const load = 2

// growth is how many times larger a hash becomes at once. To grow it is to look at every connection once more.
const growth = 4

func bucketOf(n int, h uint64) int { return int(h>>32) & (n - 1) }

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

// free ends a connection that stands in no list any more: killed, or never confirmed.
func (t *Table) free(c *Conn) {
	t.unlinkSource(c)
	c.dropExt()
	s := &t.shards[c.self.shard()]
	s.mu.Lock()
	l := c.self
	// Field by field: whoever still looks at the slot must see that it has no references.
	c.tuple = [2]Tuple{}
	c.status.Store(0)
	c.mark.Store(0)
	c.deadline.Store(0)
	c.next[Original].Store(0)
	c.next[Reply].Store(0)
	c.srcNext, c.wheelNext, c.wheelPrev, c.masq, c.seq = 0, 0, 0, 0, 0
	c.due.Store(0)
	c.slot = slotNone
	c.proto = [7]uint64{}
	s.slab.free = append(s.slab.free, l)
	s.mu.Unlock()
	t.count.Add(-1)
}

// chain puts one direction of c into the hash; the caller holds s.
func (t *Table) chain(s *shard, c *Conn, d Dir, h uint64) {
	if s.entries*load >= len(*s.buckets.Load()) {
		t.grow(s)
	}
	b := s.bucket(h)
	c.next[d].Store(b.Load())
	b.Store(uint32(c.self.with(d)))
	s.entries++
}

func (t *Table) unchain(s *shard, c *Conn, d Dir, h uint64) {
	at := s.bucket(h)
	for l := link(at.Load()); l != 0; l = link(at.Load()) {
		o, od := t.at(l), l.dir()
		if o == c && od == d {
			at.Store(c.next[d].Load())
			s.entries--
			return
		}
		at = &o.next[od]
	}
}

func (t *Table) grow(s *shard) {
	old := *s.buckets.Load()
	grown := make([]atomic.Uint32, growth*len(old))
	for i := range old {
		for l := link(old[i].Load()); l != 0; {
			c, d := t.at(l), l.dir()
			next := link(c.next[d].Load())
			b := &grown[bucketOf(len(grown), t.hash(&c.tuple[d]))]
			c.next[d].Store(b.Load())
			b.Store(uint32(l))
			l = next
		}
	}
	s.buckets.Store(&grown)
}

// lock2 locks two shards in index order.
func (t *Table) lock2(a, b int) {
	if a > b {
		a, b = b, a
	}
	t.shards[a].mu.Lock()
	if a != b {
		t.shards[b].mu.Lock()
	}
}

func (t *Table) unlock2(a, b int) {
	t.shards[a].mu.Unlock()
	if a != b {
		t.shards[b].mu.Unlock()
	}
}

// Kill removes a connection (nf_ct_delete) and tells of it; false if somebody else did.
func (t *Table) Kill(now packet.Time, c *Conn) bool { return t.kill(now, c) }

func (t *Table) kill(now packet.Time, c *Conn) bool {
	if c.SetStatus(StatusDying)&StatusDying != 0 {
		return false
	}
	if !t.unlink(c) {
		return true // its only packet is still on its walk: confirm will see that it is dying
	}
	if e := c.extension(); e != nil && e.hasStamp {
		e.stop.Store(int64(min(now, c.Expires())))
	}
	t.report(now, c, CauseDestroy)
	t.unlinkSource(c)
	t.dropExpects(now, c)
	c.put()
	return true
}

// unlink takes a connection out of hash and wheel; false if it was never confirmed.
func (t *Table) unlink(c *Conn) bool {
	ho, hr := t.hash(&c.tuple[Original]), t.hash(&c.tuple[Reply])
	so, sr := t.shardOf(ho), t.shardOf(hr)
	t.lock2(so, sr)
	defer t.unlock2(so, sr)
	if c.Status()&StatusConfirmed == 0 {
		return false
	}
	t.unchain(&t.shards[so], c, Original, ho)
	t.unchain(&t.shards[sr], c, Reply, hr)
	t.shards[so].wheel.remove(t, c)
	return true
}

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
