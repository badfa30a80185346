package conntrack

import (
	"fmt"
	"math/bits"

	"github.com/moat-router/moat/stack/packet"
)

// SCTPState is the state of an SCTP association, with the kernel's numbers (enum sctp_conntrack).
type SCTPState uint8

// The states.
const (
	SCTPNone            SCTPState = iota
	SCTPClosed                    // nothing agreed, or aborted
	SCTPCookieWait                // INIT seen
	SCTPCookieEchoed              // COOKIE ECHO seen
	SCTPEstablished               // COOKIE ACK seen
	SCTPShutdownSent              // SHUTDOWN from the side that opened
	SCTPShutdownRecd              // SHUTDOWN from the other
	SCTPShutdownAckSent           // SHUTDOWN ACK seen
	SCTPHeartbeatSent             // HEARTBEAT out of nothing: another path of a multi-homed association
	NumSCTPStates
)

var sctpNames = [NumSCTPStates]string{
	"NONE", "CLOSED", "COOKIE_WAIT", "COOKIE_ECHOED", "ESTABLISHED", "SHUTDOWN_SENT", "SHUTDOWN_RECD", "SHUTDOWN_ACK_SENT", "HEARTBEAT_SENT",
}

func (s SCTPState) String() string { return sctpNames[s] }

// sctpState is what is known of an association, under the protocol lock.
type sctpState struct {
	vtag    [2]uint32 // verification tags, by the direction that must carry them
	init    [2]bool   // an INIT was seen in this direction whose tag is not settled
	state   SCTPState
	lastDir Dir
	hbNew   bool // a HEARTBEAT in the reply direction has answered
}

// The chunk types of RFC 9260 3.2.
const (
	chunkData = iota
	chunkInit
	chunkInitAck
	chunkSack
	chunkHeartbeat
	chunkHeartbeatAck
	chunkAbort
	chunkShutdown
	chunkShutdownAck
	chunkError
	chunkCookieEcho
	chunkCookieAck
	chunkShutdownComplete = 14
)

const (
	pIV = NumSCTPStates // the chunk does not fit the state
	pCL = SCTPClosed
	pCW = SCTPCookieWait
	pCE = SCTPCookieEchoed
	pES = SCTPEstablished
	pSS = SCTPShutdownSent
	pSR = SCTPShutdownRecd
	pSA = SCTPShutdownAckSent
	pHS = SCTPHeartbeatSent
)

// sctpRows numbers the chunks that move the state, in the order of the table below; 0 is one that does not.
var sctpRows = [16]uint8{
	chunkInit: 1, chunkInitAck: 2, chunkAbort: 3, chunkShutdown: 4, chunkShutdownAck: 5, chunkError: 6, chunkCookieEcho: 7,
	chunkCookieAck: 8, chunkShutdownComplete: 9, chunkHeartbeat: 10, chunkHeartbeatAck: 11,
}

// sctpTransitions is what a chunk does, by direction, row and state before.
var sctpTransitions = [2][12][NumSCTPStates]SCTPState{
	Original: {
		//   NONE  CL   CW   CE   ES   SS   SR   SA   HS
		1:  {pCW, pCW, pCW, pCE, pES, pCL, pCL, pSA, pCW}, // INIT opens; late ones leave an association alone
		2:  {pCL, pCL, pCW, pCE, pES, pSS, pSR, pSA, pCL}, // INIT ACK comes from the other side
		3:  {pCL, pCL, pCL, pCL, pCL, pCL, pCL, pCL, pCL}, // ABORT ends
		4:  {pCL, pCL, pCW, pCE, pSS, pSS, pSR, pSA, pCL}, // SHUTDOWN begins the end
		5:  {pSA, pCL, pCW, pCE, pES, pSA, pSA, pSA, pSA}, // SHUTDOWN ACK answers
		6:  {pCL, pCL, pCW, pCE, pES, pSS, pSR, pSA, pCL}, // ERROR (stale cookie) changes nothing here
		7:  {pCL, pCL, pCE, pCE, pES, pSS, pSR, pSA, pCL}, // COOKIE ECHO goes back
		8:  {pCL, pCL, pCW, pCE, pES, pSS, pSR, pSA, pCL}, // COOKIE ACK comes from the other side
		9:  {pCL, pCL, pCW, pCE, pES, pSS, pSR, pCL, pCL}, // SHUTDOWN COMPLETE is the last
		10: {pHS, pCL, pCW, pCE, pES, pSS, pSR, pSA, pHS}, // HEARTBEAT out of nothing: a further path
		11: {pCL, pCL, pCW, pCE, pES, pSS, pSR, pSA, pHS},
	},
	Reply: {
		1:  {pIV, pCL, pCW, pCE, pES, pCL, pCL, pSA, pIV}, // INIT may cross ours
		2:  {pIV, pCW, pCW, pCE, pES, pCL, pCL, pSA, pIV}, // INIT ACK answers
		3:  {pIV, pCL, pCL, pCL, pCL, pCL, pCL, pCL, pIV},
		4:  {pIV, pCL, pCW, pCE, pSR, pSS, pSR, pSA, pIV},
		5:  {pIV, pCL, pCW, pCE, pES, pSA, pSA, pSA, pIV},
		6:  {pIV, pCL, pCW, pCL, pES, pSS, pSR, pSA, pIV}, // ERROR: the cookie was stale, begin again
		7:  {pIV, pCL, pCE, pCE, pES, pSS, pSR, pSA, pIV},
		8:  {pIV, pCL, pCW, pES, pES, pSS, pSR, pSA, pIV}, // COOKIE ACK: established
		9:  {pIV, pCL, pCW, pCE, pES, pSS, pSR, pCL, pIV},
		10: {pIV, pCL, pCW, pCE, pES, pSS, pSR, pSA, pHS},
		11: {pIV, pCL, pCW, pCE, pES, pSS, pSR, pSA, pES},
	},
}

// sctpChunks calls f with type, flags and bytes of each chunk. It is false if f is, or if a chunk of no length comes.
func sctpChunks(l4 []byte, f func(typ, flags uint8, b []byte) bool) bool {
	for off := 12; off+4 <= len(l4); {
		n := int(be16(l4[off+2:]))
		if n == 0 {
			return false
		}
		if !f(l4[off], l4[off+1], l4[off:]) {
			return false
		}
		off += (n + 3) &^ 3
	}
	return true
}

// trackSCTP is nf_conntrack_sctp_packet.
func (x *look) trackSCTP() verdict {
	if len(x.l4) < 12 {
		return x.invalid("short packet")
	}
	if !x.sumOK() {
		return x.invalid("bad crc")
	}
	seen, ok := x.sctpSeen()
	if !ok {
		return invalid
	}
	c, st := x.c, x.c.sctp()
	tag := be32(x.l4[4:])
	if c.Status()&StatusConfirmed == 0 {
		*st = sctpState{}
		if !x.sctpNew(st, tag) {
			return invalid
		}
	}
	const open = 1<<chunkInit | 1<<chunkInitAck | 1<<chunkHeartbeat | 1<<chunkHeartbeatAck | 1<<chunkAbort | 1<<chunkShutdownComplete | 1<<chunkCookieEcho
	mu := x.t.stateLock(c)
	mu.Lock()
	if seen&open == 0 && tag != st.vtag[x.dir] {
		mu.Unlock()
		if x.logs(packet.ProtoSCTP) {
			x.log(packet.ProtoSCTP, fmt.Sprintf("verification tag check failed"))
		}
		return invalid
	}
	old, next, ignore, fine := st.state, st.state, false, true
	before := st.state
	sctpChunks(x.l4, func(typ, flags uint8, b []byte) bool {
		next, ignore, fine = x.sctpChunk(st, typ, flags, b, tag)
		old = st.state
		if !fine {
			return false
		}
		if !ignore {
			st.state = next
		}
		return true
	})
	if !fine {
		st.state = before
		mu.Unlock()
		if x.logs(packet.ProtoSCTP) {
			x.log(packet.ProtoSCTP, "Invalid")
		}
		return invalid
	}
	_ = old
	next = st.state
	assured := x.dir == Reply && before == SCTPCookieEchoed && next == SCTPEstablished
	hb := before == SCTPHeartbeatSent && next == SCTPEstablished
	mu.Unlock()
	if next != before || c.Status()&StatusConfirmed == 0 {
		c.cache(CauseProtoInfo)
	}
	if seen == 1<<chunkData && false {
		return accept
	}
	x.refresh(x.timeouts().SCTP[next])
	if assured || hb {
		x.assure()
	}
	return accept
}

// sctpSeen is the set of chunk types below 16 in the packet; false where INIT, INIT ACK or SHUTDOWN COMPLETE is not
// alone, or COOKIE ECHO not the first (RFC 9260 6.10, do_basic_checks).
func (x *look) sctpSeen() (seen uint16, ok bool) {
	n, alone, first := 0, false, true
	fine := sctpChunks(x.l4, func(typ, _ uint8, _ []byte) bool {
		n++
		switch typ {
		case chunkInit, chunkInitAck, chunkShutdownComplete:
			alone = true
		case chunkCookieEcho, chunkCookieAck:
			first = n == 1
		}
		if typ < 16 {
			seen |= 1 << typ
		}
		return first && !(alone && n > 1)
	})
	return seen, fine && n > 0 && bits.OnesCount16(seen) >= 0
}

// sctpNew begins an association (sctp_new).
func (x *look) sctpNew(st *sctpState, tag uint32) bool {
	return sctpChunks(x.l4, func(typ, _ uint8, b []byte) bool {
		next := x.sctpNext(SCTPNone, Original, typ)
		if next == SCTPNone || next == pIV || next == pCL {
			return false
		}
		switch typ {
		case chunkInit:
			if len(b) < 8 || tag != 0 {
				return false
			}
			st.vtag[Reply] = be32(b[4:])
		case chunkHeartbeat:
			st.vtag[Original] = tag
		default:
			st.vtag[Reply] = tag // a SHUTDOWN ACK out of the blue (RFC 9260 8.4 (5))
		}
		return true
	})
}

func (x *look) sctpNext(s SCTPState, d Dir, typ uint8) SCTPState {
	if int(typ) >= len(sctpRows) || sctpRows[typ] == 0 {
		return s
	}
	return sctpTransitions[d][sctpRows[typ]][s]
}

// sctpChunk checks the verification tag as RFC 9260 8.5.1 has it for each chunk and gives the new state.
func (x *look) sctpChunk(st *sctpState, typ, flags uint8, b []byte, tag uint32) (next SCTPState, ignore, ok bool) {
	d, o := x.dir, x.dir.Other()
	switch typ {
	case chunkInit:
		if tag != 0 {
			return 0, false, false
		}
	case chunkAbort:
		// With the T bit the tag is the sender's own.
		if tag != st.vtag[d] && !(flags&1 != 0 && tag == st.vtag[o]) {
			return 0, false, false
		}
	case chunkShutdownComplete:
		if tag != st.vtag[d] && !(flags&1 != 0 && tag == st.vtag[o]) {
			return 0, false, false
		}
	case chunkCookieEcho:
		if tag != st.vtag[d] {
			return 0, false, false
		}
	case chunkHeartbeat:
		switch {
		case st.vtag[d] == 0:
			st.vtag[d] = tag
		case tag != st.vtag[d]:
			if st.state != SCTPHeartbeatSent {
				return 0, false, false
			}
			st.vtag[d] = tag
		}
	case chunkHeartbeatAck:
		switch {
		case st.vtag[d] == 0:
			st.vtag[d] = tag
		case tag != st.vtag[d]:
			return 0, false, false
		}
	}
	next = x.sctpNext(st.state, d, typ)
	if next == pIV {
		return 0, false, false
	}
	if (typ == chunkInit || typ == chunkInitAck) && len(b) >= 8 {
		st.vtag[o] = be32(b[4:])
	}
	return next, false, true
}
