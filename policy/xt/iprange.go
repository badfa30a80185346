package xt

import (
	"bytes"
	"errors"
	"strings"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

// iprange is -m iprange (xt_iprange.c): ranges of addresses that need be no prefix. A range that ends before it
// begins matches nothing.
type iprange struct {
	fam      policy.Family
	src, dst iprangeEnds
}

type iprangeEnds struct {
	text     string
	lo, hi   packet.Addr
	set, not bool
}

func (m *iprange) Name() string { return "iprange" }

func (m *iprange) Option(o *Opt) (ok bool, err error) {
	r := &m.src
	if o.Name == "--dst-range" {
		r = &m.dst
	}
	r.set, r.not = true, o.Not
	r.text, err = o.Arg()
	return true, err
}

func (m *iprange) Done(r *RuleInfo) (policy.Match, error) {
	m.fam = r.Family
	if !m.src.set && !m.dst.set {
		return nil, errors.New("--src-range or --dst-range must be given")
	}
	if err := m.src.parse(m.fam); err != nil {
		return nil, err
	}
	return m, m.dst.parse(m.fam)
}

// parse reads "addr-addr" or one address.
func (r *iprangeEnds) parse(fam policy.Family) error {
	if !r.set {
		return nil
	}
	lo, hi, isRange := strings.Cut(r.text, "-")
	if !isRange {
		hi = lo
	}
	var ok bool
	if r.lo, ok = ParseAddr(fam, lo); !ok {
		return addrError(fam, lo)
	}
	if r.hi, ok = ParseAddr(fam, hi); !ok {
		return addrError(fam, hi)
	}
	return nil
}

func (r *iprangeEnds) has(a packet.Addr) bool {
	if !r.set {
		return true
	}
	return (bytes.Compare(a[:], r.lo[:]) >= 0 && bytes.Compare(a[:], r.hi[:]) <= 0) != r.not
}

func (m *iprange) Match(p *policy.Packet) bool { return m.src.has(p.Src()) && m.dst.has(p.Dst()) }

func (m *iprange) AppendSave(b []byte) []byte {
	if m.src.set {
		b = m.src.appendTo(append(appendNot(b, m.src.not), " --src-range "...), m.fam)
	}
	if m.dst.set {
		b = m.dst.appendTo(append(appendNot(b, m.dst.not), " --dst-range "...), m.fam)
	}
	return b
}

func (r *iprangeEnds) appendTo(b []byte, fam policy.Family) []byte {
	return AppendAddr(append(AppendAddr(b, fam, r.lo), '-'), fam, r.hi)
}

func (m *iprange) AppendList(b []byte, numeric bool) []byte {
	if m.src.set {
		b = m.src.appendTo(append(appendNot(append(b, " source IP range"...), m.src.not), ' '), m.fam)
	}
	if m.dst.set {
		b = m.dst.appendTo(append(appendNot(append(b, " destination IP range"...), m.dst.not), ' '), m.fam)
	}
	return b
}
