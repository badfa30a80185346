package xt

import (
	"github.com/moat-router/moat/policy"
)

// markMatch is -m mark and -m connmark (xt_mark.c, xt_connmark.c): the mark of the packet, or of its connection. A
// packet without a connection has no connmark and does not match, inverted or not.
type markMatch struct {
	conn        bool
	value, mask uint32
	set, not    bool
}

func newMark() MatchParser     { return &markMatch{} }
func newConnmark() MatchParser { return &markMatch{conn: true} }

func (m *markMatch) Name() string {
	if m.conn {
		return "connmark"
	}
	return "mark"
}

func (m *markMatch) NeedsConntrack() bool { return m.conn }

func (m *markMatch) Option(o *Opt) (ok bool, err error) {
	m.set, m.not = true, o.Not
	m.value, m.mask, err = argMark(o)
	return true, err
}

func (m *markMatch) Done(*RuleInfo) (policy.Match, error) {
	if !m.set {
		return nil, missing("--mark")
	}
	return m, nil
}

func (m *markMatch) Match(p *policy.Packet) bool {
	v := p.Mark
	if m.conn {
		switch {
		case p.CT.Conn != nil:
			v = p.CT.Conn.Mark()
		case p.CT.Template != nil:
			v = 0 // Linux takes the template for the packet's connection
		default:
			return false
		}
	}
	return (v&m.mask == m.value) != m.not
}

func (m *markMatch) AppendSave(b []byte) []byte {
	return appendMark(append(appendNot(b, m.not), " --mark "...), m.value, m.mask)
}

func (m *markMatch) AppendList(b []byte, numeric bool) []byte {
	b = append(append(b, ' '), m.Name()...)
	b = append(b, " match"...)
	if m.conn && !m.not {
		b = append(b, ' ')
	}
	return appendMark(append(appendNot(b, m.not), ' '), m.value, m.mask)
}
