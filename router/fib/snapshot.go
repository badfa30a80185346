package fib

import (
	"net/netip"

	"github.com/gaissmai/bart"

	"github.com/moat-router/moat/stack/packet"
)

// Numbers of the tables that have names.
const (
	TableDefault uint32 = 253
	TableMain    uint32 = 254
	TableLocal   uint32 = 255
)

// Loopback is the index of lo.
const Loopback = 1

// FIB is an immutable snapshot of interfaces, routes and rules. The zero value has none and routes nothing.
type FIB struct {
	devs  []Dev          // by index; 0 is unused
	fam   [2]family      // policy.V4, policy.V6
	local [2]*trie       // the table of local and broadcast addresses
	opt   Options        // as when it was built
	state *state         // for printing
	own   map[owned]bool // every address of ours, with its interface and without (dev 0)
}

type owned struct {
	addr packet.Addr
	dev  int
}

// Dev is an interface with its addresses, in the order in which Linux keeps them: IPv4 in order of configuration,
// secondaries last; IPv6 the newest first within a scope.
type Dev struct {
	Name  string
	Index int
	MTU   int
	Up    bool
	Addrs [2][]Address // by family
}

// Address is one address of an interface.
type Address struct {
	Local     packet.Addr
	Peer      packet.Addr // the prefix's address: Local, unless a peer was given
	Broadcast packet.Addr // as configured; zero if not
	Bits      int         // prefix length in the address's own family
	Scope     Scope
	Secondary bool // IPv4: not the first of its subnet
	NoPrefix  bool // noprefixroute
	Label     string
}

// Prefix is the subnet of the address.
func (a *Address) Prefix() netip.Prefix {
	p, _ := a.Peer.IP().Prefix(a.Bits)
	return p
}

// Scope is the reach of a route or of an IPv4 address, with the kernel's numbers (RT_SCOPE_*): larger is nearer.
type Scope uint8

// The scopes.
const (
	ScopeUniverse Scope = 0
	ScopeSite     Scope = 200
	ScopeLink     Scope = 253
	ScopeHost     Scope = 254
	ScopeNowhere  Scope = 255
)

type family struct {
	steps []step
}

// step is a rule made ready: the selectors that it does not use are left out.
type step struct {
	*rule
	trie *trie // nil: the table is empty
}

// trie is one table: the longest prefix's node; a node knows the next shorter one.
type trie struct {
	t bart.Fast[*node]
}

type node struct {
	hops []hop
	up   *node
	bits int
}

// hop is a route, ready to be answered.
type hop struct {
	res    Result
	metric uint32
	tos    uint8
	bits   uint8 // prefix length
	scope  Scope
	direct bool // the destination itself is on the link or here (nexthop scope host or nearer)
}

// Devs are the interfaces, by index; entry 0 is none.
func (f *FIB) Devs() []Dev { return f.devs }

// Dev gives the interface with this index; nil if there is none.
func (f *FIB) Dev(index int) *Dev {
	if index <= 0 || index >= len(f.devs) || f.devs[index].Index == 0 {
		return nil
	}
	return &f.devs[index]
}

// DevByName gives the interface of this name; nil if there is none.
func (f *FIB) DevByName(name string) *Dev {
	for i := range f.devs {
		if f.devs[i].Index != 0 && f.devs[i].Name == name {
			return &f.devs[i]
		}
	}
	return nil
}

// Owns tells whether a is an address of ours: of interface dev, or of any if dev is 0.
func (f *FIB) Owns(a packet.Addr, dev int) bool { return f.own[owned{a, dev}] }

// CustomRules tells whether the rules of a family were ever touched (fib_has_custom_rules).
func (f *FIB) CustomRules(v6 bool) bool { return f.state != nil && f.state.touched[fam(v6)] }

func fam(v6 bool) int {
	if v6 {
		return 1
	}
	return 0
}
