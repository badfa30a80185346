package iptables

import (
	"slices"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/xt"
)

// Compile makes the Ruleset that packets see of the rules of both families; a nil Set is one without tables. prev is
// the Ruleset in use, or nil: the counters of the chains and rules that stay go on from it. In a table that was
// edited or loaded anew the state inside matches starts anew (limit, quota, statistic), as when iptables replaces a
// table; a table that nobody touched keeps it. workers is how many workers will count.
func Compile(v4, v6 *Set, prev *policy.Ruleset, workers int) (*policy.Ruleset, error) {
	rs := &policy.Ruleset{}
	for _, s := range []*Set{v4, v6} {
		if s == nil {
			continue
		}
		for id, t := range s.tables {
			if t == nil {
				continue
			}
			if err := t.check(""); err != nil {
				return nil, err
			}
			var old *policy.Table
			if prev != nil {
				old = prev.Tables[s.family][id]
			}
			rs.Tables[s.family][id] = t.compile(s.family, old)
			if u := t.uses(); u.conntrack {
				rs.UsesConntrack[s.family], rs.UsesDefrag[s.family] = true, true
				loaded := old == nil || old.Origin != t
				rs.UsesAccounting = rs.UsesAccounting || u.accounting && loaded
				rs.UsesLabels = rs.UsesLabels || u.labels
			}
		}
	}
	rs.Prepare(workers)
	carryCounters(rs, prev)
	return rs, nil
}

// compile makes the policy.Table. old is what is in use now, or nil: if it was made of this very table, its matches
// and targets go on with the state that they have; else those that keep state begin anew.
func (t *table) compile(fam policy.Family, old *policy.Table) *policy.Table {
	out := &policy.Table{ID: t.id, Family: fam, Origin: t}
	chains := map[string]*policy.Chain{}
	all := t.all()
	for _, c := range all {
		pc := &policy.Chain{Name: c.name, Builtin: c.builtin, Policy: c.policy, Initial: c.initial}
		chains[c.name] = pc
		out.Chains = append(out.Chains, pc)
	}
	for i, h := range policy.TableHooks[t.id] {
		out.Base[h] = out.Chains[i]
	}
	same := old != nil && old.Origin == t
	for i, c := range all {
		pc := out.Chains[i]
		pc.Rules = make([]*policy.Rule, len(c.rules))
		for j, r := range c.rules {
			one := r.Rule
			one.Jump = chains[r.jump]
			if same {
				one.Matches, one.Target = old.Chains[i].Rules[j].Matches, old.Chains[i].Rules[j].Target
			} else {
				refresh(&one)
			}
			pc.Rules[j] = &one
		}
	}
	return out
}

// refresh gives the rule its own fresh state where its extensions keep any.
func refresh(r *policy.Rule) {
	copied := false
	for i, m := range r.Matches {
		if s, ok := m.(xt.Stateful); ok {
			if !copied {
				r.Matches = slices.Clone(r.Matches)
				copied = true
			}
			r.Matches[i] = s.Fresh().(policy.Match)
		}
	}
	if s, ok := r.Target.(xt.Stateful); ok {
		r.Target = s.Fresh().(policy.Target)
	}
}

// carryCounters sets the counters of a new Ruleset: to where they stand in prev for chains and rules that were there,
// else to what they begin with.
func carryCounters(rs, prev *policy.Ruleset) {
	stand := map[*policy.Count]policy.Count{}
	each(prev, func(index int, initial *policy.Count) { stand[initial] = prev.Count(index) })
	each(rs, func(index int, initial *policy.Count) {
		n, ok := stand[initial]
		if !ok {
			n = *initial
		}
		rs.SetCount(index, n)
	})
}

// each visits the counters of a Ruleset.
func each(rs *policy.Ruleset, visit func(index int, initial *policy.Count)) {
	if rs == nil {
		return
	}
	for f := range rs.Tables {
		for _, t := range rs.Tables[f] {
			if t == nil {
				continue
			}
			for _, c := range t.Chains {
				if c.Initial != nil {
					visit(c.Index, c.Initial)
				}
				for _, r := range c.Rules {
					if r.Initial != nil {
						visit(r.Index, r.Initial)
					}
				}
			}
		}
	}
}

// uses is what some rule of a table asks of connection tracking: that it is there, that it counts, that it has labels.
type uses struct{ conntrack, accounting, labels bool }

func (t *table) uses() (u uses) {
	ask := func(ext any) {
		if x, ok := ext.(xt.ConntrackUser); ok && x.NeedsConntrack() {
			u.conntrack = true
		}
		if x, ok := ext.(xt.AccountingUser); ok && x.NeedsAccounting() {
			u.accounting = true
		}
		if x, ok := ext.(xt.LabelUser); ok && x.NeedsLabels() {
			u.labels = true
		}
	}
	for _, c := range t.all() {
		for _, r := range c.rules {
			for _, m := range r.Matches {
				ask(m)
			}
			ask(r.Target)
		}
	}
	return u
}
