package conntrack

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"

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

	count  atomic.Int64
	seq    atomic.Uint32
	labels bool // rules use labels; see UseLabels
	// labelsFrom is the last connection that began before they did.
	labelsFrom atomic.Uint32
	stats      counters

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

// UseLabels says whether rules use labels from now on. It is for one caller at a time.
func (t *Table) UseLabels(on bool) {
	if on && !t.labels {
		t.labelsFrom.Store(t.seq.Load())
	}
	t.labels = on
}

// Count is nf_conntrack_count: connections in the table and those of packets on their way to confirm.
func (t *Table) Count() int { return int(t.count.Load()) }

func (t *Table) shardOf(h uint64) int { return int(h & t.mask) }

// load is how many buckets there are at least for each entry. A new flow asks for three tuples that nobody has, and every
// connection that stands in the way there is memory that is not in any cache; a bucket takes four bytes.
const load = 2

// growth is how many times larger a hash becomes at once. To grow it is to look at every connection once more.
const growth = 4

func bucketOf(n int, h uint64) int { return int(h>>32) & (n - 1) }

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
