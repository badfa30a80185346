package fib

import (
	"errors"
	"fmt"
	"slices"

	"github.com/moat-router/moat/stack/packet"
)

// checkRoute is fib_create_info and ip6_route_info_create: it refuses what Linux refuses, and finds the interface of a
// gateway.
func (s *state) checkRoute(w *routeWords) error {
	if w.reject() {
		if !w.v6() && (!w.gw.IsZero() || w.dev != 0) {
			return fmt.Errorf("a route of type %s has neither gateway nor device", w.typ)
		}
		w.gw, w.dev = packet.Addr{}, 0
		if w.v6() {
			w.dev = Loopback
		}
		w.nhScope = ScopeNowhere
		return nil
	}
	if w.gw.IsZero() && w.devGiven == nil {
		return errors.New("the route needs \"via GATEWAY\" or \"dev INTERFACE\"")
	}
	if w.devGiven != nil && !w.devGiven.Up && (w.v6() || w.scope < ScopeHost) {
		return fmt.Errorf("interface %s is down", w.devGiven.Name)
	}
	if w.devGiven != nil && w.devGiven.noIPv6 && w.v6() {
		return fmt.Errorf("IPv6 is disabled on interface %s (disable_ipv6)", w.devGiven.Name)
	}
	if w.onlink && w.devGiven == nil {
		return errors.New("onlink needs \"dev INTERFACE\"")
	}
	check := s.checkHop4
	if w.v6() {
		check = s.checkHop6
	}
	if err := check(w); err != nil {
		return err
	}
	if w.srcSet && !s.validSource(&w.route) {
		return fmt.Errorf("src %s is not an address of this router", w.src)
	}
	return nil
}

// validSource is fib_valid_prefsrc: the source of a route must be an address of ours, for IPv4 one that its table or local
// says is local; an address that is also the broadcast address of another subnet is not.
func (s *state) validSource(w *route) bool {
	if w.v6() {
		return s.owns(w.src)
	}
	if w.typ == Local && w.src.IP() == w.prefix.Addr() {
		return true
	}
	for _, t := range []uint32{w.table, TableLocal} {
		if r := s.find(&Key{Dst: w.src}, finder{}, t); r != nil && t != TableMain {
			return r.typ == Local
		}
	}
	return false
}

// checkHop4 is fib_check_nh.
func (s *state) checkHop4(w *routeWords) error {
	if w.typ == Local && w.scope < ScopeHost || (w.typ == Broadcast || w.typ == Anycast) && w.scope < ScopeLink {
		return fmt.Errorf("the scope is too wide for a route of type %s", w.typ)
	}
	if w.scope >= ScopeHost {
		if !w.gw.IsZero() {
			return errors.New("a route of scope host has no gateway")
		}
		w.nhScope = ScopeNowhere
		return nil
	}
	if w.gw.IsZero() {
		if w.onlink {
			return errors.New("onlink needs \"via GATEWAY\"")
		}
		w.nhScope = ScopeHost
		return nil
	}
	if w.onlink {
		if w.scope >= ScopeLink {
			return errors.New("a route with a gateway on link has scope global")
		}
		if r := s.find(&Key{Dst: w.gw}, finder{}, TableLocal); r != nil || isMulticast(w.gw) || w.gw == allOnes || w.gw == zero4 {
			return fmt.Errorf("%s cannot be a gateway: it is not a neighbour's address", w.gw)
		}
		w.nhScope = ScopeLink
		return nil
	}
	k := &Key{Dst: w.gw, OIF: w.dev}
	how := finder{scope: max(w.scope+1, ScopeLink)}
	var r *route
	if w.table != TableMain {
		r = s.find(k, how, w.table)
	}
	if r == nil || r.reject() {
		r = s.find(k, how, 0)
	}
	if r == nil || r.typ != Unicast && r.typ != Local {
		return s.unreachableGateway(w)
	}
	if d := s.devAt(r.dev); d == nil || !d.Up {
		return fmt.Errorf("the interface of gateway %s is down", w.gw)
	}
	w.dev, w.nhScope = r.dev, r.scope
	return nil
}

// checkHop6 is ip6_validate_gw.
func (s *state) checkHop6(w *routeWords) error {
	w.nhScope = ScopeHost
	if w.gw.IsZero() {
		if w.dev == Loopback && w.typ == Unicast {
			w.typ = Unreachable // a route to lo rejects (fib6_is_reject)
		}
		return nil
	}
	w.nhScope = ScopeLink
	if isMulticast(w.gw) {
		return fmt.Errorf("%s cannot be a gateway: it is a multicast address", w.gw)
	}
	if linkLocal(w.gw) {
		if w.devGiven == nil {
			return fmt.Errorf("the link-local gateway %s needs \"dev INTERFACE\"", w.gw)
		}
		if slices.ContainsFunc(w.devGiven.Addrs[1], func(a Address) bool { return a.Local == w.gw }) {
			return fmt.Errorf("gateway %s is an address of this router", w.gw)
		}
		return nil
	}
	if s.owns(w.gw) {
		return fmt.Errorf("gateway %s is an address of this router", w.gw)
	}
	if w.onlink {
		r := s.find(&Key{V6: true, Dst: w.gw}, finder{rpfilter: true}, TableMain)
		if r != nil && !r.reject() && r.prefix.Bits() > 0 && (r.typ != Unicast || r.dev != w.dev) {
			return fmt.Errorf("gateway %s is not on %s", w.gw, w.devGiven.Name)
		}
		return nil
	}
	k := &Key{V6: true, Dst: w.gw, OIF: w.dev}
	r := s.find(k, finder{}, w.table)
	if r == nil || r.reject() || !r.gw.IsZero() {
		r = s.find(k, finder{}, 0)
	}
	if r == nil || r.reject() || !r.gw.IsZero() {
		return s.unreachableGateway(w)
	}
	if r.dev == Loopback {
		return fmt.Errorf("gateway %s is reached through lo", w.gw)
	}
	w.dev = r.dev
	return nil
}

func (s *state) unreachableGateway(w *routeWords) error {
	where := "on no link of this router"
	if w.devGiven != nil {
		where = "not on " + w.devGiven.Name
	}
	return fmt.Errorf("gateway %s is %s: give an interface an address in its subnet first, or write \"dev INTERFACE onlink\"", w.gw, where)
}
