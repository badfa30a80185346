package iptables

import (
	"fmt"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/xt"
)

// ListOptions say how List prints.
type ListOptions struct {
	Table       policy.TableID
	Chain       string // "" is all of them
	Rule        int    // only this one of Chain, from 1, without the chain's head; 0 is all of them
	Numeric     bool   // -n: no names of protocols, services and "anywhere"
	Verbose     bool   // -v: counters and interfaces
	Exact       bool   // -x: counters are not shortened
	LineNumbers bool   // --line-numbers
}

// List prints chains and rules as iptables -L does, but looks no addresses up: names of hosts never appear. A table
// that was never loaded lists as an empty one.
func List(rs *policy.Ruleset, fam policy.Family, o ListOptions) ([]byte, error) {
	rs, t := tableOf(rs, fam, o.Table)
	var b []byte
	found := false
	for _, c := range t.Chains {
		if o.Chain != "" && c.Name != o.Chain {
			continue
		}
		found = true
		if len(b) > 0 {
			b = append(b, '\n')
		}
		l := lister{rs: rs, t: t, o: o}
		b = l.chain(b, c)
	}
	if !found {
		return nil, noChain(t, o.Chain)
	}
	return b, nil
}

func tableOnly(fam policy.Family, id policy.TableID) *Set {
	s := NewSet(fam)
	s.tables[id] = newTable(id)
	return s
}

// lister prints the chains of one table.
type lister struct {
	rs *policy.Ruleset
	t  *policy.Table
	o  ListOptions
}

func (l *lister) chain(b []byte, c *policy.Chain) []byte {
	if l.o.Rule == 0 {
		b = l.head(b, c)
	}
	for i, r := range c.Rules {
		if l.o.Rule == 0 || l.o.Rule == i+1 {
			b = append(l.rule(b, r, i+1), '\n')
		}
	}
	return b
}

func (l *lister) head(b []byte, c *policy.Chain) []byte {
	b = fmt.Appendf(b, "Chain %s (", c.Name)
	switch {
	case !c.Builtin:
		b = fmt.Appendf(b, "%d references", l.references(c))
	case l.o.Verbose:
		n := l.rs.Count(c.Index)
		b = fmt.Appendf(b, "policy %s %s packets, %s bytes", policyName(c.Policy), l.short(n.Packets), l.short(n.Bytes))
	default:
		b = fmt.Appendf(b, "policy %s", policyName(c.Policy))
	}
	b = append(b, ")\n"...)
	if l.o.LineNumbers {
		b = append(b, "num  "...)
	}
	switch {
	case l.o.Verbose && l.o.Exact:
		b = append(b, "    pkts      bytes "...)
	case l.o.Verbose:
		b = append(b, " pkts bytes "...)
	}
	b = append(b, "target     prot opt"...)
	if l.o.Verbose {
		b = append(b, " in     out    "...)
	}
	return append(b, " source               destination         \n"...)
}

func (l *lister) references(to *policy.Chain) (n int) {
	for _, c := range l.t.Chains {
		for _, r := range c.Rules {
			if r.Jump == to {
				n++
			}
		}
	}
	return n
}

func (l *lister) rule(b []byte, r *policy.Rule, number int) []byte {
	h := &r.Head
	if l.o.LineNumbers {
		b = fmt.Appendf(b, "%-4d ", number)
	}
	if l.o.Verbose {
		n, width := l.rs.Count(r.Index), 5
		if l.o.Exact {
			width = 8
		}
		b = fmt.Appendf(b, "%*s %*s ", width, l.short(n.Packets), width, l.short(n.Bytes))
	}
	b = fmt.Appendf(b, "%-9s %s%-4s ", targetWord(r), bang(h.NotProto, " "), l.proto(h.Proto))
	switch {
	case h.NotFragment:
		b = append(b, "!f "...)
	case h.Fragment:
		b = append(b, "-f "...)
	default:
		b = append(b, "-- "...)
	}
	if l.o.Verbose {
		b = fmt.Appendf(b, " %-6s %-6s ", bang(h.NotIn, "")+l.dev(h.In), bang(h.NotOut, "")+l.dev(h.Out))
	}
	b = fmt.Appendf(b, "%s%-19s %s%-19s ", bang(h.NotSrc, " "), l.addr(h.Src, h.SrcMask), bang(h.NotDst, " "), l.addr(h.Dst, h.DstMask))
	if r.Goto {
		b = append(b, "[goto] "...)
	}
	for _, m := range r.Matches {
		if x, ok := m.(xt.Lister); ok {
			b = x.AppendList(b, l.o.Numeric)
			continue
		}
		b = append(append(b, ' '), m.Name()...)
		b = m.AppendSave(b)
	}
	if x, ok := r.Target.(xt.Lister); ok {
		return x.AppendList(b, l.o.Numeric)
	}
	if r.Target != nil {
		b = r.Target.AppendSave(b)
	}
	return b
}

func targetWord(r *policy.Rule) string {
	switch {
	case r.Target != nil:
		if x, ok := r.Target.(xt.Aliased); ok {
			return x.KernelName()
		}
		return r.Target.Name()
	case r.Jump != nil:
		return r.Jump.Name
	case r.Verdict != policy.Continue:
		return verdictName(r.Verdict)
	}
	return ""
}

func bang(not bool, otherwise string) string {
	if not {
		return "!"
	}
	return otherwise
}

func (l *lister) proto(n uint8) string {
	switch {
	case l.o.Numeric:
		return fmt.Sprint(n)
	case n == 0:
		return "all"
	}
	return xt.ProtocolName(n)
}

func (l *lister) dev(name string) string {
	switch {
	case name != "":
		return name
	case l.o.Numeric:
		return "*"
	}
	return "any"
}

func (l *lister) addr(a, m [16]byte) string {
	if m == ([16]byte{}) && !l.o.Numeric {
		return "anywhere"
	}
	b := xt.AppendAddr(nil, l.t.Family, a)
	if n := xt.MaskBits(l.t.Family, m); n == 128 || n == 32 && l.t.Family == policy.V4 {
		return string(b)
	}
	return string(xt.AppendMask(b, l.t.Family, m))
}

// short shortens a counter to five figures: 123K, 7890M.
func (l *lister) short(n uint64) string {
	if l.o.Exact || n <= 99999 {
		return fmt.Sprint(n)
	}
	for _, unit := range "KMG" {
		if n = (n + 500) / 1000; n <= 9999 {
			return fmt.Sprintf("%d%c", n, unit)
		}
	}
	return fmt.Sprintf("%dT", (n+500)/1000)
}
