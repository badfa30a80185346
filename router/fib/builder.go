package fib

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/moat-router/moat/stack/packet"
)

// Options are the sysctls that decide which routes Linux makes by itself.
type Options struct {
	// Forward6 is net.ipv6.conf.all.forwarding: a router has an anycast address in every subnet (RFC 4291 2.6.1).
	Forward6 bool
	// Promotes is net.ipv4.conf.*.promote_secondaries: whether a secondary takes the place of a deleted primary on an
	// interface; nil: nowhere.
	Promotes func(dev int) bool
	// RouteLocalnet is net.ipv4.conf.all.route_localnet: 127/8 is an address like any other.
	RouteLocalnet bool
}

// ChangeKind says what a command did to an interface.
type ChangeKind uint8

// The kinds of change.
const (
	AddrAdded ChangeKind = iota
	AddrDeleted
	LinkUp
	LinkDown
	LinkMTU
)

// Change is what the rest of the router must hear of: MASQUERADE's entries die with an address or a link.
type Change struct {
	Kind ChangeKind
	Dev  int
	Addr packet.Addr // AddrAdded, AddrDeleted
	V6   bool        // AddrAdded, AddrDeleted
	MTU  int         // LinkMTU
}

// Builder collects the configuration of a FIB. It belongs to one goroutine.
type Builder struct {
	s       *state
	changes []Change
}

// NewBuilder gives a Builder with what a fresh network namespace has once lo is up: lo (index 1) with 127.0.0.1/8 and
// ::1/128, and the rules for the tables local, main and (IPv4) default. Forward6 is on.
func NewBuilder() *Builder {
	b := &Builder{s: newState()}
	b.s.devs = append(b.s.devs, &dev{Dev: Dev{Name: "lo", Index: Loopback, MTU: 65536, Up: true}})
	lo := b.s.devs[0]
	for _, a := range []Address{
		{Local: packet.Addr{10: 0xff, 11: 0xff, 12: 127, 15: 1}, Bits: 8, Scope: ScopeHost},
		{Local: loopback6, Bits: 128, Scope: ScopeHost},
	} {
		a.Peer = a.Local
		if err := b.s.addAddr(lo, a, nil); err != nil {
			panic("fib: lo: " + err.Error())
		}
	}
	return b
}

// Clone gives an independent Builder with the same content and no pending changes.
func (b *Builder) Clone() *Builder { return &Builder{s: b.s.clone()} }

// SetOptions sets the sysctls that matter here; they count from the next Build on, as Linux applies them.
func (b *Builder) SetOptions(o Options) { b.s.opt = o }

// Options are those set last.
func (b *Builder) Options() Options { return b.s.opt }

// AddLink adds an interface, up and without addresses, and gives its index: 2 for the first, lo being 1.
func (b *Builder) AddLink(name string, mtu int) (int, error) {
	if err := checkName(name); err != nil {
		return 0, err
	}
	if b.s.dev(name) != nil {
		return 0, fmt.Errorf("there is already an interface %q", name)
	}
	if mtu < minMTU || mtu > maxMTU {
		return 0, fmt.Errorf("mtu %d of %s is not in %d-%d", mtu, name, minMTU, maxMTU)
	}
	d := &dev{Dev: Dev{Name: name, Index: b.s.devs[len(b.s.devs)-1].Index + 1, MTU: mtu, Up: true}}
	b.s.devs = append(b.s.devs, d)
	b.s.linkRoutes(d)
	return d.Index, nil
}

const (
	minMTU = 68 // RFC 791
	maxMTU = 65535
)

// checkName is what Linux asks of an interface's name (dev_valid_name).
func checkName(name string) error {
	if name == "" || len(name) > 15 || name == "." || name == ".." {
		return fmt.Errorf("%q cannot be the name of an interface: 1 to 15 bytes are needed", name)
	}
	for _, c := range []byte(name) {
		if c == '/' || c == ':' || c == ' ' || c >= 9 && c <= 13 {
			return fmt.Errorf("%q cannot be the name of an interface: no space, slash or colon may stand in it", name)
		}
	}
	return nil
}

// AddAddr is "ip addr add ADDR [peer PEER] dev DEV": addr is "a.b.c.d/n" or "x::y/n", peer may be "".
func (b *Builder) AddAddr(devName, addr, peer string) error {
	words := []string{"addr", "add", addr}
	if peer != "" {
		words = append(words, "peer", peer)
	}
	return b.run([][]string{append(words, "dev", devName)})
}

// Route is "ip route add" with these words: "default via 10.0.0.1 dev wan".
func (b *Builder) Route(words string) error {
	w, err := split(words)
	if err != nil {
		return err
	}
	if len(w) != 1 {
		return fmt.Errorf("one route at a time: %q", words)
	}
	if len(w[0]) > 0 && w[0][0] == "ip" {
		return b.run(w)
	}
	return b.run([][]string{append([]string{"route", "add"}, w[0]...)})
}

// SetIPv6 is net.ipv6.conf.DEV.disable_ipv6: off takes the interface's IPv6 addresses and routes away, and there can be
// none until it is on again. They do not come back (addrconf_ifdown). It tells whether anything has changed.
func (b *Builder) SetIPv6(index int, on bool) bool {
	d := b.s.devAt(index)
	if d == nil || d.noIPv6 == !on || index == Loopback {
		return false
	}
	d.noIPv6 = !on
	if on {
		b.s.linkRoutes(d)
	} else {
		b.s.dropIPv6(d, func(c Change) { b.changes = append(b.changes, c) })
	}
	return true
}

// Changes drains the list of what commands did to interfaces and addresses, in order.
func (b *Builder) Changes() []Change {
	c := b.changes
	b.changes = nil
	return c
}

// Build compiles an immutable FIB. The Builder may be used on.
func (b *Builder) Build() *FIB {
	s := b.s.clone()
	f := &FIB{opt: s.opt, state: s, own: map[owned]bool{}}
	f.devs = make([]Dev, s.devs[len(s.devs)-1].Index+1)
	for _, d := range s.devs {
		f.devs[d.Index] = d.Dev
		for fm := range d.Addrs {
			for _, a := range d.Addrs[fm] {
				f.own[owned{a.Local, 0}], f.own[owned{a.Local, d.Index}] = true, true
			}
		}
	}
	if !s.opt.Forward6 {
		s.removeIf(1, func(r *route) bool { return r.typ == Anycast && r.proto == "kernel" })
	}
	for fm := range s.routes {
		tries := map[uint32]*trie{}
		for id, t := range s.routes[fm] {
			if len(t) > 0 {
				tries[id] = compile(s, t)
			}
		}
		f.local[fm] = tries[TableLocal]
		merged := fm == 0 && !s.touched[fm]
		if merged {
			// As in Linux, local and main are one trie until somebody touches the rules.
			tries[TableMain] = compile(s, s.routes[fm][TableLocal], s.routes[fm][TableMain])
		}
		for _, r := range s.inForce(fm) {
			if merged && r.table == TableLocal || r.action == actTable && tries[r.table] == nil {
				continue
			}
			r := *r
			r.resolve(s)
			f.fam[fm].steps = append(f.fam[fm].steps, step{&r, tries[r.table]})
		}
	}
	return f
}

// compile makes the trie of one or more tables; at the same prefix the routes of the earlier table come first.
func compile(s *state, tables ...table) *trie {
	nodes := map[netip.Prefix]*node{}
	var order []netip.Prefix
	for _, t := range tables {
		for p, routes := range t {
			n := nodes[p]
			if n == nil {
				n = &node{bits: p.Bits()}
				nodes[p] = n
				order = append(order, p)
			}
			for _, r := range routes {
				n.hops = append(n.hops, s.hop(r))
			}
		}
	}
	// Shorter prefixes first, so that a prefix finds the one above it already there.
	slices.SortFunc(order, func(a, b netip.Prefix) int { return a.Bits() - b.Bits() })
	t := &trie{}
	for _, p := range order {
		n := nodes[p]
		n.up, _ = t.t.LookupPrefix(p)
		t.t.Insert(p, n)
	}
	return t
}

func (s *state) hop(r *route) hop {
	h := hop{metric: r.metric, tos: r.tos, bits: uint8(r.prefix.Bits()), scope: r.scope, direct: r.nhScope >= ScopeHost}
	h.res = Result{Type: r.typ, Dev: r.dev, PrefSrc: r.src, MTU: r.mtu, Table: r.table}
	if r.nhScope == ScopeLink {
		h.res.Gateway = r.gw
	}
	if !r.v6() && r.src.IsZero() && (r.typ == Unicast || r.typ == Broadcast || r.typ == Multicast) {
		h.res.PrefSrc = s.selectAddr4(r.dev, r.gw, r.scope)
	}
	return h
}
