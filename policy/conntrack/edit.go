package conntrack

import (
	"errors"
	"slices"
	"time"

	"github.com/moat-router/moat/stack/packet"
)

// This file is what people change by hand (nf_conntrack_netlink.c).

// Why a connection cannot be made.
var (
	ErrExists    = errors.New("such a connection exists already")
	ErrFull      = errors.New("the connection table is full (net.netfilter.nf_conntrack_max)")
	ErrNoAnswer  = errors.New("nobody answers this type of ICMP message: such connections do not exist")
	ErrBadState  = errors.New("the protocol has no such state")
	ErrHasNoTags = errors.New("verification tags belong to SCTP")
)

// Editable are the status bits that people may set (IPS_UNCHANGEABLE_MASK leaves these); none can be taken away.
const Editable = StatusSeenReply | StatusAssured | StatusFixedTimeout

// Spec is a connection that is made without a packet.
type Spec struct {
	Tuple   [2]Tuple // by Dir, with their zones
	Timeout time.Duration
	Status  Status // of Editable, and the NAT bits where the reply tuple is a translation
	Mark    uint32
	State   string    // of TCP and SCTP
	Tags    [2]uint32 // verification tags of SCTP
	Labels  []int
}

// Create makes a connection (ctnetlink_create_conntrack): confirmed, and told of as NEW. Both of its tuples must be free.
func (t *Table) Create(now packet.Time, s *Spec) error {
	orig := &s.Tuple[Original]
	if _, ok := orig.Invert(); !ok {
		return ErrNoAnswer
	}
	par := t.Params()
	c := t.blank(now, par, *orig, s.Tuple[Reply])
	if c == nil {
		return ErrFull
	}
	defer c.put()
	if par.Events == 1 || par.Events == 2 && t.subs.Load() != nil {
		c.status.Store(flagEvents)
	}
	if !c.setState(s.State) {
		return ErrBadState
	}
	if s.Tags != [2]uint32{} {
		if orig.Proto != packet.ProtoSCTP {
			return ErrHasNoTags
		}
		c.sctp().vtag = s.Tags
	}
	c.mark.Store(s.Mark)
	c.SetStatus(s.Status & (Editable | StatusNATMask | StatusNATDoneMask))
	for _, l := range s.Labels {
		c.addLabel(l)
	}
	c.deadline.Store(int64(now.Add(s.Timeout)))
	if s.Status&StatusSrcNATDone != 0 {
		t.IndexSource(c)
	}
	if !t.take(now, c) {
		return ErrExists
	}
	t.report(now, c, CauseNew|CauseProtoInfo|CauseMark|CauseLabel)
	return nil
}

// take enters c unless somebody has one of its tuples.
func (t *Table) take(now packet.Time, c *Conn) bool {
	ho, hr := t.hash(&c.tuple[Original]), t.hash(&c.tuple[Reply])
	so, sr := t.shardOf(ho), t.shardOf(hr)
	t.lock2(so, sr)
	defer t.unlock2(so, sr)
	if t.holder(now, so, ho, c, Original) != nil || t.holder(now, sr, hr, c, Reply) != nil {
		return false
	}
	t.enter(now, c, ho, hr)
	t.stats.insert.Add(1)
	return true
}

// Change is what Update shall do to a connection.
type Change struct {
	Timeout    time.Duration
	HasTimeout bool
	Status     Status // of Editable: bits to set
	Mark       uint32
	MarkMask   uint32 // bits of the mark that are cleared before Mark is put over it by exclusive or; 0 with Mark 0: unchanged
	State      string // "": unchanged
	SetLabels  []int
	DropLabels []int
}

// Update changes a connection (ctnetlink_change_conntrack) and reports whether anything is different now, which is
// told of.
func (t *Table) Update(now packet.Time, c *Conn, ch *Change) (changed bool) {
	if ch.HasTimeout && c.Expires() != now.Add(ch.Timeout) {
		t.refresh(c, now.Add(ch.Timeout))
		changed = true
	}
	if set := ch.Status & Editable; set != 0 && c.SetStatus(set)&set != set {
		changed = true
	}
	if ch.State != "" && c.StateName() != ch.State && c.setState(ch.State) {
		changed = true
	}
	if m := c.Mark()&^ch.MarkMask ^ ch.Mark; m != c.Mark() {
		c.mark.Store(m)
		changed = true
	}
	for _, l := range ch.SetLabels {
		changed = c.addLabel(l) || changed
	}
	for _, l := range ch.DropLabels {
		changed = c.dropLabel(l) || changed
	}
	if changed {
		t.report(now, c, CauseReply|CauseAssured|CauseProtoInfo|CauseMark|CauseLabel)
	}
	return changed
}

// ZeroCounters sets packets and bytes to 0 and gives what they were (ctnetlink's GET_CTRZERO).
func (c *Conn) ZeroCounters() (packets, bytes [2]uint64) {
	if e := c.extension(); e != nil {
		for d := range e.acct {
			packets[d], bytes[d] = e.acct[d].packets.Swap(0), e.acct[d].bytes.Swap(0)
		}
	}
	return packets, bytes
}

// addLabel sets label bit n and reports whether it was clear.
func (c *Conn) addLabel(n int) bool {
	bit := uint32(1) << (n % 32)
	return c.addExt().labels[n/32].Or(bit)&bit == 0
}

// dropLabel clears label bit n and reports whether it was set.
func (c *Conn) dropLabel(n int) bool {
	e := c.extension()
	return e != nil && e.labels[n/32].And(^(uint32(1)<<(n%32)))>>(n%32)&1 != 0
}

// setState puts TCP or SCTP into a state by name; "" leaves it. It is false where there is no such state.
func (c *Conn) setState(name string) bool {
	if name == "" {
		return true
	}
	n, ok := StateNamed(c.tuple[Original].Proto, name)
	if !ok {
		return false
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.tuple[Original].Proto == packet.ProtoTCP {
		st := c.tcp()
		st.state = TCPState(n)
		for d := range st.flags { // nobody knows its sequence numbers: windows are not minded, as conntrack(8) asks for
			st.flags[d] |= tcpLiberal | tcpSACKPerm
		}
	} else {
		c.sctp().state = SCTPState(n)
	}
	return true
}

// StateNamed is the number of a state of TCP or SCTP; LISTEN is an old name of TCP's SYN_SENT2.
func StateNamed(proto uint8, name string) (n uint8, ok bool) {
	var i int
	switch proto {
	case packet.ProtoTCP:
		if name == "LISTEN" {
			name = TCPSynSent2.String()
		}
		i = slices.Index(tcpNames[:], name)
	case packet.ProtoSCTP:
		i = slices.Index(sctpNames[:], name)
	default:
		i = -1
	}
	return uint8(i), i >= 0
}
