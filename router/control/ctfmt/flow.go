package ctfmt

import (
	"time"

	"github.com/moat-router/moat/policy/conntrack"
)

// Flow is one connection at one moment.
type Flow struct {
	Orig, Reply conntrack.Tuple
	Timeout     int64  // seconds that are left; below 0: none (an entry that is gone, or an event without)
	State       string // of TCP and SCTP; "" for the rest
	Status      conntrack.Status
	Mark        uint32
	Zone        uint16
	ZoneDir     conntrack.ZoneDir
	Acct        bool // the counters count
	Packets     [2]uint64
	Bytes       [2]uint64
	Start, Stop time.Time // wall clock, zero without nf_conntrack_timestamp; Stop zero while it lives
	Now         time.Time // the moment; for delta-time while it lives
	Labels      [16]byte
	Tags        [2]uint32 // verification tags of SCTP, by direction
	Helper      string
	Use         int
	ID          uint32
}

// Expectation is one expected connection.
type Expectation struct {
	Tuple, Mask, Master conntrack.Tuple
	Timeout             int64
	Permanent           bool
	Inactive            bool
	Class               uint32
	Helper              string
}

// EventKind is what happened to a flow or an expectation.
type EventKind uint8

// The kinds.
const (
	EventNew EventKind = iota
	EventUpdate
	EventDestroy

	// An expectation comes and goes under the same names; that Expectation is set tells it apart.
	EventExpNew     = EventNew
	EventExpDestroy = EventDestroy
)

func (k EventKind) String() string { return [...]string{"NEW", "UPDATE", "DESTROY"}[k] }

// Event is a notification. Exactly one of Flow and Expectation is set. In a Flow of an event, State is "" where the
// event does not speak of it and Mark is 0 where there is none.
type Event struct {
	Kind        EventKind
	Time        time.Time
	Flow        *Flow
	Expectation *Expectation
}

// Options choose what a text holds, as -o does.
type Options struct {
	Extended   bool // network protocol in front
	ID         bool
	Timestamp  bool // time in front of events
	KTimestamp bool // start and stop of the flow
	Labels     bool
}

func l3Name(v6 bool) (string, uint64) {
	if v6 {
		return "ipv6", 10
	}
	return "ipv4", 2
}

// L4Name is conntrack's name of a transport protocol.
func L4Name(proto uint8) string {
	switch proto {
	case 1:
		return "icmp"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 33:
		return "dccp"
	case 47:
		return "gre"
	case 58:
		return "icmpv6"
	case 132:
		return "sctp"
	case 136:
		return "udplite"
	}
	return "unknown"
}

// PortKind tells what a tuple's two numbers mean.
type PortKind uint8

// The kinds: none, ports, ICMP type, code and id, GRE keys, and ports that are always 0: DCCP is tracked as generic (kernel
// 6.18), but conntrack-tools knows that it has ports.
const (
	NoPorts PortKind = iota
	Ports
	ICMPPorts
	GREKeys
	ZeroPorts
)

// PortsOf gives the meaning for a protocol.
func PortsOf(proto uint8) PortKind {
	switch proto {
	case 6, 17, 132, 136:
		return Ports
	case 1, 58:
		return ICMPPorts
	case 47:
		return GREKeys
	case 33:
		return ZeroPorts
	}
	return NoPorts
}

// Delta is how long the flow has lived, in whole seconds; ok is false without timestamps.
func (f *Flow) Delta() (seconds int64, ok bool) {
	if f.Start.IsZero() {
		return 0, false
	}
	end := f.Stop
	if end.IsZero() {
		end = f.Now
	}
	return int64(end.Sub(f.Start) / time.Second), true
}
