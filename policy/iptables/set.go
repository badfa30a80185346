package iptables

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moat-router/moat/policy"
)

// Set is the tables of one family in editable form. The zero number of tables is what a router starts with: nothing
// filters, nothing is translated.
type Set struct {
	family policy.Family
	tables [policy.NumTables]*table
}

// NewSet gives a Set without tables.
func NewSet(fam policy.Family) *Set { return &Set{family: fam} }

// Family is the family whose rules these are.
func (s *Set) Family() policy.Family { return s.family }

// table is one table; it is copied before it is edited.
type table struct {
	id   policy.TableID
	base []*chain          // the built-in chains, in the order of policy.TableHooks
	user map[string]*chain // the others
}

// chain is one chain; a chain of a shared table is copied before it is edited.
type chain struct {
	name    string
	builtin bool
	policy  policy.Verdict
	initial *policy.Count // see policy.Chain
	rules   []*rule
	owner   *table // the table that may edit it
}

// TableByName finds a table; the error suggests.
func TableByName(name string) (policy.TableID, error) {
	var names []string
	for id := policy.TableID(0); id < policy.NumTables; id++ {
		if id.String() == name {
			return id, nil
		}
		names = append(names, id.String())
	}
	if name == "broute" {
		return 0, fmt.Errorf("table %q is ebtables': moat routes and does not bridge", name)
	}
	return 0, fmt.Errorf("unknown table %q%s", name, didYouMean(name, names))
}

func newTable(id policy.TableID) *table {
	t := &table{id: id, user: map[string]*chain{}}
	for _, h := range policy.TableHooks[id] {
		t.base = append(t.base, &chain{name: h.String(), builtin: true, policy: policy.Accept, initial: new(policy.Count), owner: t})
	}
	return t
}

// edit gives the table for editing, in a Set that is being edited: made if it is not there, copied if it is shared.
func (s *Set) edit(id policy.TableID, fresh map[*table]bool) *table {
	t := s.tables[id]
	switch {
	case t == nil:
		t = newTable(id)
	case !fresh[t]:
		old := t
		t = &table{id: id, base: slices.Clone(old.base), user: maps.Clone(old.user)}
	}
	fresh[t] = true
	s.tables[id] = t
	return t
}

// chain finds a chain by name, nil if there is none.
func (t *table) chain(name string) *chain {
	for _, c := range t.base {
		if c.name == name {
			return c
		}
	}
	return t.user[name]
}

// own gives a chain for editing.
func (t *table) own(name string) *chain {
	c := t.chain(name)
	if c == nil || c.owner == t {
		return c
	}
	d := *c
	d.rules = slices.Clone(c.rules)
	d.owner = t
	if c.builtin {
		t.base[slices.Index(t.base, c)] = &d
	} else {
		t.user[name] = &d
	}
	return &d
}

// all are the chains in the order in which iptables-save prints them: the built-in ones, then the others by name.
func (t *table) all() []*chain {
	list := slices.Clone(t.base)
	for _, name := range slices.Sorted(maps.Keys(t.user)) {
		list = append(list, t.user[name])
	}
	return list
}

func (t *table) chainNames() (names []string) {
	for _, c := range t.all() {
		names = append(names, c.name)
	}
	return names
}

// checkChainName refuses the names that iptables refuses.
func checkChainName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("the chain has no name")
	case len(name) > 28:
		return fmt.Errorf("chain name %q is longer than 28 bytes", name)
	case name[0] == '-' || name[0] == '!':
		return fmt.Errorf("a chain name does not start with %q", name[:1])
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '"' }):
		return fmt.Errorf("chain name %q has a blank or a quote in it", name)
	case slices.Contains(verdictNames, name) || name == "QUEUE":
		return fmt.Errorf("%s is a verdict, no chain can be named so", name)
	}
	return nil
}

// run applies a parsed command to the table.
func (t *table) run(c *command, fam policy.Family) error {
	if c.chain != "" && c.op != 'N' && t.chain(c.chain) == nil {
		return fmt.Errorf("table %s has no chain %q%s", t.id, c.chain, didYouMean(c.chain, t.chainNames()))
	}
	switch c.op {
	case 'A':
		ch := t.own(c.chain)
		ch.rules = append(ch.rules, c.rules...)
	case 'I':
		return t.insert(c)
	case 'R':
		return t.replace(c)
	case 'D':
		return t.delete(c, fam)
	case 'C':
		for _, r := range c.rules {
			if t.chain(c.chain).find(r, fam) < 0 {
				return fmt.Errorf("chain %s has no such rule", c.chain)
			}
		}
	case 'N':
		return t.create(c.chain)
	case 'E':
		return t.rename(c.chain, c.arg)
	case 'X':
		return t.remove(c.chain)
	case 'P':
		if t.id == policy.NAT && c.arg == "DROP" { // iptables minds here, and not in a ":CHAIN POLICY" line
			return fmt.Errorf("the nat table is not meant for filtering: its policies stay ACCEPT")
		}
		return t.setPolicy(c.chain, c.arg, c.counters)
	case 'F':
		t.each(c.chain, func(ch *chain) { ch.rules = nil })
	case 'Z':
		return t.zero(c)
	}
	return nil
}

// each edits one chain, or all of them for the name "".
func (t *table) each(name string, f func(*chain)) {
	if name != "" {
		f(t.own(name))
		return
	}
	for _, name := range t.chainNames() {
		f(t.own(name))
	}
}

func (c *chain) number(n int) error {
	if n > len(c.rules) {
		return fmt.Errorf("chain %s has no rule %d, it has %d", c.name, n, len(c.rules))
	}
	return nil
}

func (t *table) insert(c *command) error {
	at := max(c.num, 1) - 1
	if err := t.chain(c.chain).number(at); err != nil {
		return err
	}
	ch := t.own(c.chain)
	for _, r := range c.rules { // one after the other at the same place, as iptables does: the last comes first
		ch.rules = slices.Insert(ch.rules, at, r)
	}
	return nil
}

func (t *table) replace(c *command) error {
	if len(c.rules) > 1 {
		return fmt.Errorf("a rule cannot be replaced by several: give one address")
	}
	if err := t.chain(c.chain).number(c.num); err != nil {
		return err
	}
	t.own(c.chain).rules[c.num-1] = c.rules[0]
	return nil
}

func (t *table) delete(c *command, fam policy.Family) error {
	if c.num > 0 {
		if err := t.chain(c.chain).number(c.num); err != nil {
			return err
		}
		ch := t.own(c.chain)
		ch.rules = slices.Delete(ch.rules, c.num-1, c.num)
		return nil
	}
	ch := t.own(c.chain)
	for _, r := range c.rules {
		i := ch.find(r, fam)
		if i < 0 {
			return fmt.Errorf("chain %s has no such rule", c.chain)
		}
		ch.rules = slices.Delete(ch.rules, i, i+1)
	}
	return nil
}

// find gives the index of the first rule that reads as r does, or -1.
func (c *chain) find(r *rule, fam policy.Family) int {
	want := r.appendSpec(nil, fam)
	var have []byte
	return slices.IndexFunc(c.rules, func(x *rule) bool {
		have = x.appendSpec(have[:0], fam)
		return string(have) == string(want)
	})
}

func (t *table) create(name string) error {
	if err := checkChainName(name); err != nil {
		return err
	}
	if t.chain(name) != nil {
		return fmt.Errorf("chain %q exists already", name)
	}
	t.user[name] = &chain{name: name, policy: policy.Return, initial: new(policy.Count), owner: t}
	return nil
}

func (t *table) rename(from, to string) error {
	if t.chain(from).builtin {
		return fmt.Errorf("%s is a built-in chain and keeps its name", from)
	}
	if err := t.create(to); err != nil {
		return err
	}
	c := t.own(from)
	c.name = to
	t.user[to] = c
	delete(t.user, from)
	for _, name := range t.chainNames() {
		for i, r := range t.chain(name).rules {
			if r.jump == from {
				moved := *r
				moved.jump = to
				t.own(name).rules[i] = &moved
			}
		}
	}
	return nil
}

// remove deletes a user chain, or all of them for the name "". They must be empty and unreferenced; -X without a name
// deletes all or none.
func (t *table) remove(name string) error {
	var gone []string
	if name != "" {
		if t.chain(name).builtin {
			return fmt.Errorf("%s is a built-in chain and cannot be deleted", name)
		}
		gone = []string{name}
	} else {
		gone = slices.Sorted(maps.Keys(t.user))
	}
	for _, g := range gone {
		if len(t.user[g].rules) > 0 {
			return fmt.Errorf("chain %s is not empty", g)
		}
		if by := t.referrer(g); by != "" {
			return fmt.Errorf("chain %s is still used by a rule in %s", g, by)
		}
	}
	for _, g := range gone {
		delete(t.user, g)
	}
	return nil
}

// referrer names a chain with a rule that jumps to name, or "".
func (t *table) referrer(name string) string {
	for _, c := range t.all() {
		for _, r := range c.rules {
			if r.jump == name {
				return c.name
			}
		}
	}
	return ""
}

func (t *table) setPolicy(name, word string, n policy.Count) error {
	if !t.chain(name).builtin {
		return fmt.Errorf("%s is not a built-in chain and has no policy", name)
	}
	v := verdictNamed(word)
	if v != policy.Accept && v != policy.Drop {
		return fmt.Errorf("bad policy %q: a policy is ACCEPT or DROP", word)
	}
	c := t.own(name)
	c.policy, c.initial = v, &n
	return nil
}

func (t *table) zero(c *command) error {
	if c.num > 0 {
		if err := t.chain(c.chain).number(c.num); err != nil {
			return err
		}
		ch := t.own(c.chain)
		ch.rules[c.num-1] = ch.rules[c.num-1].zeroed()
		return nil
	}
	t.each(c.chain, func(ch *chain) {
		ch.initial = new(policy.Count)
		for i, r := range ch.rules {
			ch.rules[i] = r.zeroed()
		}
	})
	return nil
}

func (r *rule) zeroed() *rule {
	z := *r
	z.Initial = new(policy.Count)
	return &z
}
