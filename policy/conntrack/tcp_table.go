package conntrack

// TCPState is the state of a TCP connection as the tracker between the two hosts sees it, with the kernel's numbers
// (enum tcp_conntrack).
type TCPState uint8

// The states.
const (
	TCPNone        TCPState = iota // nothing seen
	TCPSynSent                     // SYN seen
	TCPSynRecv                     // SYN/ACK seen in the other direction
	TCPEstablished                 // the handshake's ACK seen, or a connection picked up in the middle
	TCPFinWait                     // first FIN seen
	TCPCloseWait                   // and its ACK
	TCPLastAck                     // FINs seen in both directions
	TCPTimeWait                    // and the last ACK
	TCPClose                       // RST seen
	TCPSynSent2                    // SYNs seen in both directions: a simultaneous open
	NumTCPStates
)

var tcpNames = [NumTCPStates]string{
	"NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE", "SYN_SENT2",
}

func (s TCPState) String() string { return tcpNames[s] }

// What the transition table says beside a new state.
const (
	tcpInvalid TCPState = NumTCPStates     // the segment does not fit the state
	tcpIgnore  TCPState = NumTCPStates + 1 // we may be out of step: let it pass and see what answers
)

// segment is what matters of a segment's flags.
type segment uint8

const (
	segSYN segment = iota
	segSYNACK
	segFIN
	segACK
	segRST
	segNone
	numSegments
)

func segmentOf(flags uint8) segment {
	switch {
	case flags&tcpRST != 0:
		return segRST
	case flags&tcpSYN != 0 && flags&tcpACK != 0:
		return segSYNACK
	case flags&tcpSYN != 0:
		return segSYN
	case flags&tcpFIN != 0:
		return segFIN
	case flags&tcpACK != 0:
		return segACK
	}
	return segNone
}

const (
	tcpFIN = 1 << 0
	tcpSYN = 1 << 1
	tcpRST = 1 << 2
	tcpACK = 1 << 4
	tcpURG = 1 << 5
)

// Short names, so that the table below can be read as one.
const (
	sNO = TCPNone
	sSS = TCPSynSent
	sSR = TCPSynRecv
	sES = TCPEstablished
	sFW = TCPFinWait
	sCW = TCPCloseWait
	sLA = TCPLastAck
	sTW = TCPTimeWait
	sCL = TCPClose
	sS2 = TCPSynSent2
	sIV = tcpInvalid
	sIG = tcpIgnore
)

// tcpTransitions is what a segment does, by direction, segment and state before.
var tcpTransitions = [2][numSegments][NumTCPStates]TCPState{
	Original: {
		// SYN opens (NO), is repeated (SS), crosses another (S2), or opens anew after the end (TW, CL). Elsewhere we may
		// have lost count of the real connection: the server's answer will tell.
		//       NO   SS   SR   ES   FW   CW   LA   TW   CL   S2
		segSYN: {sSS, sSS, sIG, sIG, sIG, sIG, sIG, sSS, sSS, sS2},
		// SYN/ACK from the opener exists only in a simultaneous open (S2), and repeated there (SR).
		segSYNACK: {sIV, sIV, sSR, sIV, sIV, sIV, sIV, sIV, sIV, sSR},
		// FIN before an answer was seen is not believed (NO, SS, S2). The first begins the close (SR, ES), the second
		// makes both sides closing (FW, CW); repeated it changes nothing (LA, TW, CL).
		segFIN: {sIV, sIV, sFW, sFW, sLA, sLA, sLA, sTW, sCL, sIV},
		// ACK out of nothing is a connection that we pick up (NO). It ends the handshake (SR), answers a FIN (FW) or
		// the last one (LA); before the answer to our SYN it makes no sense (SS, S2).
		segACK: {sES, sIV, sES, sES, sCW, sCW, sTW, sTW, sCL, sIV},
		// RST ends whatever there is.
		segRST:  {sIV, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL},
		segNone: {sIV, sIV, sIV, sIV, sIV, sIV, sIV, sIV, sIV, sIV},
	},
	Reply: {
		// SYN from the answering side: a simultaneous open (SS), repeated (S2), or a new connection with the roles
		// exchanged (TW). A server does not open inside a connection.
		segSYN: {sIV, sS2, sIV, sIV, sIV, sIV, sIV, sSS, sIV, sS2},
		// SYN/ACK answers (SS, S2); later it is a repetition, or the answer to a SYN that we ignored.
		segSYNACK: {sIV, sSR, sIG, sIG, sIG, sIG, sIG, sIG, sIG, sSR},
		segFIN:    {sIV, sIV, sFW, sFW, sLA, sLA, sLA, sTW, sCL, sIV},
		// ACK to a SYN may come from a host that holds an older, half-open connection (SS, S2): let it pass. In SR it
		// may answer a SYN/ACK that crossed.
		segACK:  {sIV, sIG, sSR, sES, sCW, sCW, sTW, sTW, sCL, sIG},
		segRST:  {sIV, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL},
		segNone: {sIV, sIV, sIV, sIV, sIV, sIV, sIV, sIV, sIV, sIV},
	},
}

// tcpFlagsValid tells whether a combination of flags (less PSH, ECE, CWR) can be sent by a sane host.
func tcpFlagsValid(flags uint8) bool {
	switch flags &^ (1<<3 | 1<<6 | 1<<7) {
	case tcpSYN, tcpSYN | tcpURG, tcpSYN | tcpACK, tcpRST, tcpRST | tcpACK, tcpFIN | tcpACK, tcpFIN | tcpACK | tcpURG, tcpACK, tcpACK | tcpURG:
		return true
	}
	return false
}
