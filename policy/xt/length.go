package xt

import (
	"fmt"

	"github.com/moat-router/moat/policy"
)

// length is -m length (xt_length.c): the datagram's length in bytes, IP header included.
type length struct {
	lo, hi   uint64
	set, not bool
}

func (m *length) Name() string { return "length" }

func (m *length) Option(o *Opt) (ok bool, err error) {
	m.set, m.not = true, o.Not
	m.lo, m.hi, err = argRange(o, 65535)
	return true, err
}

func (m *length) Done(*RuleInfo) (policy.Match, error) {
	if !m.set {
		return nil, missing("--length")
	}
	return m, nil
}

func (m *length) Match(p *policy.Packet) bool {
	n := uint64(len(p.Data))
	return (n >= m.lo && n <= m.hi) != m.not
}

func (m *length) AppendSave(b []byte) []byte {
	return appendRange(append(appendNot(b, m.not), " --length "...), m.lo, m.hi)
}

func (m *length) AppendList(b []byte, numeric bool) []byte {
	not := ""
	if m.not {
		not = "!"
	}
	return appendRange(fmt.Appendf(b, " length %s", not), m.lo, m.hi)
}
