package topology

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Verify tells what is wrong with a topology, in words, or nil. It fills in the defaults.
func (t *Topology) Verify() error {
	if t.Seed == 0 {
		t.Seed = 1
	}
	seen := map[string]string{}
	claim := func(name, what string) error {
		switch {
		case name == "":
			return fmt.Errorf("a %s has no name", what)
		case strings.ContainsAny(name, " /\t:"):
			return fmt.Errorf("%s %q: a name has no spaces, slashes or colons", what, name)
		case seen[name] != "":
			return fmt.Errorf("%s %s: there is a %s of that name", what, name, seen[name])
		}
		seen[name] = what
		return nil
	}
	for i := range t.Networks {
		n := &t.Networks[i]
		if err := claim(n.Name, "network"); err != nil {
			return placed(n.Position, err)
		}
		if n.MTU == 0 {
			n.MTU = 1500
		}
		if err := verifyMTU("network "+n.Name, n.MTU); err != nil {
			return placed(n.Position, err)
		}
	}
	seen = map[string]string{} // networks and machines may share a name
	for i := range t.Routers {
		if err := t.verifyRouter(&t.Routers[i], claim); err != nil {
			return placed(t.Routers[i].Position, err)
		}
	}
	for i := range t.Hosts {
		if err := t.verifyHost(&t.Hosts[i], claim); err != nil {
			return placed(t.Hosts[i].Position, err)
		}
	}
	if err := t.verifyNeighbours(); err != nil {
		return err
	}
	for i := range t.Hosts {
		if _, err := t.Routes(&t.Hosts[i]); err != nil {
			return placed(t.Hosts[i].Position, err)
		}
	}
	if err := t.verifyDNS(); err != nil {
		return err
	}
	for i := range t.Checks {
		c := &t.Checks[i]
		if err := c.verify(t); err != nil {
			return placed(c.Position, fmt.Errorf("check %d: %w", i+1, err))
		}
	}
	return nil
}

// Mistake is an error of whoever wrote the topology.
type Mistake struct {
	Position string // file and line; "" without a file
	Err      error
}

func (m *Mistake) Error() string {
	if m.Position == "" {
		return m.Err.Error()
	}
	return m.Position + ": " + m.Err.Error()
}

// Unwrap is the error without its place.
func (m *Mistake) Unwrap() error { return m.Err }

func placed(position string, err error) error { return &Mistake{position, err} }

func (t *Topology) verifyHost(h *Host, claim func(name, what string) error) error {
	if err := claim(h.Name, "host"); err != nil {
		return err
	}
	where := "host " + h.Name
	if len(h.Interfaces) > 0 && (h.Network != "" || len(h.Addresses) > 0 || !h.Link.empty()) {
		return fmt.Errorf("%s: interfaces, or network, addresses and link of its only one; not both", where)
	}
	if h.Network == "" && len(h.Interfaces) == 0 {
		return fmt.Errorf("%s: it is on no network; add \"network:\", or \"interfaces:\" if it has several", where)
	}
	if !slices.Contains([]string{"", "virtual", "kernel"}, h.Kind) {
		return fmt.Errorf("%s: kind: %q: want virtual or kernel", where, h.Kind)
	}
	for i, f := range h.Plugs() {
		if f.RxChecksumOffload != nil {
			return fmt.Errorf("%s: interface %s: rx_checksum_offload is for routers", where, f.Name)
		}
		what := where
		if len(h.Interfaces) > 0 {
			what += ": interface " + cmp.Or(f.Name, f.Network)
		}
		if err := t.verifyInterface(what, &f); err != nil {
			return err
		}
		if len(h.Interfaces) > 0 {
			h.Interfaces[i] = f
		}
	}
	if err := verifyNames(where, h.Plugs()); err != nil {
		return err
	}
	for _, a := range h.Resolver {
		if _, err := netip.ParseAddr(a); err != nil {
			return fmt.Errorf("%s: resolver: %q is not an address", where, a)
		}
	}
	if _, err := Vias(h.Routes); err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	for _, words := range h.Routes {
		f := strings.Fields(words)
		leads := func(words ...string) bool {
			return slices.ContainsFunc(f, func(w string) bool { return slices.Contains(words, w) })
		}
		if !leads("via", "dev", "blackhole", "unreachable", "prohibit") {
			return fmt.Errorf("%s: route %q leads nowhere: want DESTINATION via GATEWAY", where, words)
		}
	}
	return verifyListen(where, h.Listen)
}

func (t *Topology) verifyRouter(r *Router, claim func(name, what string) error) error {
	if err := claim(r.Name, "router"); err != nil {
		return err
	}
	where := "router " + r.Name
	for i := range r.Interfaces {
		f := &r.Interfaces[i]
		if err := t.verifyInterface(where+": interface "+cmp.Or(f.Name, f.Network), f); err != nil {
			return err
		}
		if f.RxChecksumOffload == nil {
			yes := true
			f.RxChecksumOffload = &yes
		}
	}
	if err := verifyNames(where, r.Interfaces); err != nil {
		return err
	}
	for _, s := range r.Sysctls {
		if !strings.Contains(s, "=") {
			return fmt.Errorf("%s: sysctl %q: want name=value", where, s)
		}
	}
	if !slices.Contains([]string{"", "always", "when-used"}, r.Conntrack) {
		return fmt.Errorf("%s: conntrack: %q: want always or when-used", where, r.Conntrack)
	}
	if !slices.Contains([]string{"", "on", "off"}, r.ICMPTranslation) {
		return fmt.Errorf("%s: icmp_translation: %q: want on or off", where, r.ICMPTranslation)
	}
	if _, err := Vias(r.Routes); err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	if _, err := r.NATRules(); err != nil {
		return fmt.Errorf("%s: nat: %w", where, err)
	}
	return verifyListen(where, r.Listen)
}

// verifyInterface fills in the name or the network, one from the other, and looks at the rest.
func (t *Topology) verifyInterface(where string, f *Interface) error {
	f.Network = cmp.Or(f.Network, f.Name)
	f.Name = cmp.Or(f.Name, f.Network)
	if t.Network(f.Network) == nil {
		return t.noNetwork(where, f.Network)
	}
	if err := verifyAddresses(where, f.Addresses); err != nil {
		return err
	}
	return t.verifyLink(where, f)
}

func verifyNames(where string, list []Interface) error {
	seen := map[string]bool{}
	for _, f := range list {
		if seen[f.Name] {
			return fmt.Errorf("%s: there are two interfaces %s; give one of them another name", where, f.Name)
		}
		seen[f.Name] = true
	}
	return nil
}

func (t *Topology) noNetwork(where, name string) error {
	var names []string
	for _, n := range t.Networks {
		names = append(names, n.Name)
	}
	return nobody(where, "network", name, names)
}

func verifyAddresses(where string, list []string) error {
	for _, a := range list {
		if _, err := netip.ParsePrefix(a); err != nil {
			return fmt.Errorf("%s: address %q: want an address with its prefix length, as 192.168.42.2/24", where, a)
		}
	}
	return nil
}

// services are those of host.Service.
var services = []string{"echo", "discard", "http", "silent"}

func verifyListen(where string, list []Listen) error {
	for i := range list {
		l := &list[i]
		if l.Service == "" {
			l.Service = "echo"
		}
		if !slices.Contains(services, l.Service) {
			return fmt.Errorf("%s: listen: %q is no service: want %s", where, l.Service, strings.Join(services, ", "))
		}
		if l.Proto != "tcp" && l.Proto != "udp" {
			return fmt.Errorf("%s: listen: proto %q: want tcp or udp", where, l.Proto)
		}
		if l.Port < 1 || l.Port > 65535 {
			return fmt.Errorf("%s: listen: port %d: want 1 to 65535", where, l.Port)
		}
		if l.Address != "" {
			if _, err := netip.ParseAddr(l.Address); err != nil {
				return fmt.Errorf("%s: listen: %q is not an address", where, l.Address)
			}
		}
	}
	return nil
}

// Via is a route through a neighbour.
type Via struct {
	To  netip.Prefix
	Via netip.Addr
}

// Vias reads from routes, in the words of ip route add, those that name a gateway. A wire without a link layer needs to
// know them, since a datagram does not say to which neighbour it goes.
func Vias(routes []string) (out []Via, err error) {
	for _, words := range routes {
		f := strings.Fields(words)
		i := slices.Index(f, "via")
		if i < 0 {
			continue
		}
		if i == 0 || i+1 >= len(f) {
			return nil, fmt.Errorf("route %q: want DESTINATION via GATEWAY", words)
		}
		gw, err := netip.ParseAddr(f[i+1])
		if err != nil {
			return nil, fmt.Errorf("route %q: gateway %q is not an address", words, f[i+1])
		}
		dst := f[0]
		if slices.Contains([]string{"unicast", "-4", "-6"}, dst) && i > 1 {
			dst = f[1]
		}
		p, err := prefix(dst, gw)
		if err != nil {
			return nil, fmt.Errorf("route %q: destination %q is not a prefix", words, dst)
		}
		out = append(out, Via{p, gw})
	}
	return out, nil
}

func prefix(s string, like netip.Addr) (netip.Prefix, error) {
	if s == "default" {
		if like.Is4() {
			return netip.PrefixFrom(netip.IPv4Unspecified(), 0), nil
		}
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0), nil
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}
