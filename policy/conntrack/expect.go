package conntrack

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moat-router/moat/stack/packet"
)

// Expect is a connection that a helper has read of and that may come (struct nf_conntrack_expect). Tuple is what its
// first packet will have; source address and port count only under Mask.
type Expect struct {
	Tuple  Tuple
	Mask   ExpectMask
	Flags  ExpectFlags
	Class  int
	Helper *Helper // assigned to the connection that comes; nil for none
	Fn     Hooked  // nil for none

	// What NAT of the payload needs when the connection comes: the direction it comes in, and where to really.
	Dir       Dir
	SavedAddr packet.Addr
	SavedPort uint16

	master   *Conn
	deadline packet.Time
	number   uint64
}

// ExpectMask says what of an expected source counts. Bits of the address in the 16-byte form; the zero value lets any
// source in.
type ExpectMask struct {
	Src  packet.Addr
	Port uint16
}

// ExpectFlags are NF_CT_EXPECT_*, with the kernel's numbers.
type ExpectFlags uint8

// The flags.
const (
	ExpectPermanent ExpectFlags = 1 << 0 // stays after it was fulfilled
	ExpectInactive  ExpectFlags = 1 << 1 // fulfils nothing yet
	ExpectUserspace ExpectFlags = 1 << 2
)

// ExpectInfo is what an event tells of an expectation.
type ExpectInfo struct {
	Tuple   Tuple
	Mask    ExpectMask
	Master  Tuple
	Timeout time.Duration
	Helper  string
	Class   string
	Flags   ExpectFlags
}

// Errors of ExpectRelated.
var (
	ErrExpectBusy  = errors.New("another connection expects the same") // -EBUSY
	ErrExpectLimit = errors.New("too many expectations")               // -EMFILE
	ErrNoHelper    = errors.New("the connection has no helper")        // -ESHUTDOWN
)

// expectTable is all expectations. They are few and short-lived: one lock, one list, and an atomic count so that
// connections that nobody expects do not take the lock.
type expectTable struct {
	mu     sync.Mutex
	count  atomic.Int32
	list   []*Expect // in order of creation
	number uint64
}

// Master is the connection whose helper expects this one.
func (e *Expect) Master() *Conn { return e.master }

// Expires is when it is given up.
func (e *Expect) Expires() packet.Time { return e.deadline }

// matches tells whether a first packet's tuple is the expected one (nf_ct_tuple_mask_cmp).
func (e *Expect) matches(k *Tuple) bool {
	return k.V6 == e.Tuple.V6 && k.Proto == e.Tuple.Proto && k.Dst == e.Tuple.Dst && k.DstPort == e.Tuple.DstPort &&
		(k.SrcPort^e.Tuple.SrcPort)&e.Mask.Port == 0 && sameUnder(&k.Src, &e.Tuple.Src, &e.Mask.Src)
}

func sameUnder(a, b, mask *packet.Addr) bool {
	for i := range a {
		if (a[i]^b[i])&mask[i] != 0 {
			return false
		}
	}
	return true
}

// clashes tells whether one packet could fulfil both (expect_clash).
func (e *Expect) clashes(o *Expect) bool {
	both := ExpectMask{Port: e.Mask.Port & o.Mask.Port}
	for i := range both.Src {
		both.Src[i] = e.Mask.Src[i] & o.Mask.Src[i]
	}
	probe := Expect{Tuple: o.Tuple, Mask: both}
	return probe.matches(&e.Tuple) && e.sameZone(o)
}

func (e *Expect) sameZone(o *Expect) bool {
	return e.master.tuple[0].Zone == o.master.tuple[0].Zone && e.master.tuple[1].Zone == o.master.tuple[1].Zone
}

// ExpectRelated enters an expectation of c's helper (nf_ct_expect_related). The same one again replaces the older; one
// too many of a class replaces the oldest.
func (t *Table) ExpectRelated(now packet.Time, c *Conn, e *Expect) error {
	h := c.Helper()
	if h == nil || e.Class >= len(h.Classes) {
		return ErrNoHelper
	}
	class := &h.Classes[e.Class]
	x := &t.exp
	x.mu.Lock()
	defer x.mu.Unlock()
	e.master = c
	for _, o := range x.list {
		if o.master == c && o.Class == e.Class && o.Tuple == e.Tuple && o.Mask == e.Mask {
			t.removeExpect(now, o, true)
			break
		}
		if o.clashes(e) {
			return ErrExpectBusy
		}
	}
	ext := c.addExt()
	if class.Max > 0 && ext.expecting[e.Class] >= class.Max {
		for _, o := range ext.expects {
			if o.Class == e.Class {
				t.removeExpect(now, o, true)
				break
			}
		}
	}
	if limit := t.params.Load().ExpectMax; len(x.list) >= limit {
		return ErrExpectLimit
	}
	c.hold()
	x.number++
	e.number = x.number
	e.deadline = now.Add(class.Timeout)
	x.list = append(x.list, e)
	x.count.Store(int32(len(x.list)))
	ext.expects = append(ext.expects, e)
	ext.expecting[e.Class]++
	t.stats.expectCreate.Add(1)
	t.reportExpect(now, e, CauseExpNew)
	return nil
}

// ExpectDone takes an expectation back (nf_ct_unexpect_related).
func (t *Table) ExpectDone(now packet.Time, e *Expect) {
	t.exp.mu.Lock()
	defer t.exp.mu.Unlock()
	t.removeExpect(now, e, true)
}

// removeExpect takes e out of the lists; the caller holds the lock. The master's reference goes with it, unless keep
// is false: then the caller has it now.
func (t *Table) removeExpect(now packet.Time, e *Expect, drop bool) bool {
	x := &t.exp
	i := slices.Index(x.list, e)
	if i < 0 {
		return false
	}
	x.list = slices.Delete(x.list, i, i+1)
	x.count.Store(int32(len(x.list)))
	ext := e.master.extension()
	if i := slices.Index(ext.expects, e); i >= 0 {
		ext.expects = slices.Delete(ext.expects, i, i+1)
		ext.expecting[e.Class]--
	}
	t.stats.expectDelete.Add(1)
	t.reportExpect(now, e, CauseExpDestroy)
	if drop {
		e.master.put()
	}
	return true
}

// takeExpect finds what a new connection's tuple fulfils, and takes it out unless it is permanent
// (nf_ct_find_expectation). The master comes with a reference.
func (t *Table) takeExpect(now packet.Time, k *Tuple, z zones) *Expect {
	x := &t.exp
	if x.count.Load() == 0 {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range x.list {
		m := e.master
		if e.Flags&ExpectInactive != 0 || e.deadline <= now || !e.matches(k) || m.tuple[0].Zone != z[0] || m.tuple[1].Zone != z[1] {
			continue
		}
		if s := m.Status(); s&StatusConfirmed == 0 || s&StatusDying != 0 {
			return nil // who could know of it?
		}
		if e.Flags&ExpectPermanent != 0 {
			m.hold()
		} else {
			t.removeExpect(now, e, false)
		}
		return e
	}
	return nil
}

// expected makes c the connection that e told of.
func (t *Table) expected(c *Conn, e *Expect, x *look) {
	c.SetStatus(StatusExpected)
	ext := c.addExt()
	ext.master = e.master
	if e.Helper != nil {
		c.help(e.Helper)
	}
	c.mark.Store(e.master.Mark())
	t.stats.expectNew.Add(1)
	if e.Fn != nil {
		e.Fn(t, x.now, c, e, x.rng)
	}
}

// dropExpects removes what a connection that ends still expects.
func (t *Table) dropExpects(now packet.Time, c *Conn) {
	e := c.extension()
	if e == nil || t.exp.count.Load() == 0 {
		return
	}
	t.exp.mu.Lock()
	defer t.exp.mu.Unlock()
	for len(e.expects) > 0 {
		t.removeExpect(now, e.expects[0], true)
	}
}

// expireExpects gives up what is due, in order of (deadline, creation).
func (t *Table) expireExpects(now packet.Time) {
	x := &t.exp
	if x.count.Load() == 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for {
		var first *Expect
		for _, e := range x.list {
			if e.deadline <= now && (first == nil || e.deadline < first.deadline) {
				first = e
			}
		}
		if first == nil {
			return
		}
		t.removeExpect(first.deadline, first, true)
	}
}

// RangeExpects calls f for every expectation in order of creation until f says false. f must not change them.
func (t *Table) RangeExpects(f func(*Expect) bool) {
	t.exp.mu.Lock()
	list := slices.Clone(t.exp.list)
	t.exp.mu.Unlock()
	for _, e := range list {
		if !f(e) {
			return
		}
	}
}

// Expectations of one connection, oldest first (nf_ct_expect_related's own lists).
func (t *Table) Expectations(c *Conn) []*Expect {
	t.exp.mu.Lock()
	defer t.exp.mu.Unlock()
	if e := c.extension(); e != nil {
		return slices.Clone(e.expects)
	}
	return nil
}

// FlushExpects removes all expectations (conntrack -F expect).
func (t *Table) FlushExpects(now packet.Time) {
	t.exp.mu.Lock()
	defer t.exp.mu.Unlock()
	for len(t.exp.list) > 0 {
		t.removeExpect(now, t.exp.list[0], true)
	}
}

func (t *Table) reportExpect(now packet.Time, e *Expect, what Cause) {
	subs := t.subscribers()
	m := e.master
	if subs == nil || m.status.Load()&flagEvents == 0 {
		return
	}
	if x := m.extension(); x != nil && x.expEvents&what == 0 {
		return
	}
	ev := Event{Type: EventExpNew, Time: now, Cause: what, Exp: e.Info(now)}
	if what == CauseExpDestroy {
		ev.Type = EventExpDestroy
	}
	for _, s := range subs {
		s.f(ev)
	}
}

// Info is a copy of what listings and events tell of the expectation.
func (e *Expect) Info(now packet.Time) ExpectInfo {
	i := ExpectInfo{Tuple: e.Tuple, Mask: e.Mask, Flags: e.Flags, Timeout: max(e.deadline.Sub(now), 0)}
	i.Master = e.master.tuple[Original]
	if h := e.master.Helper(); h != nil {
		i.Helper = h.Name
		if e.Class < len(h.Classes) {
			i.Class = h.Classes[e.Class].Name
		}
	}
	return i
}
