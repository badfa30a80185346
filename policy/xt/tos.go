package xt

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moat-router/moat/policy"
)

// tosMatch is -m tos (xt_dscp.c): type of service or traffic class under a mask.
type tosMatch struct {
	value, mask uint8
	set, not    bool
}

type tosName struct {
	name  string
	value uint8
}

// tosNames are the old words of RFC 1349; their mask is 0x3f.
var tosNames = []tosName{
	{"Minimize-Delay", 0x10}, {"Maximize-Throughput", 0x08}, {"Maximize-Reliability", 0x04}, {"Minimize-Cost", 0x02},
	{"Normal-Service", 0x00},
}

// argTOS takes the next word as value[/mask] or one of the names; without a mask it is 0xff.
func argTOS(o *Opt) (value, mask uint8, err error) {
	s, err := o.Arg()
	if err != nil {
		return 0, 0, err
	}
	i := slices.IndexFunc(tosNames, func(n tosName) bool { return strings.EqualFold(n.name, s) })
	if i >= 0 {
		return tosNames[i].value, 0x3f, nil
	}
	a, b, hasMask := strings.Cut(s, "/")
	v, ok := ParseUint(a, 0, 255)
	k := uint64(255)
	if ok && hasMask {
		k, ok = ParseUint(b, 0, 255)
	}
	if !ok {
		return 0, 0, fmt.Errorf("bad value %q for %s: value[/mask] of 8 bits or a name such as Minimize-Delay is wanted", s, o.Name)
	}
	return uint8(v), uint8(k), nil
}

func (m *tosMatch) Name() string { return "tos" }

func (m *tosMatch) Option(o *Opt) (ok bool, err error) {
	m.set, m.not = true, o.Not
	m.value, m.mask, err = argTOS(o)
	return true, err
}

func (m *tosMatch) Done(*RuleInfo) (policy.Match, error) {
	if !m.set {
		return nil, missing("--tos")
	}
	return m, nil
}

func (m *tosMatch) Match(p *policy.Packet) bool { return (p.TOS()&m.mask == m.value) != m.not }

func (m *tosMatch) AppendSave(b []byte) []byte {
	return fmt.Appendf(appendNot(b, m.not), " --tos 0x%02x/0x%02x", m.value, m.mask)
}

func (m *tosMatch) AppendList(b []byte, numeric bool) []byte {
	b = appendListNot(append(b, " tos match"...), m.not)
	if name := tosNameOf(m.value, m.mask); name != "" && !numeric {
		return append(append(b, ' '), name...)
	}
	return fmt.Appendf(b, "0x%02x/0x%02x", m.value, m.mask)
}

// tosNameOf is the name of a value under the mask that names imply, or "".
func tosNameOf(value, mask uint8) string {
	i := slices.IndexFunc(tosNames, func(n tosName) bool { return n.value == value })
	if i < 0 || mask != 0x3f {
		return ""
	}
	return tosNames[i].name
}
