package nat

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/moat-router/moat/stack/packet"
)

// Behaviour is what a NAT promises to applications, in the words of RFC 4787. A rule without one behaves as Linux does.
// The zero value maps endpoint-independently, filters nothing, preserves ports, pairs addresses and makes hairpins.
type Behaviour struct {
	Mapping    Dependence // RFC 4787 4.1: which destinations see the same external endpoint
	Filtering  Dependence // RFC 4787 5: who may answer, or call, at it
	Assignment Assignment // RFC 4787 4.2
	Pooling    Pooling    // RFC 4787 4.1: which address of several
	NoHairpin  bool       // RFC 4787 6, refused
}

// Dependence is on what of the other end a mapping or a filter depends.
type Dependence uint8

// The dependences.
const (
	EndpointIndependent Dependence = iota
	AddressDependent
	AddressAndPortDependent
)

// Assignment is how the external port is chosen. All stay within the rule's ports; without any, below 512, from 600 to
// 1023 or from 1024 on, as the internal port does.
type Assignment uint8

// The assignments.
const (
	PreservePort   Assignment = iota // the internal port if it is free, else a random one
	RandomPort                       // a random one
	SequentialPort                   // the one behind the latest
	ParityPort                       // preserve, and else one that is even or odd as the internal port is (REQ-4)
	ContiguousPort                   // parity, and internal neighbours n (even) and n+1 are external neighbours (RTP and RTCP)
)

// Pooling is which address of several an internal address gets.
type Pooling uint8

// The poolings.
const (
	Paired    Pooling = iota // always the same (REQ-2)
	Arbitrary                // any, for each binding anew
)

// Words of rule options, in the order of the constants.
var (
	DependenceWords = []string{"endpoint-independent", "address-dependent", "address-and-port-dependent"}
	AssignmentWords = []string{"preserve", "random", "sequential", "parity", "contiguous"}
	PoolingWords    = []string{"paired", "arbitrary"}
)

func (d Dependence) String() string { return DependenceWords[d] }
func (a Assignment) String() string { return AssignmentWords[a] }
func (p Pooling) String() string    { return PoolingWords[p] }

// Named is a well-known behaviour.
type Named struct {
	Name      string
	Behaviour Behaviour
}

// Shorthands are the names that people have for behaviours: those of RFC 3489, which RFC 4787 replaced since they say too
// little, and that of RFC 6888.
var Shorthands = []Named{
	{"full-cone", Behaviour{}},
	{"restricted", Behaviour{Filtering: AddressDependent}},
	{"port-restricted", Behaviour{Filtering: AddressAndPortDependent}},
	{"symmetric", Behaviour{Mapping: AddressAndPortDependent, Filtering: AddressAndPortDependent, Assignment: RandomPort}},
	{"cgnat", Behaviour{Assignment: RandomPort}},
}

// Shorthand finds a behaviour by its name.
func Shorthand(name string) (Behaviour, error) {
	i := slices.IndexFunc(Shorthands, func(n Named) bool { return n.Name == name })
	if i < 0 {
		var names []string
		for _, n := range Shorthands {
			names = append(names, n.Name)
		}
		return Behaviour{}, fmt.Errorf("%q is not a NAT behaviour: want %s", name, strings.Join(names, ", "))
	}
	return Shorthands[i].Behaviour, nil
}

// AppendSave appends the rule options that stand for the behaviour, in normal form: mapping and filtering always, the
// others where they are not the default.
func (h *Behaviour) AppendSave(b []byte) []byte {
	b = append(append(b, " --mapping "...), h.Mapping.String()...)
	b = append(append(b, " --filtering "...), h.Filtering.String()...)
	if h.Assignment != PreservePort {
		b = append(append(b, " --port-assignment "...), h.Assignment.String()...)
	}
	if h.Pooling != Paired {
		b = append(append(b, " --pooling "...), h.Pooling.String()...)
	}
	if h.NoHairpin {
		b = append(b, " --no-hairpin"...)
	}
	return b
}

// lifetime is how long a binding lives after the last packet that left through it, without a connection that holds it:
// RFC 4787 REQ-5 (five minutes recommended, two at least), RFC 5382 REQ-5 (four minutes for what is not established;
// established connections hold it themselves), RFC 5508 REQ-2 (a minute at least).
func lifetime(proto uint8) time.Duration {
	switch proto {
	case packet.ProtoTCP, packet.ProtoSCTP:
		return 4 * time.Minute
	case packet.ProtoICMP, packet.ProtoICMPv6:
		return time.Minute
	}
	return 5 * time.Minute
}

// bindable tells whether a protocol has something that a binding can hold: ports, or the id of ICMP queries.
func bindable(proto uint8) bool {
	return callable(proto) || proto == packet.ProtoICMP || proto == packet.ProtoICMPv6
}

// callable tells whether somebody outside can call at a binding. Queries of ICMP are the router's to answer.
func callable(proto uint8) bool {
	switch proto {
	case packet.ProtoTCP, packet.ProtoUDP, packet.ProtoUDPLite, packet.ProtoSCTP:
		return true
	}
	return false
}
