package xt

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

// protoMH is the mobility header's number (RFC 6275).
const protoMH = 135

// mh is -m mh (ip6t_mh.c): the type of a Mobile IPv6 message (RFC 6275 6.1).
type mh struct {
	lo, hi uint8
	not    bool
}

// mhNames are the types by name, the abbreviations of the RFC behind them.
var mhNames = [...][2]string{
	{"binding-refresh-request", "brr"}, {"home-test-init", "hoti"}, {"careof-test-init", "coti"}, {"home-test", "hot"},
	{"careof-test", "cot"}, {"binding-update", "bu"}, {"binding-acknowledgement", "ba"}, {"binding-error", "be"},
}

type mhArgs struct {
	m     mh
	given bool
}

func (a *mhArgs) Option(o *Opt) (bool, error) {
	s, err := o.Arg()
	if err != nil {
		return true, err
	}
	a.given = true
	lo, hi, isRange := strings.Cut(s, ":")
	a.m = mh{0, 255, o.Not}
	if lo != "" || !isRange {
		if a.m.lo, err = parseMHType(lo); err != nil {
			return true, err
		}
		a.m.hi = a.m.lo
	}
	if isRange {
		a.m.hi = 255
		if hi != "" {
			if a.m.hi, err = parseMHType(hi); err != nil {
				return true, err
			}
		}
	}
	if a.m.lo > a.m.hi {
		return true, fmt.Errorf("--mh-type: the range %q is empty", s)
	}
	return true, nil
}

func parseMHType(s string) (uint8, error) {
	if v, ok := ParseUint(s, 0, 255); ok {
		return uint8(v), nil
	}
	for i, n := range mhNames {
		if strings.EqualFold(s, n[0]) || strings.EqualFold(s, n[1]) {
			return uint8(i), nil
		}
	}
	for i, n := range mhNames { // an abbreviation is the first name that it fits
		if s != "" && len(s) <= len(n[0]) && strings.EqualFold(s, n[0][:len(s)]) {
			return uint8(i), nil
		}
	}
	return 0, fmt.Errorf("bad type %q for --mh-type: a number from 0 to 255 or a name such as binding-update is wanted", s)
}

func (a *mhArgs) Done(r *RuleInfo) (policy.Match, error) {
	if r.Head.Proto != protoMH || r.Head.NotProto {
		return nil, fmt.Errorf("mh needs -p mh")
	}
	m := a.m
	if !a.given {
		m = mh{hi: 255}
	}
	return &m, nil
}

func (m *mh) Name() string { return "mh" }

func (m *mh) Match(p *policy.Packet) bool {
	if p.FragOff != 0 {
		return false
	}
	h := p.L4Bytes()
	if len(h) < 6 || h[0] != packet.ProtoNone {
		p.HotDrop = true
		return false
	}
	return (m.lo <= h[2] && h[2] <= m.hi) != m.not
}

func (m *mh) AppendSave(b []byte) []byte {
	if m.lo == 0 && m.hi == 255 {
		return b
	}
	return appendRange(append(appendNot(b, m.not), " --mh-type "...), uint64(m.lo), uint64(m.hi))
}

func (m *mh) AppendList(b []byte, numeric bool) []byte {
	b = append(b, " mh"...)
	if m.lo == 0 && m.hi == 255 {
		return b
	}
	b = appendMHType(appendListNot(append(b, ' '), m.not), m.lo, numeric)
	if m.lo != m.hi {
		b = appendMHType(append(b, ':'), m.hi, numeric)
	}
	return b
}

func appendMHType(b []byte, typ uint8, numeric bool) []byte {
	if !numeric && int(typ) < len(mhNames) {
		return append(b, mhNames[typ][0]...)
	}
	return strconv.AppendUint(b, uint64(typ), 10)
}
