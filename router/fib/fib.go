package fib

import "github.com/moat-router/moat/stack/packet"

// Key is a question to the FIB.
type Key struct {
	V6       bool
	Dst, Src packet.Addr // Src zero: not known yet (source selection)
	TOS      uint8
	Mark     uint32
	IIF      int // ingress interface; 0: from the router itself
	OIF      int // only routes through this interface (IPv6 with Src given: preferably, as in Linux); 0: any
}

// Result is the answer. The zero value is "no route" (RTN_UNSPEC).
type Result struct {
	Type    Type
	Dev     int         // index of the egress interface
	Gateway packet.Addr // zero: the destination is on link
	PrefSrc packet.Addr // source for packets that the router makes (route's src, or the egress interface's address by scope)
	MTU     int         // the route's mtu lock; 0: the interface's
	Table   uint32
}

// Type is the kind of a route, with the kernel's numbers (RTN_*).
type Type uint8

// The kinds.
const (
	None Type = iota
	Unicast
	Local
	Broadcast
	Anycast
	Multicast
	Blackhole
	Unreachable
	Prohibit
	Throw
)

var typeNames = [...]string{"none", "unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit", "throw"}

func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "none"
}
