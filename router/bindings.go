package router

import "github.com/moat-router/moat/policy/nat"

// newBindings makes the table of NAT bindings. The ports of the router's own services are nobody else's: a host inside
// that sends from port 53 does not get the router's.
func (r *Router) newBindings() {
	r.bindings = &nat.Bindings{Reserved: func(e nat.Endpoint) bool {
		return r.host.Listens(e.V6, e.Proto, e.Addr, e.Port)
	}}
	for _, w := range r.workers {
		w.Bindings = r.bindings
	}
}

// Bindings are those that rules with a NAT behaviour have made.
func (r *Router) Bindings() *nat.Bindings { return r.bindings }
