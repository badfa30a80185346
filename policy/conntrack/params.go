package conntrack

import "time"

// Params are the sysctls below net.netfilter.nf_conntrack_, by their names. They are immutable once given to a Table:
// SetParams swaps all of them at once.
type Params struct {
	Max       int // nf_conntrack_max; 0 is no limit
	ExpectMax int // nf_conntrack_expect_max

	Acct       bool  // nf_conntrack_acct: for connections that begin from now on
	Timestamp  bool  // nf_conntrack_timestamp
	Checksum   bool  // nf_conntrack_checksum
	Events     int   // nf_conntrack_events: 0 off, 1 on, 2 for connections that begin while somebody listens
	LogInvalid uint8 // nf_conntrack_log_invalid: a protocol number, 255 for all, 0 for none
	Helper     bool  // automatic assignment of helpers by port (gone from Linux since 6.0; off)

	TCPLoose            bool  // nf_conntrack_tcp_loose
	TCPBeLiberal        bool  // nf_conntrack_tcp_be_liberal
	TCPIgnoreInvalidRST bool  // nf_conntrack_tcp_ignore_invalid_rst
	TCPMaxRetrans       uint8 // nf_conntrack_tcp_max_retrans

	Timeouts
}

// Timeouts are the nf_conntrack_*_timeout_* sysctls, and what a timeout policy (-j CT --timeout) replaces.
type Timeouts struct {
	Generic time.Duration // nf_conntrack_generic_timeout
	ICMP    time.Duration
	ICMPv6  time.Duration

	UDP, UDPStream time.Duration // UDP-Lite, too
	GRE, GREStream time.Duration

	TCP  [NumTCPTimeouts]time.Duration // by TCPState, then TCPTimeoutRetrans and TCPTimeoutUnack
	SCTP [NumSCTPStates]time.Duration  // by SCTPState
}

// The two timeouts of TCP that belong to no state.
const (
	TCPTimeoutRetrans = int(NumTCPStates)     // nf_conntrack_tcp_timeout_max_retrans
	TCPTimeoutUnack   = int(NumTCPStates) + 1 // nf_conntrack_tcp_timeout_unacknowledged
	NumTCPTimeouts    = int(NumTCPStates) + 2
)

// DefaultParams are Linux's defaults (kernel 6.18); nf_conntrack_max is that of a machine with 4 GB.
func DefaultParams() *Params {
	p := &Params{
		Max: 262144, ExpectMax: 4096,
		Checksum: true, Events: 2,
		TCPLoose: true, TCPMaxRetrans: 3,
		Timeouts: Timeouts{
			Generic: 600 * time.Second, ICMP: 30 * time.Second, ICMPv6: 30 * time.Second,
			UDP: 30 * time.Second, UDPStream: 120 * time.Second,
			GRE: 30 * time.Second, GREStream: 180 * time.Second,
		},
	}
	for s, v := range map[int]int{
		int(TCPSynSent): 120, int(TCPSynRecv): 60, int(TCPEstablished): 432000, int(TCPFinWait): 120,
		int(TCPCloseWait): 60, int(TCPLastAck): 30, int(TCPTimeWait): 120, int(TCPClose): 10, int(TCPSynSent2): 120,
		TCPTimeoutRetrans: 300, TCPTimeoutUnack: 300,
	} {
		p.TCP[s] = time.Duration(v) * time.Second
	}
	for s, v := range map[SCTPState]int{
		SCTPClosed: 10, SCTPCookieWait: 3, SCTPCookieEchoed: 3, SCTPEstablished: 210, SCTPShutdownSent: 3,
		SCTPShutdownRecd: 3, SCTPShutdownAckSent: 3, SCTPHeartbeatSent: 30,
	} {
		p.SCTP[s] = time.Duration(v) * time.Second
	}
	return p
}
