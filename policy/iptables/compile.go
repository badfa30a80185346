package iptables

import (
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
			rs.Tables[s.family][id] = t.compile(s.family)
			if conntrack, accounting := t.uses(); conntrack {
				rs.UsesConntrack[s.family], rs.UsesDefrag[s.family] = true, true
				rs.UsesAccounting = rs.UsesAccounting || accounting
			}
		}
	}
	rs.Prepare(workers)
	for _, s := range []*Set{v4, v6} {
		if s == nil {
			continue
		}
		for id, t := range s.tables {
			if t != nil {
				t.count(rs, rs.Tables[s.family][id], prev)
			}
		}
	}
	return rs, nil
}

// compile makes the policy.Table. The Set keeps its own rules, since one Ruleset after the other is made of them.
func (t *table) compile(fam policy.Family) *policy.Table {
	out := &policy.Table{ID: t.id, Family: fam}
	chains := map[string]*policy.Chain{}
	all := t.all()
	for _, c := range all {
		pc := &policy.Chain{Name: c.name, Builtin: c.builtin, Policy: c.policy}
		chains[c.name] = pc
		out.Chains = append(out.Chains, pc)
	}
	for i, h := range policy.TableHooks[t.id] {
		out.Base[h] = out.Chains[i]
	}
	for i, c := range all {
		pc := out.Chains[i]
		pc.Rules = make([]*policy.Rule, len(c.rules))
		for j, r := range c.rules {
			if !t.loaded && r.compiled != nil {
				r.refresh()
			}
			one := r.Rule
			one.Jump = chains[r.jump]
			pc.Rules[j] = &one
		}
	}
	t.loaded = true
	return out
}

// count sets the counters of the new Ruleset and notes what has become of each rule.
func (t *table) count(rs *policy.Ruleset, out *policy.Table, prev *policy.Ruleset) {
	for i, c := range t.all() {
		pc := out.Chains[i]
		if prev != nil && c.in == prev && c.compiled != nil {
			c.counters = prev.Count(c.compiled.Index)
		}
		c.compiled, c.in = pc, rs
		rs.SetCount(pc.Index, c.counters)
		for j, r := range c.rules {
			pr := pc.Rules[j]
			if prev != nil && r.in == prev && r.compiled != nil {
				r.counters = prev.Count(r.compiled.Index)
			}
			r.compiled, r.in = pr, rs
			rs.SetCount(pr.Index, r.counters)
		}
	}
}

// uses tells whether some rule of the table pulls connection tracking in, and whether some rule has it count.
func (t *table) uses() (conntrack, accounting bool) {
	ask := func(ext any) {
		if u, ok := ext.(xt.ConntrackUser); ok && u.NeedsConntrack() {
			conntrack = true
		}
		if u, ok := ext.(xt.AccountingUser); ok && u.NeedsAccounting() {
			accounting = true
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
	return conntrack, accounting
}
