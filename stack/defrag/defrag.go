package defrag

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/moat-router/moat/stack/packet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// UserLocal is the user of fragments that are reassembled for local delivery, because conntrack did not do it. Every
// other user is a conntrack (a zone, a direction); fragments of different users never meet (enum ip_defrag_users).
const UserLocal uint32 = 0

// UserConntrackIn is the user of fragments that arrive and meet conntrack with this zone; UserConntrackOut is that of
// the router's own.
func UserConntrackIn(zone uint16) uint32  { return 1<<16 | uint32(zone) }
func UserConntrackOut(zone uint16) uint32 { return 2<<16 | uint32(zone) }

// Limits bound one of the three reassemblies.
type Limits struct {
	Timeout time.Duration // from the first fragment to arrive; ipfrag_time
	High    int           // bytes; over it no fragment is accepted; ipfrag_high_thresh
	MaxDist int           // fragments of the same source between two of a datagram; 0: any number; ipfrag_max_dist
}

// Options are the values of the sysctls. They may change at run time; deadlines that are set stay.
type Options struct {
	V4      Limits
	V6      Limits // conntrack
	V6Local Limits
	// PerSource is the share in bytes that a source can have even while others flood: see Limits of the package. 0: none,
	// as Linux.
	PerSource int
}

// DefaultOptions are Linux's defaults, and a share of 256 KiB for each source.
func DefaultOptions() Options {
	return Options{
		V4:        Limits{30 * time.Second, 4 << 20, 64},
		V6:        Limits{60 * time.Second, 4 << 20, 0},
		V6Local:   Limits{60 * time.Second, 4 << 20, 0},
		PerSource: 256 << 10,
	}
}

func (o *Options) limits(k kind) *Limits {
	return [kinds]*Limits{&o.V4, &o.V6, &o.V6Local}[k]
}

// Defrag holds fragments until their datagrams are whole. Safe for concurrent use.
type Defrag struct {
	mu     sync.Mutex
	opt    Options
	book   book
	engine *engine
	stats  Stats
	pool   sync.Pool
}

// Stats counts since New. Memory and Queues are of now.
type Stats struct {
	Fragments, Whole, Timeouts, Overlaps, Duplicates, Malformed, Limit, Evicted, TooFar uint64
	// Refused counts complete sets that gVisor did not make whole. Not 0 is a bug of ours.
	Refused uint64
	Queues  int
	// Memory in bytes as Linux accounts it: IPv4, IPv6 conntrack, IPv6 local.
	Memory [3]int
}

// New makes an empty Defrag.
func New(o Options) *Defrag {
	return &Defrag{opt: o, book: newBook(), engine: newEngine(), pool: sync.Pool{New: func() any { return packet.New() }}}
}

// SetOptions changes the limits for what comes from now on.
func (d *Defrag) SetOptions(o Options) {
	d.mu.Lock()
	d.opt = o
	d.mu.Unlock()
}

// Stats gives the counters.
func (d *Defrag) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.stats
	s.Queues, s.Memory = len(d.book.heap), d.book.mem
	return s
}

// Add takes one parsed datagram that arrived on device in for a user.
//
//	whole, ReasonNone       it completed its datagram, which is parsed and belongs to the caller until Done
//	nil, ReasonNone         it is not a fragment, or Linux lets it pass as it is: p goes on
//	nil, ReasonFragQueued   it was copied and waits for the others
//	nil, any other reason   it was dropped, perhaps with its queue
//
// p stays the caller's. The whole datagram is as Linux leaves it: the IPv4 header of fragment 0 with flags and offset
// cleared (DF stays if the largest fragment had it) and the id kept; the IPv6 headers of fragment 0 without the
// fragment header; ECN merged. It should be taken for one that arrived on the device of the last fragment.
func (d *Defrag) Add(now packet.Time, p *packet.Packet, in int, user uint32) (whole *packet.Packet, r packet.Reason) {
	read := read4
	if p.V6 {
		read = read6
	}
	f, is := read(p, in, user)
	if is == notFragment {
		return nil, packet.ReasonNone
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stats.Fragments++
	if r = packet.ReasonFragMalformed; is == aFragment {
		whole, r = d.add(now, &f)
	}
	d.count(r)
	return whole, r
}

func (d *Defrag) count(r packet.Reason) {
	switch r {
	case packet.ReasonFragOverlap:
		d.stats.Overlaps++
	case packet.ReasonFragDuplicate:
		d.stats.Duplicates++
	case packet.ReasonFragMalformed:
		d.stats.Malformed++
	case packet.ReasonFragLimit:
		d.stats.Limit++
	}
}

func (d *Defrag) add(now packet.Time, f *fragment) (*packet.Packet, packet.Reason) {
	lim := d.opt.limits(f.kind)
	if !d.room(f, lim) {
		return nil, packet.ReasonFragLimit
	}
	q := d.book.queues[f.key]
	if q != nil && q.deadline <= now {
		// Its time is over though nobody has called Expire yet. It keeps its place in the heap, to be reported.
		delete(d.book.queues, f.key)
		q = nil
	}
	if q == nil {
		q = d.book.open(f.key, now.Add(lim.Timeout))
	}
	if d.tooFar(q, lim) {
		d.stats.TooFar++
		d.book.empty(q, now.Add(lim.Timeout))
	}
	fate := q.add(f)
	if fate.kill {
		d.book.close(q)
	}
	if fate.reason != packet.ReasonFragQueued {
		return nil, fate.reason
	}
	d.book.charge(q, cost(len(f.raw)))
	if !q.whole() {
		return nil, packet.ReasonFragQueued
	}
	d.book.close(q)
	whole, r := d.assemble(q)
	if whole != nil {
		d.stats.Whole++
	}
	return whole, r
}

// room tells whether memory is left for one more fragment, and makes some if the source has not had its share.
func (d *Defrag) room(f *fragment, lim *Limits) bool {
	for d.book.mem[f.kind] > lim.High || lim.High == 0 {
		s := d.book.sources[sourceKey{f.src, f.kind}]
		if lim.High == 0 || s != nil && s.mem >= d.opt.PerSource || d.opt.PerSource <= 0 {
			return false
		}
		if !d.book.evict(f.kind, f.src, d.opt.PerSource) {
			return false
		}
		d.stats.Evicted++
	}
	return true
}

// tooFar counts a fragment of the queue's source and tells whether so many of other datagrams came since the queue's
// last one that its id may have come round (ip_frag_too_far).
func (d *Defrag) tooFar(q *queue, lim *Limits) bool {
	if lim.MaxDist <= 0 {
		return false
	}
	q.source.rid++
	gap := q.source.rid - q.rid
	q.rid = q.source.rid
	return len(q.pieces) > 0 && gap > uint64(lim.MaxDist)
}

// assemble lets gVisor make the payload whole and puts fragment 0's headers in front.
func (d *Defrag) assemble(q *queue) (*packet.Packet, packet.Reason) {
	v6 := q.kind.v6()
	ce, ok := ceOver(q.ecn)
	total := q.head + q.length
	counted := total // what the length field counts
	if v6 {
		counted -= header.IPv6MinimumSize
	}
	if !ok || counted > maxLen {
		return nil, packet.ReasonFragMalformed
	}
	slices.SortFunc(q.pieces, func(a, b piece) int { return cmp.Compare(a.off, b.off) })
	w := d.pool.Get().(*packet.Packet)
	w.Reset()
	w.SetLen(total)
	copy(w.Data, q.raw[:q.head])
	if err := d.engine.reassemble(v6, q.pieces, w.Data[q.head:]); err != nil {
		d.stats.Refused++
		d.engine.close()
		d.engine = newEngine()
		d.pool.Put(w)
		return nil, packet.ReasonFragLimit
	}
	df := !v6 && q.maxDF == q.max
	if v6 {
		w.Data[q.nhOff] = q.next
		binary.BigEndian.PutUint16(w.Data[4:], uint16(counted))
		w.Data[1] |= ce << 4
	} else {
		h := header.IPv4(w.Data)
		h.SetTotalLength(uint16(counted))
		h[1] |= ce
		binary.BigEndian.PutUint16(h[6:], 0)
		if df {
			h[6] = 0x40
		}
		h.SetChecksum(0)
		h.SetChecksum(^h.CalculateChecksum())
	}
	return d.finish(w, q)
}

// finish parses the whole and adds what reassembly knows.
func (d *Defrag) finish(w *packet.Packet, q *queue) (*packet.Packet, packet.Reason) {
	w.CsumGood = !q.bad
	if r := w.Parse(); r != packet.ReasonNone {
		d.pool.Put(w)
		return nil, r
	}
	w.FragMax, w.FragID = q.max, q.id
	for _, p := range q.pieces {
		w.Pieces = append(w.Pieces, packet.Piece{Off: uint16(p.off), Len: uint16(len(p.data)), DF: p.df})
		w.FragDF = w.FragDF || p.df
	}
	w.FragECN = w.Data[1] & 3
	if w.V6 {
		w.FragECN = w.Data[1] >> 4 & 3
	}
	return w, packet.ReasonNone
}

// Done takes a whole datagram back.
func (d *Defrag) Done(whole *packet.Packet) { d.pool.Put(whole) }

// Expired is a datagram that was not whole in time.
type Expired struct {
	V6   bool
	User uint32
	In   int // device of the last fragment that arrived: a Time Exceeded leaves by it (Linux)
	// First is fragment 0 as it arrived, from its IP header on; nil if it did not. Only if it did, an ICMP Time Exceeded
	// (11/1, 3/1) may be sent (RFC 792, RFC 8200 4.5), and Linux's conntrack sends it for IPv4 only if the datagram was
	// for the router itself. The bytes may be kept.
	First []byte
	At    packet.Time // its deadline
}

// Expire reports and forgets what was due at now or before, in order of deadline, then of birth. f is called without
// the lock.
func (d *Defrag) Expire(now packet.Time, f func(Expired)) {
	for {
		d.mu.Lock()
		if len(d.book.heap) == 0 || d.book.heap[0].deadline > now {
			d.mu.Unlock()
			return
		}
		q := d.book.heap[0]
		e := Expired{V6: q.kind.v6(), User: q.user, In: q.dev, First: q.raw, At: q.deadline}
		d.book.close(q)
		d.stats.Timeouts++
		d.mu.Unlock()
		f(e)
	}
}

// Next is the earliest deadline; not ok: nothing waits.
func (d *Defrag) Next() (at packet.Time, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.book.heap) == 0 {
		return 0, false
	}
	return d.book.heap[0].deadline, true
}

// Flush forgets everything without a word.
func (d *Defrag) Flush() {
	d.mu.Lock()
	d.book = newBook()
	d.mu.Unlock()
}

// All sends a whole datagram's payload through gVisor's endpoint and back (`defrag: all`), and tells whether it
// did return; then the payload is what came back, else the datagram is untouched. A super-segment is larger than a
// datagram and cannot go.
func (d *Defrag) All(_ packet.Time, p *packet.Packet) bool {
	head := header.IPv6MinimumSize
	if !p.V6 {
		head = int(header.IPv4(p.Data).HeaderLength())
	}
	switch n := len(p.Data) - head; {
	case n == 0:
		return true
	case n > maxLen-header.IPv4MinimumSize:
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.pool.Get().(*packet.Packet)
	defer d.pool.Put(w)
	w.Reset()
	w.SetLen(len(p.Data) - head)
	if err := d.engine.reassemble(p.V6, []piece{{data: p.Data[head:]}}, w.Data); err != nil {
		return false
	}
	copy(p.Data[head:], w.Data)
	return true
}
