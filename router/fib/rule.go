package fib

import (
	"net/netip"
	"sort"
)

type action uint8

const (
	actTable action = iota
	actUnreachable
	actProhibit
	actBlackhole
)

// rule is one line of "ip rule".
type rule struct {
	pref     uint32
	not      bool
	from, to netip.Prefix // invalid: any
	mark     uint32
	mask     uint32 // 0: any mark
	tos      uint8  // 0: any
	dscp     bool   // tos came as dscp: all six bits count
	iif, oif string // "": any
	table    uint32
	action   action
	suppress int  // routes with a prefix of at most this many bits do not count; -1: all do
	builtin  bool // proto kernel

	iifIndex, oifIndex int  // -1: there is no such interface (yet)
	selects            bool // there is something to compare
}

func (r *rule) resolve(s *state) {
	index := func(name string) int {
		if name == "" {
			return 0
		}
		if d := s.dev(name); d != nil {
			return d.Index
		}
		return -1
	}
	r.iifIndex, r.oifIndex = index(r.iif), index(r.oif)
	r.selects = r.not || r.from.IsValid() || r.to.IsValid() || r.mask != 0 || r.tos != 0 || r.iif != "" || r.oif != ""
}

// matches is fib_rule_match. A packet of the router's own comes in by lo, as Linux has it.
func (r *rule) matches(k *Key) bool { return r.compare(k) != r.not }

func (r *rule) compare(k *Key) bool {
	if r.iifIndex != 0 {
		iif := k.IIF
		if iif == 0 {
			iif = Loopback
		}
		if iif != r.iifIndex {
			return false
		}
	}
	if r.oifIndex != 0 && r.oifIndex != k.OIF {
		return false
	}
	if (k.Mark^r.mark)&r.mask != 0 {
		return false
	}
	if r.tos != 0 {
		tos := k.TOS & 0xfc
		if !k.V6 && !r.dscp {
			tos &= legacyTOS
		}
		if r.tos != tos {
			return false
		}
	}
	// An unknown source is the zero address, which is in no prefix but /0.
	if r.from.IsValid() && r.from.Bits() > 0 && (k.Src.IsZero() || !r.from.Contains(k.src())) {
		return false
	}
	return !r.to.IsValid() || r.to.Bits() == 0 || r.to.Contains(k.dst())
}

// same tells whether the kernel would take o for a duplicate of r (rule_exists).
func (r *rule) same(o *rule) bool {
	return r.pref == o.pref && r.not == o.not && samePrefix(r.from, o.from) && samePrefix(r.to, o.to) && r.mark == o.mark && r.mask == o.mask &&
		r.tos == o.tos && r.dscp == o.dscp && r.iif == o.iif && r.oif == o.oif && r.table == o.table && r.action == o.action && r.suppress == o.suppress
}

// samePrefix takes "all" and 0/0 for the same.
func samePrefix(a, b netip.Prefix) bool {
	any := func(p netip.Prefix) bool { return !p.IsValid() || p.Bits() == 0 }
	return a == b || any(a) && any(b)
}

// insertRule puts r behind those of the same priority.
func insertRule(rules []*rule, r *rule) []*rule {
	i := sort.Search(len(rules), func(i int) bool { return rules[i].pref > r.pref })
	rules = append(rules, nil)
	copy(rules[i+1:], rules[i:])
	rules[i] = r
	return rules
}

// defaultPref is the priority of a rule that was given none: one less than that of the second rule in the list
// (fib_default_rule_pref).
func defaultPref(rules []*rule) uint32 {
	if len(rules) < 2 || rules[1].pref == 0 {
		return 0
	}
	return rules[1].pref - 1
}

// The rules that a fresh namespace has. IPv6 knows no table default.
func bootRules(v6 bool) []*rule {
	rs := []*rule{
		{pref: 0, table: TableLocal, suppress: -1, builtin: true},
		{pref: 32766, table: TableMain, suppress: -1, builtin: true},
	}
	if !v6 {
		rs = append(rs, &rule{pref: 32767, table: TableDefault, suppress: -1, builtin: true})
	}
	return rs
}

// inForce are the rules that look-ups go by. Linux takes its short cut through local and main until the first IPv6 rule
// was added, even if one of the original rules was deleted; for IPv4 a deletion ends the short cut, too.
func (s *state) inForce(f int) []*rule {
	if s.touched[f] {
		return s.rules[f]
	}
	return bootRules(f == 1)
}
