package xt

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

// addrtype is -m addrtype (xt_addrtype.c): how the FIB classes the addresses of the packet.
type addrtype struct {
	fam            policy.Family
	src, dst       addrTypes
	ifIn, ifOut    bool // --limit-iface-in, -out: ask about this interface only
	notSrc, notDst bool
}

// addrTypes is a set of policy.AddrType, bit 1<<type; 0 is not asked.
type addrTypes uint16

func (s addrTypes) has(t policy.AddrType) bool { return s&(1<<t) != 0 }

// addrTypeNames are the names of the types by number.
var addrTypeNames = []string{
	policy.AddrUnspec: "UNSPEC", policy.AddrUnicast: "UNICAST", policy.AddrLocal: "LOCAL",
	policy.AddrBroadcast: "BROADCAST", policy.AddrAnycast: "ANYCAST", policy.AddrMulticast: "MULTICAST",
	policy.AddrBlackhole: "BLACKHOLE", policy.AddrUnreachable: "UNREACHABLE", policy.AddrProhibit: "PROHIBIT",
	policy.AddrThrow: "THROW", policy.AddrNAT: "NAT", policy.AddrXResolve: "XRESOLVE",
}

func (m *addrtype) Name() string { return "addrtype" }

func (m *addrtype) Option(o *Opt) (ok bool, err error) {
	switch o.Name {
	case "--src-type":
		m.notSrc = o.Not
		m.src, err = argAddrTypes(o)
	case "--dst-type":
		m.notDst = o.Not
		m.dst, err = argAddrTypes(o)
	case "--limit-iface-in":
		m.ifIn, err = true, o.NoNot()
	case "--limit-iface-out":
		m.ifOut, err = true, o.NoNot()
	default:
		return false, nil
	}
	return true, err
}

func argAddrTypes(o *Opt) (set addrTypes, err error) {
	list, err := o.Arg()
	if err != nil {
		return 0, err
	}
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(addrTypeNames, func(n string) bool { return strings.HasPrefix(n, strings.ToUpper(name)) })
		if i < 0 || name == "" {
			return 0, fmt.Errorf("unknown type of address %q: %s", name, strings.Join(addrTypeNames, ", "))
		}
		set |= 1 << i
	}
	return set, nil
}

func (m *addrtype) Done(r *RuleInfo) (policy.Match, error) {
	m.fam = r.Family
	switch {
	case m.ifIn && m.ifOut:
		return nil, together("--limit-iface-in", "--limit-iface-out")
	case m.src|m.dst == 0:
		return nil, errors.New("--src-type or --dst-type must be given")
	}
	if r.Family == policy.V6 {
		for t := policy.AddrBlackhole; t <= policy.AddrXResolve; t++ {
			if t != policy.AddrUnreachable && (m.src | m.dst).has(t) {
				return nil, fmt.Errorf("IPv6 has no type %s", addrTypeNames[t])
			}
		}
		if (m.src | m.dst).has(policy.AddrBroadcast) {
			return nil, errors.New("IPv6 has no broadcast")
		}
	}
	return m, nil
}

func (m *addrtype) CheckHooks(_ policy.TableID, hooks HookMask) error {
	if m.ifOut && (hooks.Has(policy.PreRouting) || hooks.Has(policy.Input)) {
		return errors.New("--limit-iface-out: packets have no egress interface in PREROUTING and INPUT")
	}
	if m.ifIn && (hooks.Has(policy.PostRouting) || hooks.Has(policy.Output)) {
		return errors.New("--limit-iface-in: packets have no ingress interface in POSTROUTING and OUTPUT")
	}
	return nil
}

func (m *addrtype) Match(p *policy.Packet) bool {
	var dev *policy.Dev
	switch {
	case m.ifIn:
		dev = p.In
	case m.ifOut:
		dev = p.Out
	}
	if m.src != 0 && m.fits(p, p.Src(), dev, m.src) == m.notSrc {
		return false
	}
	return m.dst == 0 || m.fits(p, p.Dst(), dev, m.dst) != m.notDst
}

func (m *addrtype) fits(p *policy.Packet, a packet.Addr, dev *policy.Dev, set addrTypes) bool {
	if p.V6 {
		return fits6(p, a, dev, set)
	}
	return set.has(p.W.Env.AddrType(false, a, dev))
}

// fits6 follows the kernel: for IPv6 the types are not exclusive. MULTICAST, UNICAST and UNSPEC are read off the
// address and all of them that are asked for must hold; of those that need the FIB one must.
func fits6(p *policy.Packet, a packet.Addr, dev *policy.Dev, set addrTypes) bool {
	multicast := a[0] == 0xff
	unspec := a.IsZero()
	if set.has(policy.AddrMulticast) && !multicast ||
		set.has(policy.AddrUnicast) && (multicast || unspec || a.Is4()) ||
		set.has(policy.AddrUnspec) && !unspec {
		return false
	}
	const fromFIB = 1<<policy.AddrLocal | 1<<policy.AddrAnycast | 1<<policy.AddrUnreachable
	if set&fromFIB == 0 {
		return true
	}
	t := p.W.Env.AddrType(true, a, dev)
	switch t {
	case policy.AddrBlackhole, policy.AddrProhibit, policy.AddrThrow:
		t = policy.AddrUnreachable
	}
	return (set & fromFIB).has(t)
}

func (m *addrtype) AppendSave(b []byte) []byte {
	if m.src != 0 {
		b = appendAddrTypes(append(appendNot(b, m.notSrc), " --src-type "...), m.src)
	}
	if m.dst != 0 {
		b = appendAddrTypes(append(appendNot(b, m.notDst), " --dst-type "...), m.dst)
	}
	if m.ifIn {
		b = append(b, " --limit-iface-in"...)
	}
	if m.ifOut {
		b = append(b, " --limit-iface-out"...)
	}
	return b
}

func appendAddrTypes(b []byte, set addrTypes) []byte {
	sep := ""
	for i, name := range addrTypeNames {
		if set&(1<<i) != 0 {
			b = append(append(b, sep...), name...)
			sep = ","
		}
	}
	return b
}

func (m *addrtype) AppendList(b []byte, numeric bool) []byte {
	b = append(b, " ADDRTYPE match"...)
	part := func(word string, not bool, set addrTypes) {
		if set == 0 {
			return
		}
		b = append(b, word...)
		if not {
			b = append(b, '!')
		}
		b = appendAddrTypes(b, set)
	}
	part(" src-type ", m.notSrc, m.src)
	part(" dst-type ", m.notDst, m.dst)
	if m.ifIn {
		b = append(b, " limit-in"...)
	}
	if m.ifOut {
		b = append(b, " limit-out"...)
	}
	return b
}
