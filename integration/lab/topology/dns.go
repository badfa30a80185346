package topology

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/moat-router/moat/integration/lab/dns"
)

// Zone is what a name server answers: the names of hosts with their addresses, then its own records in their place.
func (t *Topology) Zone(d *DNS) (*dns.Zone, error) {
	z, err := dns.NewZone(d.Domain)
	if err != nil {
		return nil, err
	}
	for _, r := range d.Records {
		if err := z.Add(r); err != nil {
			return nil, err
		}
	}
	for i := range t.Hosts {
		h := &t.Hosts[i]
		var addrs []netip.Addr
		for _, f := range h.Plugs() {
			if len(d.Networks) == 0 || slices.Contains(d.Networks, f.Network) {
				addrs = append(addrs, f.addrs()...)
			}
		}
		if err := z.AddHost(h.Name, addrs); err != nil {
			return nil, fmt.Errorf("host %s: %w", h.Name, err)
		}
	}
	return z, nil
}

// addrs are the addresses of an interface that Verify has seen.
func (f *Interface) addrs() (out []netip.Addr) {
	for _, a := range f.Addresses {
		if p, err := netip.ParsePrefix(a); err == nil {
			out = append(out, p.Addr())
		}
	}
	return out
}

// Resolvers are the name servers that a host asks, in order: its own resolver line, else the name servers of its networks,
// else the first one of the file.
func (t *Topology) Resolvers(h *Host) (out []netip.Addr) {
	for _, a := range h.Resolver {
		if addr, err := netip.ParseAddr(a); err == nil {
			out = append(out, addr)
		}
	}
	if len(out) > 0 || len(t.DNS) == 0 {
		return out
	}
	for i := range t.DNS {
		for _, f := range t.Host(t.DNS[i].Host).Plugs() {
			if slices.ContainsFunc(h.Plugs(), func(own Interface) bool { return own.Network == f.Network }) {
				out = append(out, f.addrs()...)
			}
		}
	}
	if len(out) > 0 {
		return out
	}
	for _, f := range t.Host(t.DNS[0].Host).Plugs() {
		out = append(out, f.addrs()...)
	}
	return out
}

// SearchDomain is the domain that a host puts behind names without a dot: that of the first name server that it asks; "" for
// none.
func (t *Topology) SearchDomain(h *Host) string {
	for _, r := range t.Resolvers(h) {
		for i := range t.DNS {
			for _, f := range t.Host(t.DNS[i].Host).Plugs() {
				if slices.Contains(f.addrs(), r) {
					return t.DNS[i].Domain
				}
			}
		}
	}
	return ""
}

func (t *Topology) verifyDNS() error {
	seen := map[string]bool{}
	for i := range t.DNS {
		d := &t.DNS[i]
		where := "dns"
		if d.Host == "" {
			return placed(d.Position, fmt.Errorf("dns: which host answers? Add \"host:\""))
		}
		if t.Host(d.Host) == nil {
			return placed(d.Position, t.noHost(where, d.Host))
		}
		where = "dns at " + d.Host
		if seen[d.Host] {
			return placed(d.Position, fmt.Errorf("%s: it is a name server already; give it all records there", where))
		}
		seen[d.Host] = true
		for _, n := range d.Networks {
			if t.Network(n) == nil {
				return placed(d.Position, t.noNetwork(where, n))
			}
		}
		if _, err := t.Zone(d); err != nil {
			return placed(d.Position, fmt.Errorf("%s: %w", where, err))
		}
	}
	return nil
}
