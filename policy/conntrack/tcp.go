package conntrack

import (
	"fmt"
	"time"
	"unsafe"

	"github.com/moat-router/moat/stack/packet"
)

// tcpState is what is known of a TCP connection (struct ip_ct_tcp), under the connection's protocol lock.
type tcpState struct {
	seen  [2]tcpSeen
	scale [2]uint8
	flags [2]uint8

	state   TCPState
	retrans uint8 // how often the same ACK came again
	// The last segment that was taken or ignored: how a SYN/ACK, an RST or a challenge ACK after it is understood.
	lastSeg   segment
	lastDir   Dir
	lastSeq   uint32
	lastAck   uint32
	lastEnd   uint32
	lastWin   uint16
	lastScale uint8
	lastFlags uint8
}

// tcpSeen is one direction's part of the window check (Guido van Rooij, "Real Stateful TCP Packet Filtering in IP
// Filter").
type tcpSeen struct {
	end    uint32 // largest sequence number sent, plus one
	maxEnd uint32 // largest that the other side allows
	maxWin uint32 // largest window offered; 0: nothing seen of this direction
	maxAck uint32 // largest acknowledgment sent
}

// Flags of a direction, and of the last segment.
const (
	tcpWindowScale  = 1 << 0 // offered window scaling
	tcpSACKPerm     = 1 << 1 // offered SACK
	tcpCloseInit    = 1 << 2 // sent the first FIN
	tcpLiberal      = 1 << 3 // window check is lenient: picked up in the middle
	tcpUnacked      = 1 << 4 // has sent data that is not acknowledged
	tcpMaxAckSet    = 1 << 5 // maxAck is meaningful
	tcpChallenge    = 1 << 6 // lastFlags: a challenge ACK (RFC 5961) may answer the ignored SYN
	tcpSimultaneous = 1 << 7 // lastFlags: both sides sent a SYN
)

var _ [unsafe.Sizeof(Conn{}.proto) - unsafe.Sizeof(tcpState{})]byte // tcpState fits into Conn.proto

// tcpSegment is a TCP header taken apart.
type tcpSegment struct {
	b        []byte // header with its options
	seg      segment
	flags    uint8
	seq, ack uint32
	end      uint32 // sequence number behind the segment; SYN and FIN count
	win      uint16
}

// parse reads the header that l4 starts with; false if it is not whole.
func (s *tcpSegment) parse(l4 []byte) bool {
	if len(l4) < 20 {
		return false
	}
	n := int(l4[12]>>4) * 4
	if n < 20 || n > len(l4) {
		return false
	}
	s.b, s.flags, s.seg = l4[:n], l4[13], segmentOf(l4[13])
	s.seq, s.ack, s.win = be32(l4[4:]), be32(l4[8:]), be16(l4[14:])
	s.end = s.seq + uint32(len(l4)-n)
	if s.flags&tcpSYN != 0 {
		s.end++
	}
	if s.flags&tcpFIN != 0 {
		s.end++
	}
	return true
}

// trackTCP is nf_conntrack_tcp_packet.
func (x *look) trackTCP() verdict {
	var s tcpSegment
	switch {
	case len(x.l4) < 20:
		return invalid
	case !s.parse(x.l4):
		return x.invalid("truncated packet")
	case !x.sumOK():
		return x.invalid("bad checksum")
	case !tcpFlagsValid(s.flags):
		return x.invalid("invalid tcp flag combination")
	}
	c := x.c
	if c.Status()&StatusConfirmed == 0 && !x.tcpNew(&s) {
		return invalid
	}
	mu := &c.lock
	mu.Lock()
	st := c.tcp()
	next, how := x.tcpStep(st, &s)
	old := st.state
	if how != tcpGoOn && how != tcpInWindow {
		mu.Unlock()
		return x.tcpOut(how, &s, old)
	}
	if how == tcpGoOn {
		switch x.inWindow(st, &s) {
		case windowIgnore:
			mu.Unlock()
			return accept
		case windowInvalid:
			x.tcpOutOfStep(st, &s)
			mu.Unlock()
			return invalid
		}
	}
	st.lastSeg, st.lastDir, st.state = s.seg, x.dir, next
	if old != next && next == TCPFinWait {
		st.flags[x.dir] |= tcpCloseInit
	}
	t := &x.timeouts().TCP
	timeout := t[next]
	switch {
	case st.retrans >= x.par.TCPMaxRetrans && timeout > t[TCPTimeoutRetrans]:
		timeout = t[TCPTimeoutRetrans]
	case s.seg == segRST:
		timeout = t[TCPClose]
	case (st.flags[0]|st.flags[1])&tcpUnacked != 0 && timeout > t[TCPTimeoutUnack]:
		timeout = t[TCPTimeoutUnack]
	case st.lastWin == 0 && timeout > t[TCPTimeoutRetrans]:
		timeout = t[TCPTimeoutRetrans]
	}
	mu.Unlock()
	if next != old {
		c.cache(CauseProtoInfo)
	}
	switch status := c.Status(); {
	case status&StatusSeenReply == 0:
		if s.flags&tcpRST != 0 {
			// Only an RST came back: there never was a connection.
			x.account()
			x.t.kill(x.now, c)
			return accept
		}
		if s.seg == segSYN && old == TCPSynSent {
			// A repeated SYN does not keep an entry alive: ports are reused.
			return accept
		}
		if next == TCPEstablished {
			// Picked up in the middle, and no answer yet.
			timeout = min(timeout, t[TCPTimeoutUnack])
		}
	case status&StatusAssured == 0 && (old == TCPSynRecv || old == TCPEstablished) && next == TCPEstablished:
		x.assure()
	}
	x.refresh(timeout)
	return accept
}

// tcpNew begins a connection with its first segment (tcp_new).
func (x *look) tcpNew(s *tcpSegment) bool {
	switch next := tcpTransitions[Original][s.seg][TCPNone]; {
	case next >= NumTCPStates:
		x.invalid("invalid new")
		return false
	case next != TCPSynSent && !x.par.TCPLoose:
		return false
	}
	st := x.c.tcp()
	*st = tcpState{lastSeg: segNone}
	own := &st.seen[Original]
	own.end, own.maxEnd = s.end, s.end
	own.maxWin = max(uint32(s.win), 1)
	if s.seg == segSYN {
		s.options(st, Original)
		return true
	}
	// History is lost: we do not know the scaling, so the window check has to be lenient.
	own.maxEnd += own.maxWin
	st.flags[0] = tcpSACKPerm | tcpLiberal
	st.flags[1] = st.flags[0]
	return true
}

// tcpFate is what tcpStep says beside the new state.
type tcpFate uint8

const (
	tcpGoOn         tcpFate = iota
	tcpInWindow             // taken, and no window check
	tcpIgnored              // passes, nothing changes
	tcpBad                  // does not fit the state
	tcpReopen               // end this connection and begin a new one
	tcpChallengeACK         // passes, nothing changes
	tcpBadRST
)

// tcpStep finds the new state. The table says most of it; what follows it are the cases where our view and that of the
// hosts may have parted.
func (x *look) tcpStep(st *tcpState, s *tcpSegment) (TCPState, tcpFate) {
	old, dir := st.state, x.dir
	next := tcpTransitions[dir][s.seg][old]
	switch next {
	case TCPSynSent:
		if old < TCPTimeWait {
			break
		}
		if (st.flags[0]|st.flags[1])&tcpCloseInit != 0 || st.lastDir == dir && st.lastSeg == segRST {
			return next, tcpReopen // it was closed, or its own side aborted it
		}
		return x.tcpIgnore(st, s, old)
	case tcpIgnore:
		return x.tcpIgnore(st, s, old)
	case tcpInvalid:
		return next, tcpBad
	case TCPTimeWait:
		if old == TCPLastAck && s.seg == segACK && st.lastDir != dir && st.lastSeg == segSYN && st.lastFlags&tcpChallenge != 0 {
			// RFC 5961 4.2: this ACK answers a SYN inside of the connection, not the last FIN.
			st.lastFlags &^= tcpChallenge
			return next, tcpChallengeACK
		}
	case TCPSynSent2:
		st.lastFlags |= tcpSimultaneous
	case TCPSynRecv:
		if dir == Reply && s.seg == segACK && st.lastFlags&tcpSimultaneous != 0 {
			next = TCPEstablished
		}
	case TCPClose:
		if s.seg == segRST {
			return x.tcpReset(st, s, old)
		}
	}
	return next, tcpGoOn
}

// tcpIgnore lets a segment pass that may belong to the connection that the hosts really have, and remembers it. If the
// server then answers the SYN that we did not understand, we learn from what we remembered and are in step again.
func (x *look) tcpIgnore(st *tcpState, s *tcpSegment, old TCPState) (TCPState, tcpFate) {
	dir := x.dir
	if s.seg == segSYNACK && st.lastSeg == segSYN && st.lastDir != dir && s.ack == st.lastEnd {
		o := st.lastDir
		st.seen[o].end, st.seen[o].maxEnd = st.lastEnd, st.lastEnd
		st.seen[o].maxWin = max(uint32(st.lastWin), 1)
		st.scale[o] = st.lastScale
		st.lastFlags &^= tcpChallenge
		st.flags[o] = st.lastFlags
		st.seen[dir], st.scale[dir] = tcpSeen{}, 0
		st.flags[dir] &= tcpLiberal
		st.state = TCPSynSent // as if it had just opened
		return TCPSynRecv, tcpGoOn
	}
	st.lastSeg, st.lastDir, st.lastSeq, st.lastEnd, st.lastWin = s.seg, dir, s.seq, s.end, s.win
	if s.seg == segSYN && dir == Original {
		var seen tcpState
		s.options(&seen, Original)
		st.lastFlags, st.lastScale = seen.flags[0]&(tcpWindowScale|tcpSACKPerm), seen.scale[0]
		if old == TCPLastAck {
			st.lastFlags |= tcpChallenge
		}
	}
	if old == TCPSynSent && s.seg == segACK && dir == Reply {
		st.lastAck = s.ack // a challenge ACK in answer to the SYN
	}
	return old, tcpIgnored
}

// tcpReset decides whether an RST is believed. One that hits the next expected number exactly ends the connection
// (RFC 5961 3.2); one elsewhere in the window leaves the state, for the challenge ACK that may follow.
func (x *look) tcpReset(st *tcpState, s *tcpSegment, old TCPState) (TCPState, tcpFate) {
	next, status := TCPClose, x.c.Status()
	if old >= TCPFinWait && old <= TCPClose {
		return next, tcpInWindow // it is ending anyway: hosts reset such connections with numbers of all kinds
	}
	if other := x.dir.Other(); st.flags[other]&tcpMaxAckSet != 0 && st.lastSeg != segSYN { // a SYN that we let pass may have made maxAck stale
		established := st.state == TCPEstablished && status&StatusAssured != 0
		maxAck := st.seen[other].maxAck
		switch {
		case s.seq == 0 && !established:
			return next, tcpGoOn // most likely the answer to a SYN that we let pass
		case before(s.seq, maxAck) && !x.par.TCPIgnoreInvalidRST:
			return next, tcpBadRST
		case !established || s.seq == maxAck:
			return next, tcpGoOn
		case st.lastSeg == segACK && st.lastDir == x.dir && s.seq == st.lastEnd:
			return next, tcpGoOn // right behind the data that it sent last
		}
		next = old
	}
	if s.ack == st.lastEnd && (status&StatusSeenReply != 0 && st.lastSeg == segSYN && st.lastDir != x.dir || status&StatusAssured == 0 && st.lastSeg == segACK) {
		return next, tcpInWindow // it answers a SYN or ACK that we had let pass; of the ACK Linux does not ask whose it was
	}
	if old == TCPSynSent && st.lastSeg == segACK && st.lastDir == Reply && s.seq == st.lastAck {
		return next, tcpInWindow // it answers a challenge ACK
	}
	return next, tcpGoOn
}

// tcpOut ends a segment's way that changes no state.
func (x *look) tcpOut(how tcpFate, s *tcpSegment, old TCPState) verdict {
	var msg, word string
	v := invalid
	switch how {
	case tcpReopen:
		if x.t.kill(x.now, x.c) {
			return again
		}
		return drop
	case tcpIgnored:
		v, word = accept, "ignored"
	case tcpBad:
		word = "invalid"
	case tcpChallengeACK:
		v, msg = accept, "challenge-ack ignored"
	case tcpBadRST:
		msg = "invalid rst"
	}
	if x.logs(packet.ProtoTCP) {
		if word != "" {
			msg = fmt.Sprintf("packet (index %d) in dir %d %s, state %s", s.seg, x.dir, word, old)
		}
		x.log(packet.ProtoTCP, msg)
	}
	return v
}

// jiffy is the kernel's tick where its messages count in it (CONFIG_HZ=250).
const jiffy = 4 * time.Millisecond

// tcpOutOfStep notes a FIN or RST outside of the window. If both sides send such, the connection is over though we do
// not see how: it does not get to keep its five days (nf_tcp_handle_invalid).
func (x *look) tcpOutOfStep(st *tcpState, s *tcpSegment) {
	c := x.c
	if c.Status()&StatusAssured == 0 || c.Status()&StatusFixedTimeout != 0 || s.seg != segRST && s.seg != segFIN {
		return
	}
	if st.lastDir == x.dir || st.lastSeg != segFIN && st.lastSeg != segRST {
		st.lastSeg, st.lastDir = s.seg, x.dir
		return
	}
	left, timeout := c.Expires().Sub(x.now), x.timeouts().TCP[TCPTimeoutUnack]
	if left < 120*time.Second || left <= timeout {
		return
	}
	if x.logs(packet.ProtoTCP) {
		x.log(packet.ProtoTCP, fmt.Sprintf("packet (index %d, dir %d) response for index %d lower timeout to %d",
			s.seg, x.dir, st.lastSeg, timeout/jiffy))
	}
	x.t.refresh(c, x.now.Add(timeout))
}

// SetClosing is for a connection that the router ends with a reset of its own (nf_conntrack_tcp_set_closing): the entry
// goes to CLOSE with that state's timeout.
func (t *Table) SetClosing(now packet.Time, ref *Ref) {
	c := ref.Conn
	if c == nil || c.tuple[Original].Proto != packet.ProtoTCP {
		return
	}
	if c.Status()&StatusConfirmed == 0 {
		return
	}
	mu := &c.lock
	mu.Lock()
	old := c.tcp().state
	c.tcp().state = TCPClose
	mu.Unlock()
	if old == TCPClose || c.Status()&StatusFixedTimeout != 0 {
		return
	}
	timeouts := &t.params.Load().Timeouts
	if e := c.extension(); e != nil && e.timeouts != nil {
		timeouts = e.timeouts
	}
	t.refresh(c, now.Add(timeouts.TCP[TCPClose]))
	c.cache(CauseProtoInfo)
}

// TCPState is the connection's TCP state; TCPNone for other protocols.
func (c *Conn) TCPState() TCPState {
	if c.tuple[Original].Proto != packet.ProtoTCP {
		return TCPNone
	}
	mu := &c.lock
	mu.Lock()
	defer mu.Unlock()
	return c.tcp().state
}

// TCPEnd is the sequence number behind what one direction has sent, for who may reuse a port in TIME_WAIT.
func (c *Conn) TCPEnd(d Dir) uint32 {
	mu := &c.lock
	mu.Lock()
	defer mu.Unlock()
	return c.tcp().seen[d].end
}

func before(a, b uint32) bool { return int32(a-b) < 0 }
func after(a, b uint32) bool  { return int32(b-a) < 0 }
