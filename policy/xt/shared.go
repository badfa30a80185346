package xt

import (
	"sync"

	"github.com/moat-router/moat/policy"
)

// Shared is state of extensions that outlives a ruleset, by name: the lists of recent, the tables of hashlimit and
// the sets of set and SET. It belongs to the router, for both families. Use NewShared.
//
// As in Linux, a list or table lives as long as some rule names it, and a ruleset that replaces another finds what
// the old one's rules have learned: call Sweep after the swap. Sets live until they are destroyed, which is refused
// while a rule names them. State of the
// extensions that implement Stateful (limit, quota, statistic) does not stand here: a replaced rule starts anew.
type Shared struct {
	mu        sync.Mutex
	recent    map[string]*recentTable
	hashlimit map[hashlimitName]*hashlimitTable
	sets      setTable
}

// NewShared gives an empty one.
func NewShared() *Shared {
	return &Shared{recent: map[string]*recentTable{}, hashlimit: map[hashlimitName]*hashlimitTable{}}
}

// Sweep forgets the recent lists and hashlimit tables that no rule of rs names. It is called after rs has become the
// ruleset that packets see.
func (s *Shared) Sweep(rs *policy.Ruleset) {
	used := map[*set]bool{}
	recent, hash := map[*recentTable]bool{}, map[*hashlimitTable]bool{}
	for f := range rs.Tables {
		for _, t := range rs.Tables[f] {
			if t == nil {
				continue
			}
			for _, c := range t.Chains {
				for _, r := range c.Rules {
					for _, m := range r.Matches {
						switch m := m.(type) {
						case *recentMatch:
							recent[m.table] = true
						case *hashlimit:
							hash[m.table] = true
						case *setMatch:
							used[m.set] = true
						}
					}
					if t, ok := r.Target.(*setTarget); ok {
						for _, o := range t.ops {
							used[o.set] = true
						}
					}
				}
			}
		}
	}
	s.sets.mu.Lock()
	s.sets.used = used
	s.sets.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, t := range s.recent {
		if !recent[t] {
			delete(s.recent, name)
		}
	}
	for name, t := range s.hashlimit {
		if !hash[t] {
			delete(s.hashlimit, name)
		}
	}
}
