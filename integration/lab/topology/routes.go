package topology

import (
	"fmt"

	"github.com/moat-router/moat/router/fib"
)

// Routes are the routing tables of a host as its lines in the file make them: its interfaces have the indices 2, 3, ...
// in their order, lo is 1. The error is that of the line which ip(8) would refuse.
func (t *Topology) Routes(h *Host) (*fib.Builder, error) {
	b := fib.NewBuilder()
	b.SetOptions(fib.Options{}) // a host forwards nothing
	where := "host " + h.Name
	plugs := h.Plugs()
	for i := range plugs {
		f := &plugs[i]
		if _, err := b.AddLink(f.Name, t.MTUOf(f)); err != nil {
			return nil, fmt.Errorf("%s: interface: %w", where, err)
		}
		for _, a := range f.Addresses {
			if err := b.AddAddr(f.Name, a, ""); err != nil {
				return nil, fmt.Errorf("%s: address %s: %w", where, a, err)
			}
		}
	}
	for _, words := range h.Routes {
		if err := b.Route(words); err != nil {
			return nil, fmt.Errorf("%s: route %w", where, err)
		}
	}
	for _, words := range h.IPRules {
		if err := b.Command("ip rule add " + words); err != nil {
			return nil, fmt.Errorf("%s: ip_rules: %w", where, err)
		}
	}
	return b, nil
}
