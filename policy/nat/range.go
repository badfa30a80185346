package nat

import "github.com/moat-router/moat/stack/packet"

// Manip is which end of a connection NAT changes.
type Manip uint8

// The two kinds: SNAT, MASQUERADE and source NETMAP; DNAT, REDIRECT and destination NETMAP.
const (
	ManipSrc Manip = iota
	ManipDst
)

// Flags of a Range, with the kernel's numbers (NF_NAT_RANGE_*).
type Flags uint32

// The flags.
const (
	MapIPs         Flags = 1 << 0
	ProtoSpecified Flags = 1 << 1
	ProtoRandom    Flags = 1 << 2
	Persistent     Flags = 1 << 3
	RandomFully    Flags = 1 << 4
	ProtoOffset    Flags = 1 << 5
	NetMap         Flags = 1 << 6
)

// Range is what a NAT rule allows: the addresses and the ports (or ICMP ids) to choose from, both ends included.
// Fields count only where Flags say so.
type Range struct {
	Flags            Flags
	MinAddr, MaxAddr packet.Addr
	MinPort, MaxPort uint16
	BasePort         uint16 // --to-destination addr:min-max/base: port shift, with ProtoOffset
}
