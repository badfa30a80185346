package xt

import (
	"fmt"

	"github.com/moat-router/moat/policy"
)

// ttlMatch is -m ttl for IPv4 and -m hl for IPv6 (xt_hl.c).
type ttlMatch struct {
	word  string // "ttl" or "hl"
	op    string // "eq", "lt" or "gt"; "" not given
	value uint8
	not   bool
}

func newTTLMatch() MatchParser { return &ttlMatch{word: "ttl"} }
func newHLMatch() MatchParser  { return &ttlMatch{word: "hl"} }

func (m *ttlMatch) Name() string { return m.word }

func (m *ttlMatch) Option(o *Opt) (bool, error) {
	op := "eq"
	if n := len(o.Name); o.Name != "--"+m.word {
		op = o.Name[n-2:]
	}
	if m.op != "" {
		return true, together("--"+m.word+"-"+m.op, o.Name)
	}
	if op != "eq" {
		if err := o.NoNot(); err != nil {
			return true, err
		}
	}
	m.op, m.not = op, o.Not
	n, err := argNumber(o, 0, 255)
	m.value = uint8(n)
	return true, err
}

func (m *ttlMatch) Done(*RuleInfo) (policy.Match, error) {
	if m.op == "" {
		return nil, fmt.Errorf("one of --%[1]s-eq, --%[1]s-lt and --%[1]s-gt is needed", m.word)
	}
	return m, nil
}

func (m *ttlMatch) Match(p *policy.Packet) bool {
	switch v := p.TTL(); m.op {
	case "lt":
		return v < m.value
	case "gt":
		return v > m.value
	default:
		return (v == m.value) != m.not
	}
}

func (m *ttlMatch) AppendSave(b []byte) []byte {
	return fmt.Appendf(appendNot(b, m.not), " --%s-%s %d", m.word, m.op, m.value)
}

func (m *ttlMatch) AppendList(b []byte, numeric bool) []byte {
	sign := map[string]string{"eq": "==", "lt": "<", "gt": ">"}[m.op]
	if m.not {
		sign = "!="
	}
	word := "TTL"
	if m.word == "hl" {
		word = "HL"
	}
	return fmt.Appendf(b, " %s match %s %s %d", word, word, sign, m.value)
}
