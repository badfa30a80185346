package policy

import (
	"math/rand/v2"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/policy/nat"
	"github.com/moat-router/moat/stack/packet"
)

// Dev is an interface as rules see it: a name and a number. The router owns it; it lives as long as the router.
type Dev struct {
	Name  string
	Index int // from 1; 0 is no interface
}

// Packet is netfilter's skb: a datagram and everything that rides along on its walk.
type Packet struct {
	*packet.Packet

	W   *Worker
	Now packet.Time // the time of its arrival, the same in all of its walk
	In  *Dev        // nil for packets the router made
	Out *Dev        // nil before routing, and at INPUT

	Hook Hook // the hook whose rules are running

	CT        conntrack.Ref
	Mark      uint32
	Priority  uint32 // CLASSIFY
	Trace     bool   // the TRACE target has marked it
	Duplicate bool   // made by TEE: never duplicated again

	// Reason is set by whoever returns Drop; a table that drops without one gets its own default.
	Reason packet.Reason
	// Reject is set by the REJECT target together with Drop: the answer that the router is to send.
	Reject RejectWith
	// HotDrop is set by a match that finds the packet too broken to go on (xtables' hotdrop).
	HotDrop bool
}

// Worker is what belongs to one run-to-completion loop: its own randomness and its own slot of every counter.
type Worker struct {
	ID   int
	Rand *rand.Rand
	Env  Env
	CT   *conntrack.Table
	// Bindings are what rules with a NAT behaviour promise; nil behaves as if no rule had one.
	Bindings *nat.Bindings
	// Depth counts nested walks (TEE, router-made answers) so that a loop ends.
	Depth int
	// Line is scratch memory for the log line that is being written; it grows once.
	Line []byte

	stack []frame // of chains that jumped, used by Run
}

// RejectWith is the answer that REJECT asks for: an ICMP or ICMPv6 type and code, or a TCP reset. The zero value is
// no answer.
type RejectWith struct {
	Kind RejectKind
	Type uint8 // ICMP destination unreachable: 3; ICMPv6: 1
	Code uint8
	Info uint32 // the second word of the ICMP header: where an ICMPv6 parameter problem points at (SNPT, DNPT)
}

// RejectKind tells what RejectWith holds.
type RejectKind uint8

// The kinds of rejection.
const (
	RejectNone RejectKind = iota
	RejectICMP
	RejectTCPReset
)
