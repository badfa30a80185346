package fib

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/moat-router/moat/stack/packet"
)

// routeWords is a route as it was written.
type routeWords struct {
	route
	prefixSet, tableSet, scopeSet, typeSet, metricSet, protoSet bool
	devGiven                                                    *dev
	srcSet                                                      bool
}

func (c *command) route() error {
	v, err := verb(c.next(), "add", "append", "change", "chg", "delete", "flush", "replace", "prepend", "test", "show", "list", "get")
	if err != nil {
		return err
	}
	switch v {
	case "flush":
		return c.routeFlush()
	case "show", "list", "get", "test":
		return fmt.Errorf("%q asks; only commands that change something can stand here", "route "+v)
	}
	w, err := c.routeWords(v == "delete")
	if err != nil {
		return err
	}
	if v == "delete" {
		return c.s.routeDel(w)
	}
	if err := c.s.checkRoute(w); err != nil {
		return err
	}
	return c.s.routeAdd(&w.route, v)
}

// routeWords parses what stands behind "ip route add".
func (c *command) routeWords(del bool) (*routeWords, error) {
	w := &routeWords{route: route{typ: Unicast, table: TableMain, proto: "boot"}}
	var pfx netip.Prefix
	for c.more() {
		key := c.next()
		var err error
		switch key {
		case "via":
			w.gw, err = c.address(key)
		case "dev", "oif":
			w.devGiven, err = c.device(key)
		case "src":
			w.src, err = c.address(key)
			w.srcSet = true
		case "onlink":
			w.onlink = true
		case "metric", "priority", "preference":
			var n uint64
			n, err = c.number(key, 1<<32-1)
			w.metric, w.metricSet = uint32(n), true
		case "mtu":
			if c.more() && c.words[0] == "lock" {
				c.next()
				w.lock = true
			}
			var n uint64
			n, err = c.number(key, maxMTU)
			w.mtu = int(n)
		case "table":
			var v string
			if v, err = c.arg(key); err == nil {
				w.table, err = tableNumber(v)
				w.tableSet = true
			}
		case "scope":
			var v string
			if v, err = c.arg(key); err == nil {
				w.scope, err = scopeNumber(v)
				w.scopeSet = true
			}
		case "tos", "dsfield":
			var v string
			if v, err = c.arg(key); err == nil {
				w.tos, err = tosByte(v)
			}
		case "proto", "protocol":
			w.proto, err = c.arg(key)
			w.protoSet = true
		case "pref":
			_, err = c.arg(key) // router preference: only for routes that were learnt
		case "nexthop":
			err = errors.New("routes with several next hops are not supported: give the routes different metrics, or steer with ip rule")
		case "nhid", "encap", "realms", "realm", "expires", "from", "as", "ttl-propagate", "congctl", "features", "quickack", "window", "advmss", "hoplimit",
			"initcwnd", "initrwnd", "rtt", "rttvar", "rto_min", "cwnd", "ssthresh", "reordering", "fastopen_no_cookie":
			err = fmt.Errorf("%q is not supported in a route", key)
		default:
			if t, ok := routeTypes[key]; ok && !w.typeSet && !w.prefixSet {
				w.typ, w.typeSet = t, true
				continue
			}
			if key == "to" {
				if key, err = c.arg(key); err != nil {
					return nil, err
				}
			}
			if w.prefixSet {
				return nil, fmt.Errorf("%q is not a word of ip route", key)
			}
			w.prefixSet = true
			pfx, _, err = c.prefix(key)
		}
		if err != nil {
			return nil, err
		}
	}
	if !w.prefixSet {
		return nil, errors.New("the route has no destination (a prefix or \"default\")")
	}
	v6 := c.v6()
	if !pfx.IsValid() {
		pfx = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if v6 {
			pfx = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
	}
	if !v6 && pfx != pfx.Masked() {
		return nil, fmt.Errorf("%s has bits behind its prefix length: did you mean %s?", pfx, pfx.Masked())
	}
	w.prefix = pfx.Masked()
	if w.devGiven != nil {
		w.dev = w.devGiven.Index
	}
	c.routeDefaults(w, del)
	return w, nil
}

var routeTypes = map[string]Type{"unicast": Unicast, "local": Local, "broadcast": Broadcast, "anycast": Anycast, "multicast": Multicast,
	"blackhole": Blackhole, "unreachable": Unreachable, "prohibit": Prohibit, "throw": Throw}

// routeDefaults fills in what iproute2 and the kernel would.
func (c *command) routeDefaults(w *routeWords, del bool) {
	if !w.tableSet && (w.typ == Local || w.typ == Broadcast || w.typ == Anycast) {
		w.table = TableLocal
	}
	if c.v6() {
		w.scope, w.tos = ScopeUniverse, 0
		if w.metric == 0 && !del {
			w.metric = 1024 // IP6_RT_PRIO_USER
		}
		return
	}
	if w.scopeSet {
		return
	}
	switch w.typ {
	case Local:
		w.scope = ScopeHost
	case Broadcast, Multicast, Anycast:
		w.scope = ScopeLink
	case Unicast:
		if w.gw.IsZero() {
			w.scope = ScopeLink
		}
	}
}

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

// routeAdd puts r into its table the way of the verb (fib_table_insert, fib6_add_rt2node).
func (s *state) routeAdd(r *route, verb string) error {
	var equal []*route
	for _, o := range s.routes[fam(r.v6())][r.table][r.prefix] {
		if o.tos == r.tos && o.metric == r.metric {
			equal = append(equal, o)
		}
	}
	switch verb {
	case "add":
		if len(equal) > 0 {
			return fmt.Errorf("there is already a route to %s with this metric (use replace, or another metric)", r.destination())
		}
	case "change", "chg", "replace":
		if len(equal) > 0 {
			if slices.ContainsFunc(equal[1:], func(o *route) bool { return *o == *r }) {
				return errors.New("there is already such a route")
			}
			s.replace(equal[0], r)
			s.noteLocal(r)
			return nil
		}
		if verb != "replace" {
			return fmt.Errorf("there is no route to %s to change", r.destination())
		}
	case "append", "prepend":
		for _, o := range equal {
			n := *o
			n.proto = r.proto
			if n == *r || r.v6() && o.dev == r.dev && o.gw == r.gw { // rt6_duplicate_nexthop
				return errors.New("there is already such a route")
			}
			if r.v6() && !o.gw.IsZero() && !r.gw.IsZero() {
				return errors.New("a second gateway of the same metric would make a route with several next hops, which are not supported: give it another metric")
			}
		}
	}
	s.insert(r, verb == "prepend" && !r.v6()) // IPv6 has no prepend
	s.noteLocal(r)
	return nil
}

// noteLocal remembers that the user has made local routes, which the check of sources must then look up.
func (s *state) noteLocal(r *route) {
	if r.typ == Local && !r.v6() {
		s.customLocal = true
	}
}

func (r *route) destination() string {
	if r.prefix.Bits() == 0 {
		return "default"
	}
	return r.prefix.String()
}

// routeDel removes the first route that fits what was given (fib_table_delete, ip6_route_del).
func (s *state) routeDel(w *routeWords) error {
	for _, r := range s.routes[fam(w.v6())][w.table][w.prefix] {
		if r.tos != w.tos || w.metric != 0 && r.metric != w.metric || w.dev != 0 && r.dev != w.dev || !w.gw.IsZero() && r.gw != w.gw {
			continue
		}
		if w.protoSet && r.proto != w.proto {
			continue
		}
		if !w.v6() && (w.typeSet && r.typ != w.typ || w.scopeSet && r.scope != w.scope || w.srcSet && r.src != w.src || w.mtu != 0 && r.mtu != w.mtu) {
			continue
		}
		s.remove(r)
		return nil
	}
	return fmt.Errorf("there is no such route to %s in table %s", w.destination(), tableName(w.table))
}

// routeFlush is "ip route flush SELECTOR".
func (c *command) routeFlush() error {
	if !c.more() {
		return errors.New("flush needs a selector: table, dev, proto, scope, type or a prefix")
	}
	var tests []func(*route) bool
	tables := func(id uint32) bool { return id == TableMain }
	for c.more() {
		key := c.next()
		switch key {
		case "cache":
			return nil
		case "table":
			w, err := c.arg(key)
			if err != nil {
				return err
			}
			if w == "all" {
				tables = func(uint32) bool { return true }
				continue
			}
			n, err := tableNumber(w)
			if err != nil {
				return err
			}
			tables = func(id uint32) bool { return id == n }
		case "dev", "oif":
			d, err := c.device(key)
			if err != nil {
				return err
			}
			tests = append(tests, func(r *route) bool { return r.dev == d.Index })
		case "proto", "protocol":
			w, err := c.arg(key)
			if err != nil {
				return err
			}
			tests = append(tests, func(r *route) bool { return r.proto == w })
		case "scope":
			w, err := c.arg(key)
			if err != nil {
				return err
			}
			n, err := scopeNumber(w)
			if err != nil {
				return err
			}
			tests = append(tests, func(r *route) bool { return r.scope == n })
		case "type":
			w, err := c.arg(key)
			t, ok := routeTypes[w]
			if err != nil || !ok {
				return fmt.Errorf("%q is not a type of route", w)
			}
			tests = append(tests, func(r *route) bool { return r.typ == t })
		default:
			test, err := c.flushPrefix(key)
			if err != nil {
				return err
			}
			tests = append(tests, test)
		}
	}
	f := fam(c.v6())
	for id, t := range c.s.routes[f] {
		if !tables(id) {
			continue
		}
		for _, r := range t.sorted() {
			if !slices.ContainsFunc(tests, func(test func(*route) bool) bool { return !test(r) }) {
				c.s.remove(r)
			}
		}
	}
	return nil
}

// flushPrefix is "[to] [root|match|exact] PREFIX".
func (c *command) flushPrefix(key string) (func(*route) bool, error) {
	how := "exact"
	for key == "to" || key == "root" || key == "match" || key == "exact" {
		if key != "to" {
			how = key
		}
		var err error
		if key, err = c.arg(key); err != nil {
			return nil, err
		}
	}
	p, _, err := c.prefix(key)
	if err != nil {
		return nil, err
	}
	p = p.Masked()
	if !p.IsValid() {
		if how == "root" {
			return func(*route) bool { return true }, nil
		}
		return func(r *route) bool { return r.prefix.Bits() == 0 }, nil
	}
	return func(r *route) bool {
		switch how {
		case "root":
			return r.prefix.Bits() >= p.Bits() && p.Contains(r.prefix.Addr())
		case "match":
			return r.prefix.Bits() <= p.Bits() && r.prefix.Contains(p.Addr())
		}
		return r.prefix == p
	}, nil
}

func tableName(id uint32) string {
	switch id {
	case TableLocal:
		return "local"
	case TableMain:
		return "main"
	case TableDefault:
		return "default"
	}
	return strings.TrimSpace(fmt.Sprint(id))
}
