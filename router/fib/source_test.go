package fib

import (
	"testing"

	"github.com/moat-router/moat/stack/packet"
)

// TestIPv4SourceIsChosenAsByLinux walks through inet_select_addr.
func TestIPv4SourceIsChosenAsByLinux(t *testing.T) {
	t.Parallel()
	f := gateway(t,
		"ip addr add 10.0.0.1/30 dev wan; ip addr add 203.0.113.5/24 dev wan; ip addr add 10.7.0.1/24 dev wan scope link",
		"ip addr flush dev alt; ip addr add 10.8.0.1/24 dev alt scope link",
	).Build()
	for _, c := range []struct {
		claim string
		dev   int
		dst   string
		scope Scope
		want  string
	}{
		{"the first primary without a wish", wan, "", ScopeUniverse, "10.0.0.2"},
		{"the address in the next hop's subnet", wan, "203.0.113.1", ScopeUniverse, "203.0.113.5"},
		{"never a secondary", wan, "10.0.0.1", ScopeUniverse, "10.0.0.2"},
		{"no subnet fits: the first", wan, "9.9.9.9", ScopeUniverse, "10.0.0.2"},
		{"link scope is too near for the world, not for a neighbour", wan, "10.7.0.9", ScopeUniverse, "10.0.0.2"},
		{"link scope for a neighbour", wan, "10.7.0.9", ScopeLink, "10.7.0.1"},
		{"an interface without a suitable one borrows", alt, "", ScopeUniverse, "10.0.0.2"},
		{"its own for a neighbour", alt, "", ScopeLink, "10.8.0.1"},
		{"an unknown interface borrows", 99, "", ScopeUniverse, "10.0.0.2"},
	} {
		if got := f.SelectAddr(false, c.dev, addr(c.dst), c.scope); got != addr(c.want) {
			t.Errorf("%s: %v, want %s", c.claim, got, c.want)
		}
	}
	if a, ok := f.MasqueradeAddr(false, wan, addr("203.0.113.1"), addr("8.8.8.8")); !ok || a != addr("203.0.113.5") {
		t.Errorf("MASQUERADE by the gateway: %v", a)
	}
	if a := NewBuilder().Build().SelectAddr(false, Loopback, packet.Addr{}, ScopeUniverse); !a.IsZero() {
		t.Errorf("127.0.0.1 has scope host and cannot speak to the world: %v", a)
	}
}

// TestIPv6SourceFollowsRFC6724 has examples in the manner of section 10.1.
func TestIPv6SourceFollowsRFC6724(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ claim, setup, dst, want string }{
		{"rule 1: the same address", "ip addr add 2001:db8:1::1/64 dev wan; ip addr add 2001:db8:2::1/64 dev lan", "2001:db8:2::1", "2001:db8:2::1"},
		{"rule 2: a scope that reaches", "ip addr add fe80::1/64 dev wan; ip addr add 2001:db8:2::1/64 dev lan", "2001:db8:3::1", "2001:db8:2::1"},
		{"rule 2: not farther than needed", "ip addr add 2001:db8:1::1/64 dev wan; ip addr add fe80::1/64 dev wan", "fe80::9", "fe80::1"},
		{"rule 5: the outgoing interface", "ip addr add 2001:db8:3::1/64 dev lan; ip addr add 2001:db8:1::1/64 dev wan", "2001:db8:3::9", "2001:db8:1::1"},
		{"rule 6: the label (unique local to unique local)", "ip addr add 2001:db8:1::1/64 dev wan; ip addr add fd00:9::1/64 dev wan", "fd00:5::1", "fd00:9::1"},
		{"rule 6: the label (6to4)", "ip addr add 2001:db8:1::1/64 dev wan; ip addr add 2002:c633:6401::1/64 dev wan", "2002:c000:204::1", "2002:c633:6401::1"},
		{"rule 8: the longest common prefix", "ip addr add 2001:db8:1::1/64 dev wan; ip addr add 2001:db8:8::1/64 dev wan", "2001:db8:9::1", "2001:db8:8::1"},
		{"rule 8 ends at the prefix length", "ip addr add 2001:db8::1:1/64 dev wan; ip addr add 2001:db8::2:2/64 dev wan", "2001:db8::1:9", "2001:db8::2:2"},
		{"a link-local destination is spoken to from its link", "ip addr add fe80::2/64 dev lan; ip addr add 2001:db8:1::1/64 dev wan", "fe80::9", "2001:db8:1::1"},
	} {
		b := NewBuilder()
		for _, n := range []string{"wan", "lan"} {
			if _, err := b.AddLink(n, 1500); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Command(c.setup); err != nil {
			t.Fatal(err)
		}
		if got := b.Build().SelectAddr(true, wan, addr(c.dst), ScopeUniverse); got != addr(c.want) {
			t.Errorf("%s: %v, want %s", c.claim, got, c.want)
		}
	}
}

func TestRedirectGoesToTheFirstAddressOfTheIngress(t *testing.T) {
	t.Parallel()
	f := gateway(t, "ip addr add 192.168.5.1/24 dev lan; ip addr add fd00:5::1/64 dev lan; ip addr add fe80::1/64 dev lan").Build()
	for _, c := range []struct {
		v6   bool
		dev  int
		dst  string
		want string
	}{
		{false, lan, "8.8.8.8", "192.168.1.1"},
		{true, lan, "2001:db8::1", "fd00:5::1"}, // the newest stands first
		{true, lan, "fe80::9", "fe80::1"},
		{false, 0, "8.8.8.8", "127.0.0.1"},
		{true, 0, "2001:db8::1", "::1"},
	} {
		if a, ok := f.RedirectAddr(c.v6, c.dev, addr(c.dst)); !ok || a != addr(c.want) {
			t.Errorf("%+v: %v", c, a)
		}
	}
	if a, ok := f.RedirectAddr(true, alt, addr("2001:db8::1")); ok {
		t.Errorf("alt has no IPv6 address, and gave %v", a)
	}
}

func TestAddrTypeIsThatOfTheAddrtypeMatch(t *testing.T) {
	t.Parallel()
	f := gateway(t, "ip route del default; ip -6 route del default; ip -6 route add unreachable fd77::/64").Build()
	for _, c := range []struct {
		addr string
		dev  int
		want Type
	}{
		{"192.168.1.1", 0, Local}, {"192.168.1.1", lan, Local}, {"192.168.1.1", wan, Unicast}, {"127.3.2.1", 0, Local},
		{"192.168.1.255", 0, Broadcast}, {"192.168.1.255", lan, Broadcast}, {"192.168.1.255", wan, Unicast}, {"192.168.1.0", 0, Unicast},
		{"255.255.255.255", 0, Broadcast}, {"0.0.0.0", 0, Broadcast}, {"0.1.2.3", 0, Unicast}, {"224.0.0.1", 0, Multicast}, {"239.255.1.1", wan, Multicast},
		{"8.8.8.8", 0, Unicast}, // no route is not asked for: only the table local is
		{"fd00:1::1", 0, Local}, {"fd00:1::1", lan, Local}, {"fd00:1::", 0, Anycast}, {"fd00:1::9", 0, Unicast}, {"::1", 0, Local},
		{"ff02::1", 0, Multicast}, {"fd77::1", 0, Unreachable}, {"2001:db8::1", 0, Unreachable}, {"::", 0, Unreachable},
		{"fd00:1::", lan, Anycast}, {"fd00:1::", wan, Unreachable}, {"fd00:1::1", wan, Unreachable},
	} {
		k := key(c.addr)
		if got := f.AddrType(k.V6, k.Dst, c.dev); got != c.want {
			t.Errorf("%s on %d: %v, want %v", c.addr, c.dev, got, c.want)
		}
	}
}

// TestReversePath is the rpfilter match (ipt_rpfilter, ip6t_rpfilter), which differs from rp_filter: it knows IPv6, takes
// no route for a failure also when loose, and forgives hosts that have no address yet.
func TestReversePath(t *testing.T) {
	t.Parallel()
	f := gateway(t, "ip rule add fwmark 1 table 100; ip route add default dev alt table 100; ip route add unreachable 172.16.0.0/12",
		"ip -6 route add unreachable fd77::/64; ip -6 route add fd00:1::/64 dev alt metric 5000").Build()
	for _, c := range []struct {
		claim    string
		src, dst string
		iif      int
		mark     uint32
		how      Reverse
		want     bool
	}{
		{"from its network", "192.168.1.9", "8.8.8.8", lan, 0, Reverse{}, true},
		{"spoofed", "192.168.1.9", "8.8.8.8", wan, 0, Reverse{}, false},
		{"spoofed, loose", "192.168.1.9", "8.8.8.8", wan, 0, Reverse{Loose: true}, true},
		{"the world by the default route", "8.8.8.8", "192.168.1.9", wan, 0, Reverse{}, true},
		{"the world by another interface", "8.8.8.8", "192.168.1.9", alt, 0, Reverse{}, false},
		{"the mark does not count", "8.8.8.8", "192.168.1.9", alt, 1, Reverse{}, false},
		{"the mark counts with --validmark", "8.8.8.8", "192.168.1.9", alt, 1, Reverse{ValidMark: true}, true},
		{"unreachable, loose", "172.16.0.1", "192.168.1.9", wan, 0, Reverse{Loose: true}, false},
		{"our own address", "192.168.1.1", "192.168.1.9", lan, 0, Reverse{}, false},
		{"our own address with --accept-local", "192.168.1.1", "192.168.1.9", lan, 0, Reverse{AcceptLocal: true}, true},
		{"a host without an address", "0.0.0.0", "255.255.255.255", lan, 0, Reverse{}, true},
		{"a host without an address to one", "0.0.0.0", "192.168.1.1", lan, 0, Reverse{}, false},
		{"loopback", "127.0.0.1", "127.0.0.1", Loopback, 0, Reverse{}, true},
		{"IPv6 from its network", "fd00:1::9", "2001:db8::1", lan, 0, Reverse{}, true},
		{"IPv6 by a route of higher metric", "fd00:1::9", "2001:db8::1", alt, 0, Reverse{}, true},
		{"IPv6 spoofed", "fd00:1::9", "2001:db8::1", wan, 0, Reverse{}, false},
		{"IPv6 spoofed, loose", "fd00:1::9", "2001:db8::1", wan, 0, Reverse{Loose: true}, true},
		{"IPv6 unreachable, loose", "fd77::1", "2001:db8::1", wan, 0, Reverse{Loose: true}, false},
		{"IPv6 of our own", "fd00:1::1", "2001:db8::1", lan, 0, Reverse{}, false},
		{"IPv6 of our own with --accept-local", "fd00:1::1", "2001:db8::1", lan, 0, Reverse{AcceptLocal: true}, true},
		{"IPv6 of our own by another interface with --accept-local", "fd00:1::1", "2001:db8::1", wan, 0, Reverse{AcceptLocal: true}, true},
		{"IPv6 without an address", "::", "ff02::1:ff00:1", lan, 0, Reverse{}, true},
	} {
		k := Key{V6: key(c.src).V6, Src: addr(c.src), Dst: addr(c.dst), IIF: c.iif, Mark: c.mark}
		if got := f.ReversePath(k, c.how); got != c.want {
			t.Errorf("%s: %v", c.claim, got)
		}
	}
}

func TestSolicitedNodeAddress(t *testing.T) {
	t.Parallel()
	f := gateway(t).Build()
	for a, want := range map[string]bool{"ff02::1:ff00:1": true, "ff02::1:ff00:2": false, "ff02::1": false, "ff05::1:ff00:1": false} {
		if f.OwnsSolicited(lan, addr(a)) != want {
			t.Errorf("%s: not %v", a, want)
		}
	}
}
