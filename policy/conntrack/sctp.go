package conntrack

import (
	"fmt"
	"unsafe"

	"github.com/moat-router/moat/stack/packet"
)

// SCTPState is the state of an SCTP association, with the kernel's numbers (enum sctp_conntrack).
type SCTPState uint8

// The states.
const (
	SCTPNone            SCTPState = iota
	SCTPClosed                    // INIT seen and nothing more, or over
	SCTPCookieWait                // INIT ACK seen
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
	vtag    [2]uint32 // verification tags, by the direction that must carry them; 0: not known
	init    [2]bool   // an INIT was seen in this direction and no COOKIE ACK after it
	state   SCTPState
	lastDir Dir
	strange bool // a HEARTBEAT with another tag was seen in lastDir: its ACK may bring the tags of a restarted host
}

var _ [unsafe.Sizeof(Conn{}.proto) - unsafe.Sizeof(sctpState{})]byte

// The chunk types of RFC 9260 3.2 that matter here.
const (
	chunkData             = 0
	chunkInit             = 1
	chunkInitAck          = 2
	chunkHeartbeat        = 4
	chunkHeartbeatAck     = 5
	chunkAbort            = 6
	chunkShutdown         = 7
	chunkShutdownAck      = 8
	chunkError            = 9
	chunkCookieEcho       = 10
	chunkCookieAck        = 11
	chunkShutdownComplete = 14
	numChunks             = 15
)

// Short names, so that the table below can be read as one.
const (
	pNO = SCTPNone
	pCL = SCTPClosed
	pCW = SCTPCookieWait
	pCE = SCTPCookieEchoed
	pES = SCTPEstablished
	pSS = SCTPShutdownSent
	pSR = SCTPShutdownRecd
	pSA = SCTPShutdownAckSent
	pHS = SCTPHeartbeatSent
	pIV = NumSCTPStates // the chunk does not fit the state
)

// sctpTransitions is what a chunk does, by direction, chunk and state before. Chunks without a row change nothing.
var sctpTransitions = [2][numChunks]*[NumSCTPStates]SCTPState{
	Original: {
		// INIT opens: until its answer comes the entry is as good as closed. Late ones leave an association alone.
		//                       NO   CL   CW   CE   ES   SS   SR   SA   HS
		chunkInit:             {pCL, pCL, pCW, pCE, pES, pCL, pCL, pSA, pCW},
		chunkInitAck:          {pCL, pCL, pCW, pCE, pES, pSS, pSR, pSA, pCL}, // belongs to the other side
		chunkAbort:            {pCL, pCL, pCL, pCL, pCL, pCL, pCL, pCL, pCL}, // ends
		chunkShutdown:         {pCL, pCL, pCW, pCE, pSS, pSS, pSR, pSA, pCL}, // begins the end
		chunkShutdownAck:      {pSA, pCL, pCW, pCE, pES, pSA, pSA, pSA, pSA}, // answers it, or comes out of the blue
		chunkError:            {pCL, pCL, pCW, pCE, pES, pSS, pSR, pSA, pCL},
		chunkCookieEcho:       {pCL, pCL, pCE, pCE, pES, pSS, pSR, pSA, pCL}, // the third step
		chunkCookieAck:        {pCL, pCL, pCW, pES, pES, pSS, pSR, pSA, pCL}, // the fourth, if both sides opened
		chunkShutdownComplete: {pCL, pCL, pCW, pCE, pES, pSS, pSR, pCL, pCL}, // the last
		chunkHeartbeat:        {pHS, pCL, pCW, pCE, pES, pSS, pSR, pSA, pHS}, // a further path
		chunkHeartbeatAck:     {pCL, pCL, pCW, pCE, pES, pSS, pSR, pSA, pHS},
	},
	Reply: {
		chunkInit:             {pIV, pCL, pCW, pCE, pES, pSS, pSR, pSA, pIV}, // crosses ours
		chunkInitAck:          {pIV, pCW, pCW, pCE, pES, pSS, pSR, pSA, pIV}, // the second step
		chunkAbort:            {pIV, pCL, pCL, pCL, pCL, pCL, pCL, pCL, pIV},
		chunkShutdown:         {pIV, pCL, pCW, pCE, pSR, pSS, pSR, pSA, pIV},
		chunkShutdownAck:      {pIV, pCL, pCW, pCE, pES, pSA, pSA, pSA, pIV},
		chunkError:            {pIV, pCL, pCW, pCL, pES, pSS, pSR, pSA, pIV}, // the cookie was stale: begin again
		chunkCookieEcho:       {pIV, pCL, pCE, pCE, pES, pSS, pSR, pSA, pIV},
		chunkCookieAck:        {pIV, pCL, pCW, pES, pES, pSS, pSR, pSA, pIV}, // the fourth step
		chunkShutdownComplete: {pIV, pCL, pCW, pCE, pES, pSS, pSR, pCL, pIV},
		chunkHeartbeat:        {pIV, pCL, pCW, pCE, pES, pSS, pSR, pSA, pHS},
		chunkHeartbeatAck:     {pIV, pCL, pCW, pCE, pES, pSS, pSR, pSA, pES}, // the further path is good
	},
}

func sctpNext(s SCTPState, d Dir, typ uint8) SCTPState {
	if typ >= numChunks || sctpTransitions[d][typ] == nil {
		return s
	}
	return sctpTransitions[d][typ][s]
}

// sctpChunks is the chunks of a packet, to be walked: the first four bytes of each are there.
type sctpChunks []byte

// next takes one chunk off; ok is false at the end. b runs to the end of the packet, whatever the chunk's length says.
func (c *sctpChunks) next() (typ, flags uint8, b []byte, ok bool) {
	b = *c
	if len(b) < 4 {
		return 0, 0, nil, false
	}
	n := min((int(be16(b[2:]))+3)&^3, len(b))
	*c = b[n:]
	return b[0], b[1], b, true
}

// trackSCTP is nf_conntrack_sctp_packet.
func (x *look) trackSCTP() verdict {
	if len(x.l4) < 12 {
		return x.invalid("nf_ct_sctp: short packet ")
	}
	if !x.sumOK() {
		return x.invalid("nf_ct_sctp: bad CRC ")
	}
	seen, ok := x.sctpSeen()
	if !ok {
		return invalid
	}
	c, st := x.c, x.c.sctp()
	tag := be32(x.l4[4:])
	if c.Status()&StatusConfirmed == 0 {
		// Out of the blue these begin nothing (RFC 9260 8.4).
		if seen&(1<<chunkAbort|1<<chunkShutdownComplete|1<<chunkCookieAck) != 0 || !x.sctpNew(st, tag) {
			return invalid
		}
	}
	mu := &c.lock
	mu.Lock()
	defer mu.Unlock()
	// RFC 9260 8.5: the tag must be ours, but for chunks that have a rule of their own.
	const exempt = 1<<chunkInit | 1<<chunkShutdownComplete | 1<<chunkCookieEcho | 1<<chunkAbort | 1<<chunkShutdownAck |
		1<<chunkHeartbeat | 1<<chunkHeartbeatAck
	if seen&exempt == 0 && tag != st.vtag[x.dir] {
		if x.logs(packet.ProtoSCTP) {
			x.log(packet.ProtoSCTP, fmt.Sprintf("verification tag check failed %x vs %x for dir %d", swap32(tag), swap32(st.vtag[x.dir]), x.dir))
		}
		return invalid
	}
	ignore, next := false, SCTPNone
	chunks := sctpChunks(x.l4[12:])
	for {
		typ, flags, b, ok := chunks.next()
		if !ok {
			break
		}
		skip, ok := x.sctpTag(st, typ, flags, tag, seen, ignore)
		if !ok {
			return invalid
		}
		if skip {
			ignore = true
			continue
		}
		old := st.state
		next = sctpNext(old, x.dir, typ)
		if next == pIV {
			if x.logs(packet.ProtoSCTP) {
				x.log(packet.ProtoSCTP, fmt.Sprintf("Invalid, old_state %d, dir %d, type %d", old, x.dir, typ))
			}
			return invalid
		}
		if !x.sctpInit(st, typ, b) {
			return invalid
		}
		if typ == chunkInit && next == pCL && old == pCL && c.Status()&StatusConfirmed != 0 {
			ignore = true // a repeated INIT does not keep an entry alive: ports are reused
		}
		st.state = next
		if old != next {
			c.cache(CauseProtoInfo)
			if next == pES {
				x.assure()
			}
		}
	}
	if !ignore {
		x.refresh(x.timeouts().SCTP[next])
	}
	return accept
}

// sctpSeen is the set of chunk types below 16. It is false where INIT, INIT ACK or SHUTDOWN COMPLETE is not alone,
// COOKIE ECHO or COOKIE ACK not the first, or a chunk has no length (RFC 9260 6.10).
func (x *look) sctpSeen() (seen uint16, ok bool) {
	chunks, alone, n := sctpChunks(x.l4[12:]), 0, 0
	for ; ; n++ {
		typ, _, b, ok := chunks.next()
		if !ok {
			return seen, n > 0
		}
		switch typ {
		case chunkInit, chunkInitAck, chunkShutdownComplete:
			alone = 1
		}
		if n > 0 && (alone == 1 || typ == chunkCookieAck || typ == chunkCookieEcho) || be16(b[2:]) == 0 {
			if x.logs(packet.ProtoSCTP) {
				x.log(packet.ProtoSCTP, fmt.Sprintf("do_basic_checks failed. chunk num %d, type %d, len %d flag %d\\x0a", // as the kernel's log shows its newline
					n, typ, uint16(b[3])<<8|uint16(b[2]), alone))
			}
			return seen, false
		}
		if typ < 16 {
			seen |= 1 << typ
		}
	}
}

// sctpNew begins an association (sctp_new).
func (x *look) sctpNew(st *sctpState, tag uint32) bool {
	*st = sctpState{}
	chunks := sctpChunks(x.l4[12:])
	for {
		typ, _, b, ok := chunks.next()
		if !ok {
			return true
		}
		if next := sctpNext(pNO, Original, typ); next == pNO || next == pIV {
			return false
		}
		switch typ {
		case chunkInit:
			if tag != 0 || len(b) < 20 {
				return false // RFC 9260 8.5.1 A
			}
			st.vtag[Reply] = be32(b[4:])
		case chunkHeartbeat:
			st.vtag[Original] = tag
		case chunkShutdownAck:
			st.vtag[Reply] = tag // answered by SHUTDOWN COMPLETE with the same tag (RFC 9260 8.4, 5)
		}
	}
}

// sctpTag checks the verification tag as RFC 9260 8.5.1 has it for each chunk. skip is a HEARTBEAT of a host that may
// have restarted: it passes, but moves nothing.
func (x *look) sctpTag(st *sctpState, typ, flags uint8, tag uint32, seen uint16, ignore bool) (skip, ok bool) {
	d, o := x.dir, x.dir.Other()
	switch typ {
	case chunkInit:
		return false, tag == 0
	case chunkAbort, chunkShutdownComplete:
		if flags&1 != 0 { // the T bit: the tag is the sender's own
			d = o
		}
		return false, tag == st.vtag[d]
	case chunkCookieEcho:
		return false, tag == st.vtag[d]
	case chunkCookieAck:
		st.init = [2]bool{}
	case chunkHeartbeat, chunkHeartbeatAck:
		switch {
		case st.vtag[d] == 0:
			st.vtag[d] = tag
		case tag == st.vtag[d]:
			st.strange = false
		case seen&(1<<chunkData) != 0 || ignore:
			return false, false
		case typ == chunkHeartbeat:
			st.strange, st.lastDir = true, d
			return true, true
		case !st.strange || st.lastDir == d:
			return false, false
		default:
			st.strange = false
			st.vtag[d], st.vtag[o] = tag, 0
		}
	}
	return false, true
}

// sctpInit notes the tag that an INIT or INIT ACK asks for; false where it is cut, or names another than agreed.
func (x *look) sctpInit(st *sctpState, typ uint8, b []byte) bool {
	d, o := x.dir, x.dir.Other()
	if typ != chunkInit && typ != chunkInitAck {
		return true
	}
	if len(b) < 20 {
		return false
	}
	want := be32(b[4:])
	if typ == chunkInit {
		if st.init[d] && st.init[o] {
			st.init[o] = false
		}
		st.init[d] = true
	} else {
		have := st.vtag[o]
		if !st.init[o] && have != 0 && have != want || st.init[d] && st.init[o] && have != want {
			return false
		}
	}
	st.vtag[o] = want
	return true
}

// swap32 is a word as a little-endian kernel prints it from the wire.
func swap32(v uint32) uint32 { return v<<24 | v>>24 | v<<8&0xff0000 | v>>8&0xff00 }
