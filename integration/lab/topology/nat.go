package topology

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/moat-router/moat/policy/nat"
)

// NATRules is what the shorthand nat: stands for, as iptables-save text to be added to the router's IPv4 rules; "" for
// none. "full-cone" masquerades what leaves by the interface of the default route, "full-cone on wan" what leaves by
// wan, with that behaviour (nat.Shorthands).
func (r *Router) NATRules() (string, error) {
	f := strings.Fields(r.NAT)
	if len(f) == 0 {
		return "", nil
	}
	how, err := nat.Shorthand(f[0])
	if err != nil {
		return "", err
	}
	out := ""
	switch {
	case len(f) == 1:
		if out, err = r.uplink(); err != nil {
			return "", err
		}
	case len(f) == 3 && f[1] == "on":
		for _, i := range r.Interfaces {
			if i.Name == f[2] {
				out = i.Name
			}
		}
		if out == "" {
			return "", fmt.Errorf("there is no interface %q", f[2])
		}
	default:
		return "", fmt.Errorf("%q: want a behaviour, or BEHAVIOUR on INTERFACE", r.NAT)
	}
	return "*nat\n-A POSTROUTING -o " + out + " -j MASQUERADE" + string(how.AppendSave(nil)) + "\nCOMMIT\n", nil
}

// uplink is the interface of the IPv4 default route.
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
	return "", fmt.Errorf("%q: there is no default route that says which side is outside: want %s on INTERFACE", r.NAT, r.NAT)
}
