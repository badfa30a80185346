package router

import (
	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/router/fib"
	"github.com/moat-router/moat/router/sysctl"
)

// state is what a packet sees of configuration: rules, routes and sysctls, for both families, published together. It
// is immutable; the control plane makes a new one and swaps the pointer, so no packet meets half a change.
type state struct {
	number uint64 // of the snapshot, from 1

	rules *policy.Ruleset
	fib   *fib.FIB
	sys   *sysctl.Values

	// track says per family whether conntrack (and the reassembly it needs) sees packets at all: always, or only once
	// a rule needs it, as Linux registers its hooks.
	track  [policy.NumFamilies]bool
	gather [policy.NumFamilies]bool
}

// tracking decides when conntrack and reassembly come in.
func (r *Router) tracking(s *state) {
	for f := range policy.NumFamilies {
		s.track[f] = !r.cfg.WhenUsed || s.rules.UsesConntrack[f]
		s.gather[f] = !r.cfg.WhenUsed || s.rules.UsesDefrag[f]
	}
}

func family(p *passage) policy.Family { return policy.FamilyOf(p.V6) }

// publish makes a changed copy of the current state visible. r.mu is held.
func (r *Router) publish(change func(*state)) {
	next := *r.state.Load()
	next.number++
	change(&next)
	r.tracking(&next)
	r.state.Store(&next)
}
