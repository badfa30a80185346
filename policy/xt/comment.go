package xt

import (
	"github.com/moat-router/moat/policy"
)

// comment is -m comment: it matches every packet and says why the rule is there.
type comment struct {
	text string
	set  bool
}

const commentMax = 255 // what fits into struct xt_comment_info; iptables cuts the rest

func (m *comment) Name() string { return "comment" }

func (m *comment) Option(o *Opt) (ok bool, err error) {
	if err := o.NoNot(); err != nil {
		return true, err
	}
	m.set = true
	m.text, err = o.Arg()
	m.text = m.text[:min(len(m.text), commentMax)]
	return true, err
}

func (m *comment) Done(*RuleInfo) (policy.Match, error) {
	if !m.set {
		return nil, missing("--comment")
	}
	return m, nil
}

func (m *comment) Match(*policy.Packet) bool { return true }

func (m *comment) AppendSave(b []byte) []byte {
	return AppendQuoted(append(b, " --comment "...), m.text)
}

func (m *comment) AppendList(b []byte, numeric bool) []byte {
	return append(append(append(b, " /* "...), m.text...), " */"...)
}
