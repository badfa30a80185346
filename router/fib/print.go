package fib

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// RouteLines are the routes of one family as "ip route show" prints them: of the table named ("main", "local", "100"), or
// of all of them for "all".
func (f *FIB) RouteLines(v6 bool, table string) ([]string, error) {
	if f.state == nil {
		return nil, nil
	}
	tables := f.state.routes[fam(v6)]
	if table != "all" {
		id, err := tableNumber(table)
		if err != nil {
			return nil, err
		}
		return f.lines(tables[id], false), nil
	}
	ids := make([]uint32, 0, len(tables))
	for id := range tables {
		ids = append(ids, id)
	}
	// As the kernel dumps them: numbered tables, default, main, local.
	slices.Sort(ids)
	var out []string
	for _, id := range ids {
		out = append(out, f.lines(tables[id], true)...)
	}
	return out, nil
}

func (f *FIB) lines(t table, withTable bool) []string {
	var out []string
	for _, r := range t.sorted() {
		out = append(out, f.routeLine(r, withTable))
	}
	return out
}

// routeLine is one route in iproute2's order of words.
func (f *FIB) routeLine(r *route, withTable bool) string {
	var b strings.Builder
	if r.typ != Unicast {
		b.WriteString(r.typ.String() + " ")
	}
	b.WriteString(destination(r.prefix))
	word := func(key string, value any) { fmt.Fprintf(&b, " %s %v", key, value) }
	if r.tos != 0 {
		word("tos", fmt.Sprintf("0x%02x", r.tos))
	}
	if !r.gw.IsZero() {
		word("via", r.gw)
	}
	if d := f.Dev(r.dev); d != nil {
		word("dev", d.Name)
	}
	if withTable && r.table != TableMain {
		word("table", tableName(r.table))
	}
	if r.proto != "boot" {
		word("proto", r.proto)
	}
	if r.scope != ScopeUniverse {
		word("scope", r.scope)
	}
	if !r.src.IsZero() {
		word("src", r.src)
	}
	if r.metric != 0 || r.v6() {
		word("metric", r.metric)
	}
	if r.onlink {
		b.WriteString(" onlink")
	}
	if r.mtu != 0 {
		if r.lock {
			word("mtu lock", r.mtu)
		} else {
			word("mtu", r.mtu)
		}
	}
	if r.v6() {
		word("pref", "medium")
	}
	return b.String()
}

func destination(p netip.Prefix) string {
	switch {
	case p.Bits() == 0:
		return "default"
	case p.IsSingleIP():
		return p.Addr().String()
	}
	return p.String()
}

func (s Scope) String() string {
	switch s {
	case ScopeUniverse:
		return "global"
	case ScopeSite:
		return "site"
	case ScopeLink:
		return "link"
	case ScopeHost:
		return "host"
	case ScopeNowhere:
		return "nowhere"
	}
	return fmt.Sprint(uint8(s))
}

// RuleLines are the rules of one family as "ip rule show" prints them.
func (f *FIB) RuleLines(v6 bool) []string {
	if f.state == nil {
		return nil
	}
	var out []string
	for _, r := range f.state.rules[fam(v6)] {
		out = append(out, r.String())
	}
	return out
}

func (r *rule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d:\t", r.pref)
	if r.not {
		b.WriteString("not ")
	}
	from := "all"
	if r.from.IsValid() && r.from.Bits() > 0 {
		from = destination(r.from)
	}
	b.WriteString("from " + from)
	if r.to.IsValid() && r.to.Bits() > 0 {
		b.WriteString(" to " + destination(r.to))
	}
	switch {
	case r.dscp:
		fmt.Fprintf(&b, " dscp %d", r.tos>>2)
	case r.tos != 0:
		fmt.Fprintf(&b, " tos 0x%02x", r.tos)
	}
	switch {
	case r.mask == 1<<32-1:
		fmt.Fprintf(&b, " fwmark 0x%x", r.mark)
	case r.mask != 0:
		fmt.Fprintf(&b, " fwmark 0x%x/0x%x", r.mark, r.mask)
	}
	if r.iif != "" {
		b.WriteString(" iif " + r.iif)
	}
	if r.oif != "" {
		b.WriteString(" oif " + r.oif)
	}
	switch r.action {
	case actTable:
		b.WriteString(" lookup " + tableName(r.table))
		if r.suppress >= 0 {
			fmt.Fprintf(&b, " suppress_prefixlength %d", r.suppress)
		}
	case actUnreachable:
		b.WriteString(" unreachable")
	case actProhibit:
		b.WriteString(" prohibit")
	case actBlackhole:
		b.WriteString(" blackhole")
	}
	return b.String()
}

// AddrLines are the interfaces with their addresses as "ip addr show" prints them, without what moat does not have; of
// one interface, or of all for "".
func (f *FIB) AddrLines(dev string) ([]string, error) {
	if dev != "" && f.DevByName(dev) == nil {
		return nil, fmt.Errorf("there is no interface %q", dev)
	}
	var out []string
	for i := range f.devs {
		d := &f.devs[i]
		if d.Index == 0 || dev != "" && d.Name != dev {
			continue
		}
		out = append(out, d.String())
		for fm := range d.Addrs {
			for j := range d.Addrs[fm] {
				out = append(out, "    "+d.Addrs[fm][j].line(d.Name))
			}
		}
	}
	return out, nil
}

func (d *Dev) String() string {
	flags, state := "POINTOPOINT,MULTICAST,NOARP", "DOWN"
	if d.Index == Loopback {
		flags = "LOOPBACK"
	}
	if d.Up {
		flags, state = flags+",UP,LOWER_UP", "UP"
	}
	if d.Index == Loopback && d.Up {
		state = "UNKNOWN"
	}
	return fmt.Sprintf("%d: %s: <%s> mtu %d state %s", d.Index, d.Name, flags, d.MTU, state)
}

func (a *Address) line(dev string) string {
	word := "inet"
	if !a.Local.Is4() {
		word = "inet6"
	}
	s := fmt.Sprintf("%s %s", word, a.Local)
	if a.Peer != a.Local {
		s += " peer " + a.Peer.String()
	}
	s += fmt.Sprintf("/%d", a.Bits)
	if !a.Broadcast.IsZero() {
		s += " brd " + a.Broadcast.String()
	}
	s += " scope " + a.scope().String()
	if a.Secondary {
		s += " secondary"
	}
	if a.NoPrefix {
		s += " noprefixroute"
	}
	if word == "inet" {
		if a.Label != "" {
			dev = a.Label
		}
		s += " " + dev
	}
	return s
}
