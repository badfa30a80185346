package fib

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/moat-router/moat/stack/packet"
)

// addAddr is inet_insert_ifa and inet6_addr_add: the address takes its place in the interface's list and its routes
// are made. note hears of it; it may be nil.
func (s *state) addAddr(d *dev, a Address, note func(Change)) error {
	v6 := !a.Local.Is4()
	list := d.Addrs[fam(v6)]
	at := len(list)
	if v6 {
		if d.noIPv6 {
			return fmt.Errorf("IPv6 is disabled on %s (disable_ipv6)", d.Name)
		}
		for _, o := range list {
			if o.Local == a.Local {
				return fmt.Errorf("%s has the address %s already", d.Name, a.Local)
			}
		}
		// The newest stands first among those of its scope (ipv6_link_dev_addr).
		at = slices.IndexFunc(list, func(o Address) bool { return scope6(a.Local) >= scope6(o.Local) })
		if at < 0 {
			at = len(list)
		}
	} else {
		last := 0
		for i, o := range list {
			if !o.Secondary && a.Scope <= o.Scope {
				last = i + 1
			}
			if o.Bits == a.Bits && o.Prefix() == a.Prefix() {
				if o.Local == a.Local {
					return fmt.Errorf("%s has the address %s already", d.Name, a.Local)
				}
				if o.Scope != a.Scope {
					return fmt.Errorf("%s has addresses in %s with another scope", d.Name, a.Prefix())
				}
				a.Secondary = true
			}
		}
		if !a.Secondary {
			at = last
		}
	}
	d.Addrs[fam(v6)] = slices.Insert(list, at, a)
	s.addrRoutes(d, &a)
	if note != nil {
		note(Change{Kind: AddrAdded, Dev: d.Index, Addr: a.Local, V6: v6})
	}
	return nil
}

// kernelRoute is a route that Linux makes by itself (fib_magic, addrconf_prefix_route). One that is there already is
// left alone.
func (s *state) kernelRoute(r *route) {
	r.proto, r.nhScope = "kernel", ScopeHost
	if r.scope == ScopeHost {
		r.nhScope = ScopeNowhere
	}
	for _, o := range s.routes[fam(r.v6())][r.table][r.prefix] {
		if *o == *r {
			return
		}
	}
	if !r.v6() && !s.validSource(r) {
		return // as in Linux, where the address then stands without its subnet
	}
	s.insert(r, false)
}

// addrRoutes makes the routes of one address of d (fib_add_ifaddr; IPv6: addrconf).
func (s *state) addrRoutes(d *dev, a *Address) {
	for _, r := range s.routesOf(d, a) {
		s.kernelRoute(r)
	}
}

// routesOf lists them.
func (s *state) routesOf(d *dev, a *Address) []*route {
	host := func(x packet.Addr) netip.Prefix { return netip.PrefixFrom(x.IP(), x.IP().BitLen()) }
	if !a.Local.Is4() {
		rs := []*route{{typ: Local, prefix: host(a.Local), table: TableLocal, dev: d.Index}}
		// The subnet-router anycast address (RFC 4291 2.6.1; addrconf_join_anycast). Build leaves it out unless we forward.
		if p, _ := a.Local.IP().Prefix(a.Bits); a.Bits < 127 && !p.Addr().IsUnspecified() {
			rs = append(rs, &route{typ: Anycast, prefix: netip.PrefixFrom(p.Addr(), 128), table: TableLocal, dev: d.Index})
		}
		if !d.Up || d.Index == Loopback && a.Local == loopback6 {
			return rs
		}
		if !a.NoPrefix {
			p, _ := a.Local.IP().Prefix(a.Bits)
			rs = append(rs, &route{typ: Unicast, prefix: p, table: TableMain, dev: d.Index, metric: 256})
		}
		if a.Peer != a.Local {
			rs = append(rs, &route{typ: Unicast, prefix: host(a.Peer), table: TableMain, dev: d.Index, metric: 256})
		}
		return rs
	}
	src := a.Local
	if a.Secondary {
		for _, o := range d.Addrs[0] {
			if !o.Secondary && o.Bits == a.Bits && o.Prefix() == a.Prefix() {
				src = o.Local
			}
		}
	}
	rs := []*route{{typ: Local, prefix: host(a.Local), table: TableLocal, scope: ScopeHost, dev: d.Index, src: src}}
	if !d.Up {
		return rs
	}
	bcast := func(x packet.Addr) {
		rs = append(rs, &route{typ: Broadcast, prefix: host(x), table: TableLocal, scope: ScopeLink, dev: d.Index, src: src})
	}
	if !a.Broadcast.IsZero() && a.Broadcast != allOnes {
		bcast(a.Broadcast)
	}
	p := a.Prefix()
	if a.Secondary || p.Addr().IsUnspecified() || p.Addr() == a.Local.IP() && a.Bits == 32 {
		return rs
	}
	if !a.NoPrefix {
		r := &route{typ: Unicast, prefix: p, table: TableMain, scope: ScopeLink, dev: d.Index, src: src}
		if d.Index == Loopback {
			r.typ, r.table, r.scope = Local, TableLocal, ScopeHost
		}
		rs = append(rs, r)
	}
	if a.Bits < 31 {
		bcast(lastOf(p))
	}
	return rs
}

// zero4 is 0.0.0.0, which Linux' ipv4_is_zeronet means; the rest of 0/8 has been ordinary since 5.3.
var zero4 = packet.Addr{10: 0xff, 11: 0xff}

var allOnes = packet.Addr{10: 0xff, 11: 0xff, 12: 0xff, 13: 0xff, 14: 0xff, 15: 0xff}

// lastOf is the directed broadcast address of an IPv4 prefix.
func lastOf(p netip.Prefix) packet.Addr {
	a := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		a[i/8] |= 0x80 >> (i % 8)
	}
	return packet.Addr4(a[:])
}

// delAddr removes the address and what lived by it. An IPv4 primary takes its secondaries along, unless they are
// promoted; with the last IPv4 address go all IPv4 routes of the interface (fib_disable_ip).
func (s *state) delAddr(d *dev, v6 bool, at int, note func(Change)) {
	f := fam(v6)
	a := d.Addrs[f][at]
	var orphans []Address
	if !v6 && !a.Secondary {
		rest := d.Addrs[f][:0:0]
		for i, o := range d.Addrs[f] {
			switch {
			case i == at:
			case o.Secondary && o.Bits == a.Bits && o.Prefix() == a.Prefix():
				orphans = append(orphans, o)
			default:
				rest = append(rest, o)
			}
		}
		d.Addrs[f] = rest
	} else {
		d.Addrs[f] = slices.Delete(slices.Clone(d.Addrs[f]), at, at+1)
	}
	promotes := s.opt.Promotes != nil && s.opt.Promotes(d.Index)
	for _, o := range orphans {
		if !promotes {
			note(Change{Kind: AddrDeleted, Dev: d.Index, Addr: o.Local, V6: v6})
			s.dropAddrRoutes(d, &o)
		}
	}
	note(Change{Kind: AddrDeleted, Dev: d.Index, Addr: a.Local, V6: v6})
	s.dropAddrRoutes(d, &a)
	if promotes {
		for _, o := range orphans {
			s.dropAddrRoutes(d, &o)
			o.Secondary = false
			_ = s.addAddr(d, o, nil) // it was there before: it cannot clash
		}
	}
	if !v6 && len(d.Addrs[f]) == 0 {
		s.removeIf(f, func(r *route) bool { return r.dev == d.Index })
	}
}

// dropAddrRoutes removes the kernel's routes of a that no other address of d needs, and the routes that named it as
// their source (fib_sync_down_addr; IPv6 only forgets the source, fib6_remove_prefsrc).
func (s *state) dropAddrRoutes(d *dev, a *Address) {
	v6 := !a.Local.Is4()
	f := fam(v6)
	needed := map[route]bool{}
	for i := range d.Addrs[f] {
		for _, r := range s.routesOf(d, &d.Addrs[f][i]) {
			needed[r.identity()] = true
		}
	}
	for _, r := range s.routesOf(d, a) {
		if needed[r.identity()] {
			continue
		}
		if v6 && r.typ == Unicast {
			s.removePrefixRoute(r)
			continue
		}
		s.removeIf(f, func(o *route) bool { return o.proto == "kernel" && o.identity() == r.identity() })
	}
	if s.owns(a.Local) {
		return
	}
	if v6 {
		for _, t := range s.routes[f] {
			for p, list := range t {
				for i, r := range list {
					if r.src == a.Local {
						n := *r
						n.src = packet.Addr{}
						list = slices.Clone(list)
						list[i] = &n
						t[p] = list
					}
				}
			}
		}
		return
	}
	s.removeIf(f, func(r *route) bool { return r.src == a.Local && r.table == TableMain })
}

// removePrefixRoute removes the route of an IPv6 subnet: the first that leads there without a gateway, whoever made it
// (addrconf_get_prefix_route).
func (s *state) removePrefixRoute(r *route) {
	for _, o := range s.routes[1][r.table][r.prefix] {
		if o.dev == r.dev && o.gw.IsZero() {
			s.remove(o)
			return
		}
	}
}

// identity is what makes two kernel routes the same whichever address they came from.
func (r *route) identity() route {
	return route{typ: r.typ, prefix: r.prefix, table: r.table, dev: r.dev, metric: r.metric}
}

func (s *state) owns(a packet.Addr) bool {
	for _, d := range s.devs {
		for f := range d.Addrs {
			if slices.ContainsFunc(d.Addrs[f], func(o Address) bool { return o.Local == a }) {
				return true
			}
		}
	}
	return false
}

// linkRoutes are those an interface has without any address: IPv6 multicast.
func (s *state) linkRoutes(d *dev) {
	if d.Index != Loopback && d.Up && !d.noIPv6 {
		s.kernelRoute(&route{typ: Multicast, prefix: multicast6, table: TableLocal, metric: 256, dev: d.Index})
	}
}

var multicast6 = netip.PrefixFrom(netip.AddrFrom16([16]byte{0xff}), 8)

// setUp is "ip link set up" and "down". Down takes the IPv6 addresses with it (keep_addr_on_down is 0) and all routes
// through the interface but its IPv4 local ones, which still answer on other interfaces.
func (s *state) setUp(d *dev, up bool, note func(Change)) {
	if d.Up == up {
		return
	}
	d.Up = up
	if up {
		note(Change{Kind: LinkUp, Dev: d.Index})
		s.linkRoutes(d)
		for f := range d.Addrs {
			for i := range d.Addrs[f] {
				a := d.Addrs[f][i]
				if f == 1 {
					a.Peer = a.Local // the peer's route does not come back (addrconf fixup_permanent_addr)
				}
				s.addrRoutes(d, &a)
			}
		}
		return
	}
	note(Change{Kind: LinkDown, Dev: d.Index})
	s.removeIf(0, func(r *route) bool { return r.dev == d.Index && r.nhScope != ScopeNowhere })
	s.dropIPv6(d, note)
}

// dropIPv6 takes an interface's IPv6 addresses and routes away.
func (s *state) dropIPv6(d *dev, note func(Change)) {
	if d.Index != Loopback {
		for _, a := range d.Addrs[1] {
			note(Change{Kind: AddrDeleted, Dev: d.Index, Addr: a.Local, V6: true})
		}
		d.Addrs[1] = nil
	}
	s.removeIf(1, func(r *route) bool { return r.dev == d.Index && !r.reject() })
}

func (r *route) reject() bool { return r.typ >= Blackhole && r.typ <= Throw }
