package xt

import (
	"errors"
	"fmt"

	"github.com/moat-router/moat/policy"
)

// ecnMatch is -m ecn (xt_ecn.c): the ECN bits of the IP header and of the TCP header (RFC 3168).
type ecnMatch struct {
	cwr, ece, ect ecnBit
}

type ecnBit struct {
	set, not bool
	value    uint8
}

func (m *ecnMatch) Name() string { return "ecn" }

func (m *ecnMatch) Option(o *Opt) (bool, error) {
	switch o.Name {
	case "--ecn-tcp-cwr":
		m.cwr = ecnBit{set: true, not: o.Not}
	case "--ecn-tcp-ece":
		m.ece = ecnBit{set: true, not: o.Not}
	case "--ecn-ip-ect":
		n, err := argNumber(o, 0, 3)
		m.ect = ecnBit{set: true, not: o.Not, value: uint8(n)}
		return true, err
	}
	return true, nil
}

func (m *ecnMatch) Done(r *RuleInfo) (policy.Match, error) {
	if !m.cwr.set && !m.ece.set && !m.ect.set {
		return nil, errors.New("one of --ecn-tcp-cwr, --ecn-tcp-ece and --ecn-ip-ect is needed")
	}
	if m.cwr.set || m.ece.set {
		return m, needProto(r, "--ecn-tcp-cwr and --ecn-tcp-ece", protoTCP)
	}
	return m, nil
}

func (m *ecnMatch) Match(p *policy.Packet) bool {
	if m.ect.set && (p.TOS()&3 == m.ect.value) == m.ect.not {
		return false
	}
	if !m.cwr.set && !m.ece.set {
		return true
	}
	if p.L4+20 > len(p.Data) { // a later fragment's payload is read as if it were the header
		return false
	}
	flags := p.Data[p.L4+13]
	if m.ece.set && (flags&0x40 != 0) == m.ece.not {
		return false
	}
	return !m.cwr.set || (flags&0x80 != 0) != m.cwr.not
}

func (m *ecnMatch) AppendSave(b []byte) []byte {
	if m.ece.set {
		b = append(appendNot(b, m.ece.not), " --ecn-tcp-ece"...)
	}
	if m.cwr.set {
		b = append(appendNot(b, m.cwr.not), " --ecn-tcp-cwr"...)
	}
	if m.ect.set {
		b = fmt.Appendf(appendNot(b, m.ect.not), " --ecn-ip-ect %d", m.ect.value)
	}
	return b
}

func (m *ecnMatch) AppendList(b []byte, numeric bool) []byte {
	b = append(b, " ECN match"...)
	if m.ece.set {
		b = append(appendListNot(append(b, ' '), m.ece.not), "ECE"...)
	}
	if m.cwr.set {
		b = append(appendListNot(append(b, ' '), m.cwr.not), "CWR"...)
	}
	if m.ect.set {
		b = fmt.Appendf(appendListNot(append(b, ' '), m.ect.not), "ECT=%d", m.ect.value)
	}
	return b
}
