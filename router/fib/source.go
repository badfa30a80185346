package fib

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"github.com/moat-router/moat/stack/packet"
)

// SelectAddr chooses which of our addresses to speak from when a datagram leaves by dev towards dst.
//
// IPv4 (inet_select_addr): the primary address of dev whose subnet holds dst, else dev's first of a scope not nearer
// than scope, else the first suitable of any interface. dst is the next hop, or zero for no preference; scope is
// ScopeUniverse for MASQUERADE, ScopeLink for ICMP errors by the inbound interface.
//
// IPv6 (ipv6_dev_get_saddr; RFC 6724 5, rules 1, 2, 5, 6, 8): the best of all interfaces; scope is not used.
//
// The zero Addr comes back if there is none.
func (f *FIB) SelectAddr(v6 bool, dev int, dst packet.Addr, scope Scope) packet.Addr {
	if v6 {
		return f.selectAddr6(dev, dst)
	}
	localnet := ScopeHost
	if f.opt.RouteLocalnet {
		localnet = ScopeLink
	}
	return selectAddr4(f.Dev, len(f.devs), localnet, dev, dst, scope)
}

// MasqueradeAddr is the source that MASQUERADE takes for a packet to dst that leaves by dev through gateway (zero: dst
// is on link).
func (f *FIB) MasqueradeAddr(v6 bool, dev int, gateway, dst packet.Addr) (packet.Addr, bool) {
	if !v6 && !gateway.IsZero() {
		dst = gateway
	}
	a := f.SelectAddr(v6, dev, dst, ScopeUniverse)
	return a, !a.IsZero()
}

// RedirectAddr is the address that REDIRECT sends to: at PREROUTING the first of the ingress interface (IPv6: the first of
// dst's scope), for dev 0, the router's own packets, loopback (nf_nat_redirect_ipv4, nf_nat_redirect_ipv6).
func (f *FIB) RedirectAddr(v6 bool, dev int, dst packet.Addr) (packet.Addr, bool) {
	if dev == 0 {
		if v6 {
			return loopback6, true
		}
		return packet.Addr{10: 0xff, 11: 0xff, 12: 127, 15: 1}, true
	}
	d := f.Dev(dev)
	if d == nil {
		return packet.Addr{}, false
	}
	for i := range d.Addrs[fam(v6)] {
		a := &d.Addrs[fam(v6)][i]
		if !v6 || dst.IsZero() || scope6(a.Local) == scope6(dst) {
			return a.Local, true
		}
	}
	return packet.Addr{}, false
}

func (s *state) selectAddr4(dev int, dst packet.Addr, scope Scope) packet.Addr {
	localnet := ScopeHost
	if s.opt.RouteLocalnet {
		localnet = ScopeLink
	}
	at := func(i int) *Dev {
		if d := s.devAt(i); d != nil {
			return &d.Dev
		}
		return nil
	}
	return selectAddr4(at, s.devs[len(s.devs)-1].Index+1, localnet, dev, dst, scope)
}

// selectAddr4 is inet_select_addr over interfaces 1 to n-1.
func selectAddr4(at func(int) *Dev, n int, localnet Scope, dev int, dst packet.Addr, scope Scope) packet.Addr {
	var first packet.Addr
	if d := at(dev); d != nil {
		for i := range d.Addrs[0] {
			a := &d.Addrs[0][i]
			if a.Secondary || min(a.Scope, localnet) > scope {
				continue
			}
			if dst.IsZero() || a.covers(dst) {
				return a.Local
			}
			if first.IsZero() {
				first = a.Local
			}
		}
	}
	if !first.IsZero() {
		return first
	}
	for i := 1; i < n; i++ {
		d := at(i)
		if d == nil {
			continue
		}
		for j := range d.Addrs[0] {
			a := &d.Addrs[0][j]
			if !a.Secondary && a.Scope != ScopeLink && a.Scope <= scope {
				return a.Local
			}
		}
	}
	return packet.Addr{}
}

// covers tells whether dst lies in the IPv4 address's subnet.
func (a *Address) covers(dst packet.Addr) bool {
	x := binary.BigEndian.Uint32(a.Peer[12:]) ^ binary.BigEndian.Uint32(dst[12:])
	return bits.LeadingZeros32(x) >= a.Bits
}

// score is how well a candidate does at each rule of RFC 6724 section 5 that addresses alone decide, in order.
type score struct {
	same  bool
	scope int
	oif   bool
	label bool
	match int
}

// better compares rule by rule; rule 2 is "the smallest scope that reaches".
func (s score) better(o score) bool {
	switch {
	case s.same != o.same:
		return s.same
	case s.scope != o.scope:
		return s.scope > o.scope
	case s.oif != o.oif:
		return s.oif
	case s.label != o.label:
		return s.label
	}
	return s.match > o.match
}

func (f *FIB) selectAddr6(dev int, dst packet.Addr) (best packet.Addr) {
	var bestScore score
	want, wantLabel := scope6(dst), label6(dst)
	onLink := linkBound(dst) && dst != loopback6 && want <= scopeLink6
	for i := 1; i < len(f.devs); i++ {
		if onLink && dev != 0 && i != dev {
			continue // a link-local destination is spoken to from its link
		}
		for j := range f.devs[i].Addrs[1] {
			a := &f.devs[i].Addrs[1][j]
			s := score{same: a.Local == dst, oif: i == dev, label: label6(a.Local) == wantLabel}
			// Reaching wins over not reaching; among those that reach the smaller scope, else the larger.
			if sc := scope6(a.Local); sc >= want {
				s.scope = 100 - sc
			} else {
				s.scope = sc - 100
			}
			s.match = min(commonBits(a.Local, dst), a.Bits)
			if best.IsZero() || s.better(bestScore) {
				best, bestScore = a.Local, s
			}
		}
	}
	return best
}

const scopeLink6 = 2

// scope6 is the scope of an IPv6 address as a multicast scope number (RFC 4291 2.7): 1 loopback, 2 link, 5 site, 14 global.
// RFC 6724 3.1 gives loopback link scope; Linux does so for sources (ipv6_addr_src_scope).
func scope6(a packet.Addr) int {
	switch {
	case a[0] == 0xff:
		return int(a[1] & 0xf)
	case a == loopback6, a[0] == 0xfe && a[1]&0xc0 == 0x80:
		return scopeLink6
	case a[0] == 0xfe && a[1]&0xc0 == 0xc0:
		return 5
	}
	return 14
}

// labels6 is the default policy table (RFC 6724 2.1 and Linux' additions), longest prefix first.
var labels6 = []struct {
	prefix netip.Prefix
	label  int
}{
	{netip.MustParsePrefix("::1/128"), 0},
	{netip.MustParsePrefix("::ffff:0:0/96"), 4},
	{netip.MustParsePrefix("::/96"), 3},
	{netip.MustParsePrefix("2001::/32"), 6},
	{netip.MustParsePrefix("2001:10::/28"), 7},
	{netip.MustParsePrefix("3ffe::/16"), 12},
	{netip.MustParsePrefix("2002::/16"), 2},
	{netip.MustParsePrefix("fec0::/10"), 11},
	{netip.MustParsePrefix("fc00::/7"), 5},
}

func label6(a packet.Addr) int {
	ip := netip.AddrFrom16(a)
	for i := range labels6 {
		if labels6[i].prefix.Contains(ip) {
			return labels6[i].label
		}
	}
	return 1
}

// commonBits is the length of the common prefix.
func commonBits(a, b packet.Addr) int {
	if x := binary.BigEndian.Uint64(a[:8]) ^ binary.BigEndian.Uint64(b[:8]); x != 0 {
		return bits.LeadingZeros64(x)
	}
	return 64 + bits.LeadingZeros64(binary.BigEndian.Uint64(a[8:])^binary.BigEndian.Uint64(b[8:]))
}

// OwnsSolicited tells whether a is the solicited-node multicast address (RFC 4291 2.7.1) of an address of interface dev.
func (f *FIB) OwnsSolicited(dev int, a packet.Addr) bool {
	d := f.Dev(dev)
	if d == nil || [13]byte(a[:13]) != solicited {
		return false
	}
	for i := range d.Addrs[1] {
		if o := &d.Addrs[1][i].Local; [3]byte(o[13:]) == [3]byte(a[13:]) {
			return true
		}
	}
	return false
}

// solicited is ff02::1:ff00:0/104.
var solicited = [13]byte{0xff, 2, 11: 1, 12: 0xff}
