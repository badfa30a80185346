package xt

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moat-router/moat/policy"
)

// dscpMatch is -m dscp (xt_dscp.c): the upper six bits of type of service or traffic class.
type dscpMatch struct {
	value    uint8
	set, not bool
}

type dscpClass struct {
	name  string
	value uint8
}

// dscpClasses are the names of code points (RFC 2474, 2597, 3246).
var dscpClasses = []dscpClass{
	{"CS0", 0x00}, {"CS1", 0x08}, {"CS2", 0x10}, {"CS3", 0x18}, {"CS4", 0x20}, {"CS5", 0x28}, {"CS6", 0x30}, {"CS7", 0x38},
	{"BE", 0x00}, {"AF11", 0x0a}, {"AF12", 0x0c}, {"AF13", 0x0e}, {"AF21", 0x12}, {"AF22", 0x14}, {"AF23", 0x16},
	{"AF31", 0x1a}, {"AF32", 0x1c}, {"AF33", 0x1e}, {"AF41", 0x22}, {"AF42", 0x24}, {"AF43", 0x26}, {"EF", 0x2e},
}

// argDSCPClass takes the next word as the name of a class.
func argDSCPClass(o *Opt) (uint8, error) {
	s, err := o.Arg()
	if err != nil {
		return 0, err
	}
	i := slices.IndexFunc(dscpClasses, func(c dscpClass) bool { return strings.EqualFold(c.name, s) })
	if i < 0 {
		return 0, fmt.Errorf("unknown class %q: BE, EF, AFxx or CSx", s)
	}
	return dscpClasses[i].value, nil
}

func (m *dscpMatch) Name() string { return "dscp" }

func (m *dscpMatch) Option(o *Opt) (bool, error) {
	if m.set {
		return true, together("--dscp", "--dscp-class")
	}
	m.set, m.not = true, o.Not
	if o.Name == "--dscp-class" {
		v, err := argDSCPClass(o)
		m.value = v
		return true, err
	}
	n, err := argNumber(o, 0, 63)
	m.value = uint8(n)
	return true, err
}

func (m *dscpMatch) Done(*RuleInfo) (policy.Match, error) {
	if !m.set {
		return nil, missing("--dscp or --dscp-class")
	}
	return m, nil
}

func (m *dscpMatch) Match(p *policy.Packet) bool { return (p.TOS()>>2 == m.value) != m.not }

func (m *dscpMatch) AppendSave(b []byte) []byte {
	return appendHex2(append(appendNot(b, m.not), " --dscp "...), m.value)
}

func (m *dscpMatch) AppendList(b []byte, numeric bool) []byte {
	return appendHex2(appendListNot(append(b, " DSCP match "...), m.not), m.value)
}
