package xt

import (
	"strings"

	"github.com/moat-router/moat/policy"
)

// helperMatch is -m helper (xt_helper.c): connections that a helper expected. The name in the rule may go on behind
// the helper's ("ftp-2121" is ftp's); an empty name is any helper.
type helperMatch struct {
	name     string
	set, not bool
}

const helperNameMax = 29 // what fits into struct xt_helper_info; iptables cuts the rest

func (m *helperMatch) Name() string         { return "helper" }
func (m *helperMatch) NeedsConntrack() bool { return true }

func (m *helperMatch) Option(o *Opt) (ok bool, err error) {
	m.set, m.not = true, o.Not
	m.name, err = o.Arg()
	m.name = m.name[:min(len(m.name), helperNameMax)]
	return true, err
}

func (m *helperMatch) Done(*RuleInfo) (policy.Match, error) {
	if !m.set {
		return nil, missing("--helper")
	}
	return m, nil
}

func (m *helperMatch) Match(p *policy.Packet) bool {
	c := p.CT.Conn
	if c == nil {
		return m.not
	}
	master := c.Master()
	if master == nil {
		return m.not
	}
	name := master.HelperName()
	if name == "" {
		return m.not
	}
	return (m.name == "" || strings.HasPrefix(m.name, name)) != m.not
}

func (m *helperMatch) AppendSave(b []byte) []byte {
	return AppendQuoted(append(appendNot(b, m.not), " --helper "...), m.name)
}

func (m *helperMatch) AppendList(b []byte, numeric bool) []byte {
	b = appendNot(append(b, " helper match"...), m.not)
	return append(append(append(b, ` "`...), m.name...), '"')
}
