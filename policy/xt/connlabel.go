package xt

import (
	"fmt"
	"strconv"

	"github.com/moat-router/moat/policy"
)

// connlabel is -m connlabel (xt_connlabel.c): a label bit of the connection, which it may set.
type connlabel struct {
	bit      uint8
	set, not bool
}

type connlabelArgs struct {
	m     connlabel
	given bool
}

func (a *connlabelArgs) Option(o *Opt) (bool, error) {
	if o.Name == "--set" {
		a.m.set = true
		return true, o.NoNot()
	}
	s, err := o.Arg()
	if err != nil {
		return true, err
	}
	v, ok := ParseUint(s, 0, 127)
	if !ok {
		return true, fmt.Errorf("bad label %q: a number from 0 to 127 is wanted (names of connlabel.conf are not read)", s)
	}
	a.m.bit, a.m.not, a.given = uint8(v), o.Not, true
	return true, nil
}

func (a *connlabelArgs) Done(*RuleInfo) (policy.Match, error) {
	if !a.given {
		return nil, missing("--label")
	}
	m := a.m
	return &m, nil
}

func (m *connlabel) Name() string         { return "connlabel" }
func (m *connlabel) NeedsConntrack() bool { return true }
func (m *connlabel) NeedsLabels() bool    { return true }

func (m *connlabel) Match(p *policy.Packet) bool {
	c := p.CT.Conn
	if c == nil || !c.HasLabels() {
		return m.not
	}
	labels := c.Labels()
	if labels[m.bit/8]&(1<<(m.bit%8)) != 0 {
		return !m.not
	}
	if m.set {
		c.SetLabel(int(m.bit))
		return !m.not
	}
	return m.not
}

func (m *connlabel) AppendSave(b []byte) []byte {
	b = append(appendNot(b, m.not), ` --label "`...)
	b = append(strconv.AppendUint(b, uint64(m.bit), 10), '"')
	if m.set {
		b = append(b, " --set"...)
	}
	return b
}

func (m *connlabel) AppendList(b []byte, numeric bool) []byte {
	b = strconv.AppendUint(append(appendNot(append(b, " connlabel"...), m.not), ' '), uint64(m.bit), 10)
	if m.set {
		b = append(b, " set"...)
	}
	return b
}
