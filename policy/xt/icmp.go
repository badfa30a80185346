package xt

import (
	"fmt"
	"strings"

	"github.com/moat-router/moat/policy"
)

// icmp is -m icmp and -m icmp6 (xt_tcpudp.c): type and a range of codes.
type icmp struct {
	v6     bool
	set    bool
	typ    uint8
	lo, hi uint8 // codes
	not    bool
}

// anyICMP is the type that IPv4 rules take for all types; IPv6 has no such number.
const anyICMP = 255

// icmpName is a name for a type with its codes.
type icmpName struct {
	name        string
	typ, lo, hi uint8
}

func newICMPv4() MatchParser { return &icmp{} }
func newICMPv6() MatchParser { return &icmp{v6: true} }

func (m *icmp) Name() string {
	if m.v6 {
		return "icmp6"
	}
	return "icmp"
}

func (m *icmp) names() []icmpName {
	if m.v6 {
		return icmpv6Names
	}
	return icmpv4Names
}

func (m *icmp) Option(o *Opt) (bool, error) {
	s, err := o.Arg()
	if err != nil {
		return true, err
	}
	m.set, m.not = true, o.Not
	return true, m.parse(s)
}

// parse reads a name, in any case and shortened while it is unambiguous, or type[/code[:code]].
func (m *icmp) parse(s string) error {
	var found *icmpName
	names := m.names()
	for i := range names {
		n := &names[i]
		if len(s) > len(n.name) || !strings.EqualFold(n.name[:len(s)], s) {
			continue
		}
		if found != nil {
			return fmt.Errorf("ICMP type %q is ambiguous: %s or %s", s, found.name, n.name)
		}
		found = n
	}
	if found != nil {
		m.typ, m.lo, m.hi = found.typ, found.lo, found.hi
		return nil
	}
	typ, code, hasCode := strings.Cut(s, "/")
	t, ok := ParseUint(typ, 0, 255)
	lo, hi := uint64(0), uint64(255)
	if ok && hasCode {
		a, b, isRange := strings.Cut(code, ":")
		lo, ok = ParseUint(a, 0, 255)
		hi = lo
		if ok && isRange {
			hi, ok = ParseUint(b, 0, 255)
		}
	}
	if !ok {
		return fmt.Errorf("unknown ICMP type %q: a name, a type or type/code is wanted", s)
	}
	m.typ, m.lo, m.hi = uint8(t), uint8(lo), uint8(hi)
	return nil
}

func (m *icmp) Done(r *RuleInfo) (policy.Match, error) {
	name, proto := "--icmp-type", uint8(protoICMP)
	if m.v6 {
		name, proto = "--icmpv6-type", protoICMPv6
	}
	if !m.set {
		return nil, missing(name)
	}
	return m, needProto(r, m.Name(), proto)
}

func (m *icmp) Match(p *policy.Packet) bool {
	h := transport(p, 8)
	if h == nil {
		return false
	}
	fits := h[0] == m.typ && h[1] >= m.lo && h[1] <= m.hi || m.any()
	return fits != m.not
}

func (m *icmp) any() bool { return m.typ == anyICMP && !m.v6 }

func (m *icmp) AppendSave(b []byte) []byte {
	option := " --icmp-type "
	if m.v6 {
		option = " --icmpv6-type "
	}
	b = append(appendNot(b, m.not), option...)
	if m.any() {
		return append(b, "any"...)
	}
	b = fmt.Append(b, m.typ)
	if m.lo != 0 || m.hi != 255 {
		b = appendRange(append(b, '/'), uint64(m.lo), uint64(m.hi))
	}
	return b
}

func (m *icmp) AppendList(b []byte, numeric bool) []byte {
	word := " icmp"
	if m.v6 {
		word = " ipv6-icmp"
	}
	if !numeric {
		for _, n := range m.names() {
			if n.typ == m.typ && n.lo == m.lo && n.hi == m.hi {
				b = append(b, word...)
				if m.not {
					return append(append(b, " !"...), n.name...)
				}
				return append(append(b, ' '), n.name...)
			}
		}
	}
	b = append(b, word...)
	if m.not {
		b = append(b, " !"...)
	}
	b = fmt.Appendf(b, "type %d", m.typ)
	switch {
	case m.lo == m.hi:
		b = fmt.Appendf(b, " code %d", m.lo)
	case m.lo != 0 || m.hi != 255:
		b = fmt.Appendf(b, " codes %d-%d", m.lo, m.hi)
	}
	return b
}
