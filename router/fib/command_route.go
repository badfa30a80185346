package fib

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
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
