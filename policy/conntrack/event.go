package conntrack

import (
	"time"

	"github.com/moat-router/moat/stack/packet"
)

// Cause is a bit set of what happened to a connection (enum ip_conntrack_events), or to an expectation
// (CauseExpNew and so on share the numbers).
type Cause uint32

// The causes, with the kernel's bit positions.
const (
	CauseNew       Cause = 1 << 0
	CauseRelated   Cause = 1 << 1
	CauseDestroy   Cause = 1 << 2
	CauseReply     Cause = 1 << 3
	CauseAssured   Cause = 1 << 4
	CauseProtoInfo Cause = 1 << 5
	CauseHelper    Cause = 1 << 6
	CauseMark      Cause = 1 << 7
	CauseSeqAdjust Cause = 1 << 8
	CauseLabel     Cause = 1 << 10

	CauseExpNew     Cause = 1 << 0
	CauseExpDestroy Cause = 1 << 1

	allCauses Cause = 1<<12 - 1
)

// The upper half of Conn.status: causes that wait to be delivered, and whether anybody may hear of them.
const (
	statusMask    = 1<<16 - 1
	causeShift    = 16
	causeMask     = uint32(allCauses) << causeShift
	flagEvents    = 1 << 28 // the connection has an event cache (nf_ct_ecache_ext_add)
	flagSource    = 1 << 29 // it stands in the index by original source
	flagNoRoom    = 1 << 30 // NAT found no free tuple for it
	flagNoForward = 1 << 31 // only its reply tuple is in the table: a clash resolved the hard way
)

// EventType is what ctnetlink calls the message.
type EventType uint8

// The types, and their names as `conntrack -E` and the scenarios write them.
const (
	EventNew EventType = iota
	EventUpdate
	EventDestroy
	EventExpNew
	EventExpDestroy
)

var eventNames = [...]string{"NEW", "UPDATE", "DESTROY", "EXP_NEW", "EXP_DESTROY"}

func (e EventType) String() string { return eventNames[e] }

// Event is one ctnetlink notification, a copy of what it tells of.
type Event struct {
	Type     EventType
	Time     packet.Time
	Cause    Cause
	ID       uint32
	Orig     Tuple
	Reply    Tuple
	Status   Status
	Mark     uint32
	Timeout  time.Duration // that is left, never below 0
	Tags     [2]uint32     // SCTP's verification tags, by Dir
	State    string        // TCP or SCTP state; "" unless the message carries the protocol's part
	Helper   string
	HasAcct  bool
	Packets  [2]uint64
	Bytes    [2]uint64
	Labels   [16]byte
	HasStamp bool
	Start    packet.Time
	Stop     packet.Time // DESTROY only
	Exp      ExpectInfo  // EventExpNew and EventExpDestroy
}

// Subscribe has f called with every event from now on, on the worker that caused it, until cancel is called. f must
// not call back into the table.
func (t *Table) Subscribe(f func(Event)) (cancel func()) {
	t.subMu.Lock()
	defer t.subMu.Unlock()
	s := &subscriber{f}
	t.setSubscribers(append(append([]*subscriber(nil), t.subscribers()...), s))
	return func() {
		t.subMu.Lock()
		defer t.subMu.Unlock()
		var rest []*subscriber
		for _, o := range t.subscribers() {
			if o != s {
				rest = append(rest, o)
			}
		}
		t.setSubscribers(rest)
	}
}

type subscriber struct{ f func(Event) }

func (t *Table) subscribers() []*subscriber {
	if l := t.subs.Load(); l != nil {
		return *l
	}
	return nil
}

func (t *Table) setSubscribers(l []*subscriber) {
	if len(l) == 0 {
		t.subs.Store(nil)
		return
	}
	t.subs.Store(&l)
}

// cache notes that something happened; it is told when the packet reaches confirm (nf_conntrack_event_cache).
func (c *Conn) cache(what Cause) {
	if c.status.Load()&flagEvents != 0 {
		c.status.Or(uint32(what) << causeShift)
	}
}

// deliver tells what was cached since the last packet that got through (nf_ct_deliver_cached_events).
func (t *Table) deliver(now packet.Time, c *Conn) {
	s := c.status.Load()
	if s&flagEvents == 0 || s&causeMask == 0 || Status(s)&StatusConfirmed == 0 || Status(s)&StatusDying != 0 {
		return
	}
	what := Cause(c.status.And(^causeMask) & causeMask >> causeShift)
	t.report(now, c, what)
}

// report sends the message for causes (ctnetlink_conntrack_event).
func (t *Table) report(now packet.Time, c *Conn, what Cause) {
	subs := t.subscribers()
	e := c.extension()
	if what == 0 || subs == nil || c.status.Load()&flagEvents == 0 || e != nil && e.ctEvents&what == 0 {
		return
	}
	ev := c.Snapshot(now)
	ev.Cause = what
	switch {
	case what&CauseDestroy != 0:
		ev.Type = EventDestroy
	case what&(CauseNew|CauseRelated) != 0:
		ev.Type = EventNew
	default:
		ev.Type = EventUpdate
	}
	if what&(CauseDestroy|CauseProtoInfo) == 0 {
		ev.State = ""
	}
	for _, s := range subs {
		s.f(ev)
	}
}

// Snapshot is a copy of everything that listings and events tell of a connection.
func (c *Conn) Snapshot(now packet.Time) Event {
	ev := Event{
		Time: now, ID: c.seq, Orig: c.tuple[Original], Reply: c.tuple[Reply], Status: c.Status(), Mark: c.Mark(),
		Timeout: max(c.Expires().Sub(now), 0), State: c.StateName(), Helper: c.HelperName(),
	}
	if ev.Orig.Proto == packet.ProtoSCTP {
		c.lock.Lock()
		ev.Tags = c.sctp().vtag
		c.lock.Unlock()
	}
	if e := c.extension(); e != nil {
		ev.HasAcct, ev.HasStamp = e.hasAcct, e.hasStamp
		ev.Start, ev.Stop = packet.Time(e.start.Load()), packet.Time(e.stop.Load())
		for d := range e.acct {
			ev.Packets[d], ev.Bytes[d] = c.Counters(Dir(d))
		}
		ev.Labels = c.Labels()
	}
	return ev
}
