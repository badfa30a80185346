package topology

import (
	"net/netip"

	"github.com/moat-router/moat/policy/nat"
)

// NATRules is what the shorthand nat: stands for (nat.Masquerade), as iptables-save text to be added to the router's IPv4
// rules; "" for none.
func (r *Router) NATRules() (string, error) {
	uplink, err := r.uplink()
	if err != nil {
		return "", err
	}
	var names []string
	for _, i := range r.Interfaces {
		names = append(names, i.Name)
	}
	return nat.Masquerade(r.NAT, names, uplink)
}

// uplink is the interface of the IPv4 default route; "" if there is none.
func (r *Router) uplink() (string, error) {
	vias, err := Vias(r.Routes)
	if err != nil {
		return "", err
	}
	for _, v := range vias {
		if !v.To.Addr().Is4() || v.To.Bits() != 0 {
			continue
		}
		for _, i := range r.Interfaces {
			for _, a := range i.Addresses {
				if p, err := netip.ParsePrefix(a); err == nil && p.Contains(v.Via) {
					return i.Name, nil
				}
			}
		}
	}
	return "", nil
}
