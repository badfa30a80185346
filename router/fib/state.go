package fib

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/moat-router/moat/stack/packet"
)

// state is everything a Builder knows; Command works on a copy of it and keeps the copy if all went well.
type state struct {
	devs    []*dev // in order of index
	routes  [2]map[uint32]table
	rules   [2][]*rule
	touched [2]bool // somebody added a rule, or (IPv4) removed one
	// customLocal: a route of type local was added by hand (fib_has_custom_local_routes)
	customLocal bool
	opt         Options
}

// table has, for each prefix, its routes in the order in which they are tried.
type table map[netip.Prefix][]*route

type dev struct {
	Dev
	noIPv6 bool // net.ipv6.conf.*.disable_ipv6
}

// route is one route; immutable once it stands in a table.
type route struct {
	typ     Type
	prefix  netip.Prefix
	tos     uint8
	metric  uint32
	table   uint32
	scope   Scope
	nhScope Scope // of the next hop: link if a gateway has to be used
	proto   string
	dev     int
	gw      packet.Addr
	onlink  bool
	src     packet.Addr
	mtu     int
	lock    bool
}

func newState() *state {
	s := &state{opt: Options{Forward6: true}}
	for f := range s.routes {
		s.routes[f] = map[uint32]table{}
		s.rules[f] = bootRules(f == 1)
	}
	return s
}

// clone copies what commands change in place; routes and rules themselves never change.
func (s *state) clone() *state {
	c := *s
	c.devs = make([]*dev, len(s.devs))
	for i, d := range s.devs {
		n := *d
		for f := range n.Addrs {
			n.Addrs[f] = slices.Clone(n.Addrs[f])
		}
		c.devs[i] = &n
	}
	for f := range s.routes {
		c.routes[f] = make(map[uint32]table, len(s.routes[f]))
		for id, t := range s.routes[f] {
			c.routes[f][id] = maps.Clone(t) // the lists are replaced, never written (see insert)
		}
		c.rules[f] = slices.Clone(s.rules[f])
	}
	return &c
}

func (s *state) dev(name string) *dev {
	for _, d := range s.devs {
		if d.Name == name {
			return d
		}
	}
	return nil
}

func (s *state) devAt(index int) *dev {
	for _, d := range s.devs {
		if d.Index == index {
			return d
		}
	}
	return nil
}

// before is the order of routes at one prefix: longer TOS match first, then by metric.
func (r *route) before(o *route) bool { return r.tos > o.tos || r.tos == o.tos && r.metric < o.metric }

func (r *route) v6() bool { return r.prefix.Addr().Is6() }

// insert puts r behind (or, with front, before) its equals.
func (s *state) insert(r *route, front bool) {
	f := fam(r.v6())
	t := s.routes[f][r.table]
	if t == nil {
		t = table{}
		s.routes[f][r.table] = t
	}
	old := t[r.prefix]
	at := 0
	for at < len(old) && (old[at].before(r) || !front && !r.before(old[at])) {
		at++
	}
	t[r.prefix] = slices.Insert(slices.Clone(old), at, r)
}

func (s *state) replace(old, r *route) {
	t := s.routes[fam(r.v6())][r.table]
	list := slices.Clone(t[r.prefix])
	list[slices.Index(list, old)] = r
	t[r.prefix] = list
}

func (s *state) remove(r *route) {
	t := s.routes[fam(r.v6())][r.table]
	var list []*route
	for _, o := range t[r.prefix] {
		if o != r {
			list = append(list, o)
		}
	}
	if len(list) == 0 {
		delete(t, r.prefix)
	} else {
		t[r.prefix] = list
	}
}

// removeIf removes all routes of a family that dies says so of.
func (s *state) removeIf(f int, dies func(*route) bool) {
	for _, t := range s.routes[f] {
		for p, list := range t {
			if !slices.ContainsFunc(list, dies) {
				continue
			}
			list = slices.DeleteFunc(slices.Clone(list), dies)
			if len(list) == 0 {
				delete(t, p)
			} else {
				t[p] = list
			}
		}
	}
}

// sorted are the routes of one table in the order in which "ip route show" has them.
func (t table) sorted() []*route {
	prefixes := slices.SortedFunc(maps.Keys(t), func(a, b netip.Prefix) int {
		if (a.Bits() == 0) != (b.Bits() == 0) && a.Addr().Is4() {
			return cmp.Compare(a.Bits(), b.Bits())
		}
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return cmp.Compare(b.Bits(), a.Bits())
	})
	var out []*route
	for _, p := range prefixes {
		out = append(out, t[p]...)
	}
	return out
}
