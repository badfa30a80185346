package xt

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/moat-router/moat/policy"
)

// setMatch is -m set (xt_set.c): whether a packet is in a named set. The set must exist when the rule is loaded.
type setMatch struct {
	set  *set
	dims setDims
	not  bool
	test setTest
}

type setMatchArgs struct {
	m    setMatch
	name string
}

// setCounterOps are the options that compare an element's counters.
var setCounterOps = [...]struct {
	suffix string
	op     setOp
}{{"-eq", opEQ}, {"-lt", opLT}, {"-gt", opGT}}

func (a *setMatchArgs) Option(o *Opt) (bool, error) {
	m := &a.m
	switch o.Name {
	case "--match-set", "--set":
		var err error
		a.name, m.dims, err = setNameAndDims(o)
		m.not = o.Not
		return true, err
	case "--return-nomatch":
		m.test.returnNomatch = true
		return true, o.NoNot()
	case "--update-counters":
		m.test.noUpdate = o.Not
		return true, nil
	case "--update-subcounters":
		m.test.noSub = o.Not
		return true, nil
	}
	for _, c := range setCounterOps {
		kind, ok := strings.CutSuffix(o.Name, c.suffix)
		if !ok {
			continue
		}
		v, err := argNumber(o, 0, 1<<64-1)
		op := c.op
		if o.Not {
			if op != opEQ {
				return true, o.NoNot()
			}
			op = opNE
		}
		have, value := &m.test.packetsOp, &m.test.packets
		if kind == "--bytes" {
			have, value = &m.test.bytesOp, &m.test.bytes
		}
		if err == nil && *have != opNone {
			err = fmt.Errorf("only one of %s-eq, %s-lt and %s-gt is possible", kind, kind, kind)
		}
		*have, *value = op, v
		return true, err
	}
	return false, nil
}

// setNameAndDims reads a set's name and the "src,dst" behind it.
func setNameAndDims(o *Opt) (name string, d setDims, err error) {
	if name, err = o.Arg(); err != nil {
		return name, d, err
	}
	dims, err := o.Arg()
	if err != nil {
		return name, d, fmt.Errorf("%s needs a set and the directions, such as src,dst", o.Name)
	}
	for _, w := range strings.Split(dims, ",") {
		if w != "src" && w != "dst" || d.n == setMaxDims {
			return name, d, fmt.Errorf("bad directions %q for %s: src and dst, up to %d of them separated by commas, are possible", dims, o.Name, setMaxDims)
		}
		d.dst[d.n] = w == "dst"
		d.n++
	}
	return name, d, nil
}

// ruleSet finds the set of a rule and refuses one of the other family.
func (s *Shared) ruleSet(name string, fam policy.Family) (*set, error) {
	x, err := s.sets.known(name)
	if err == nil && !x.any && x.family != fam {
		err = fmt.Errorf("set %q holds addresses of the other family", name)
	}
	return x, err
}

func (a *setMatchArgs) Done(r *RuleInfo) (m policy.Match, err error) {
	if a.name == "" {
		return nil, missing("--match-set")
	}
	c := a.m
	if c.set, err = r.Shared.ruleSet(a.name, r.Family); err != nil {
		return nil, err
	}
	return &c, nil
}

func (m *setMatch) Name() string { return "set" }

func (m *setMatch) Match(p *policy.Packet) bool {
	_, in := m.set.test(p, &m.dims, &m.test)
	return in != m.not
}

func (m *setMatch) AppendSave(b []byte) []byte { return m.append(b, "--") }

// AppendList is the normal form without dashes.
func (m *setMatch) AppendList(b []byte, numeric bool) []byte { return m.append(b, "") }

func (m *setMatch) append(b []byte, dashes string) []byte {
	word := func(not bool, w string) { b = append(append(append(appendNot(b, not), ' '), dashes...), w...) }
	word(m.not, "match-set")
	b = append(append(append(b, ' '), m.set.name...), ' ')
	b = m.dims.append(b)
	q := &m.test
	if q.returnNomatch {
		word(false, "return-nomatch")
	}
	if q.noUpdate {
		word(true, "update-counters")
	}
	if q.noSub {
		word(true, "update-subcounters")
	}
	b = q.packetsOp.append(b, " "+dashes+"packets", q.packets)
	return q.bytesOp.append(b, " "+dashes+"bytes", q.bytes)
}

func (op setOp) append(b []byte, option string, v uint64) []byte {
	if op == opNone {
		return b
	}
	suffix := map[setOp]string{opEQ: "-eq ", opNE: "-eq ", opLT: "-lt ", opGT: "-gt "}[op]
	b = append(append(appendNot(b, op == opNE), option...), suffix...)
	return strconv.AppendUint(b, v, 10)
}
