package xt

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moat-router/moat/policy"
)

// pkttype is -m pkttype (xt_pkttype.c): the class of the link layer destination. Packets come without a link layer
// here, as from a TUN, and count as unicast.
type pkttype struct {
	kind     int // index into pktTypes
	set, not bool
}

type pktType struct{ name, alias string }

var pktTypes = []pktType{
	{"unicast", "host"}, {"broadcast", "bcast"}, {"multicast", "mcast"}, {"otherhost", "otherhost"},
}

func (m *pkttype) Name() string { return "pkttype" }

func (m *pkttype) Option(o *Opt) (bool, error) {
	s, err := o.Arg()
	if err != nil {
		return true, err
	}
	m.set, m.not = true, o.Not
	m.kind = slices.IndexFunc(pktTypes, func(t pktType) bool {
		return strings.EqualFold(t.name, s) || strings.EqualFold(t.alias, s)
	})
	if m.kind < 0 {
		return true, fmt.Errorf("unknown type of packet %q: unicast, broadcast or multicast", s)
	}
	return true, nil
}

func (m *pkttype) Done(*RuleInfo) (policy.Match, error) {
	if !m.set {
		return nil, missing("--pkt-type")
	}
	return m, nil
}

func (m *pkttype) Match(*policy.Packet) bool { return (m.kind == 0) != m.not }

func (m *pkttype) AppendSave(b []byte) []byte {
	return append(append(appendNot(b, m.not), " --pkt-type "...), pktTypes[m.kind].name...)
}

func (m *pkttype) AppendList(b []byte, numeric bool) []byte {
	word := " PKTTYPE = "
	if m.not {
		word = " PKTTYPE != "
	}
	return append(append(b, word...), pktTypes[m.kind].name...)
}
