package fib

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/moat-router/moat/stack/packet"
)

func addr(s string) packet.Addr {
	if s == "" {
		return packet.Addr{}
	}
	return packet.AddrFrom(netip.MustParseAddr(s))
}

// gateway is the router of the package's worked example, with both families.
func gateway(t testing.TB, more ...string) *Builder {
	t.Helper()
	b := NewBuilder()
	for _, n := range []string{"wan", "lan", "alt"} {
		if _, err := b.AddLink(n, 1500); err != nil {
			t.Fatal(err)
		}
	}
	lines := append([]string{
		"ip addr add 10.0.0.2/30 dev wan; ip addr add fd00:f::2/64 dev wan nodad",
		"ip addr add 192.168.1.1/24 dev lan && ip addr add fd00:1::1/64 dev lan nodad",
		"ip addr add 10.9.0.2/30 dev alt",
		"ip route add default via 10.0.0.1; ip route add default via fd00:f::1 dev wan",
	}, more...)
	for _, l := range lines {
		if err := b.Command(l); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func key(dst string) Key { return Key{V6: strings.Contains(dst, ":"), Dst: addr(dst)} }

const wan, lan, alt = 2, 3, 4

func TestLookup(t *testing.T) {
	t.Parallel()
	f := gateway(t,
		"ip route add unreachable 172.16.0.0/24; ip route add prohibit 172.16.1.0/24; ip route add blackhole 172.16.2.0/24",
		"ip route add unreachable fd77::/64; ip route add 8.8.8.0/24 via 10.9.0.1 mtu 1400 src 192.168.1.1",
		"ip route add 8.8.0.0/16 dev alt metric 5; ip route add 8.8.0.0/16 dev lan metric 3",
		"ip rule add fwmark 1 table 100; ip route add default via 10.9.0.1 dev alt table 100",
	).Build()
	for _, c := range []struct {
		name string
		key  Key
		want Result
	}{
		{"default", key("1.1.1.1"), Result{Type: Unicast, Dev: wan, Gateway: addr("10.0.0.1"), PrefSrc: addr("10.0.0.2"), Table: TableMain}},
		{"connected", key("192.168.1.77"), Result{Type: Unicast, Dev: lan, PrefSrc: addr("192.168.1.1"), Table: TableMain}},
		{"own", key("192.168.1.1"), Result{Type: Local, Dev: lan, PrefSrc: addr("192.168.1.1"), Table: TableLocal}},
		{"directed broadcast", key("192.168.1.255"), Result{Type: Broadcast, Dev: lan, PrefSrc: addr("192.168.1.1"), Table: TableLocal}},
		{"loopback net", key("127.9.9.9"), Result{Type: Local, Dev: Loopback, PrefSrc: addr("127.0.0.1"), Table: TableLocal}},
		{"unreachable", key("172.16.0.9"), Result{Type: Unreachable, Table: TableMain}},
		{"prohibit", key("172.16.1.9"), Result{Type: Prohibit, Table: TableMain}},
		{"blackhole", key("172.16.2.9"), Result{Type: Blackhole, Table: TableMain}},
		{"mtu and src", key("8.8.8.8"), Result{Type: Unicast, Dev: alt, Gateway: addr("10.9.0.1"), PrefSrc: addr("192.168.1.1"), MTU: 1400, Table: TableMain}},
		{"lower metric", key("8.8.9.9"), Result{Type: Unicast, Dev: lan, PrefSrc: addr("192.168.1.1"), Table: TableMain}},
		{"other interface asked for", Key{Dst: addr("8.8.9.9"), OIF: alt}, Result{Type: Unicast, Dev: alt, PrefSrc: addr("10.9.0.2"), Table: TableMain}},
		{"mark", Key{Dst: addr("1.1.1.1"), Mark: 1}, Result{Type: Unicast, Dev: alt, Gateway: addr("10.9.0.1"), PrefSrc: addr("10.9.0.2"), Table: 100}},
		{"v6 default", key("2001:db8::1"), Result{Type: Unicast, Dev: wan, Gateway: addr("fd00:f::1"), PrefSrc: addr("fd00:f::2"), Table: TableMain}},
		{"v6 own", key("fd00:1::1"), Result{Type: Local, Dev: lan, PrefSrc: addr("fd00:1::1"), Table: TableLocal}},
		{"v6 anycast", key("fd00:1::"), Result{Type: Anycast, Dev: lan, PrefSrc: addr("fd00:1::1"), Table: TableLocal}},
		{"v6 unreachable", key("fd77::1"), Result{Type: Unreachable, Dev: Loopback, Table: TableMain}},
		{"v6 multicast by the ingress link", Key{V6: true, Dst: addr("ff02::1"), IIF: lan}, Result{Type: Multicast, Dev: lan, PrefSrc: addr("fd00:1::1"), Table: TableLocal}},
	} {
		if got := f.Lookup(c.key); got != c.want {
			t.Errorf("%s: %+v\nwant %+v", c.name, got, c.want)
		}
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	f := gateway(t).Build()
	ks := []Key{key("1.1.1.1"), key("192.168.1.1"), key("2001:db8::1"), {V6: true, Dst: addr("fd00:1::9"), Src: addr("fd00:f::9"), IIF: wan}}
	if n := testing.AllocsPerRun(100, func() {
		for _, k := range ks {
			f.Lookup(k)
			f.AddrType(k.V6, k.Dst, 0)
			f.Validate(k, 0, Source{RPFilter: 1})
			f.ReversePath(k, Reverse{})
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkLookup(b *testing.B) {
	f := gateway(b).Build()
	for name, k := range map[string]Key{"v4": {Dst: addr("1.1.1.1"), Src: addr("192.168.1.9"), IIF: lan}, "v6": {V6: true, Dst: addr("2001:db8::1"), Src: addr("fd00:1::9"), IIF: lan}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				f.Lookup(k)
			}
		})
	}
}

// BenchmarkLookupFullTable has 100,000 IPv4 routes, a seventh of today's internet.
func BenchmarkLookupFullTable(b *testing.B) {
	builder := gateway(b)
	for i := range 100_000 {
		if err := builder.Route(fmt.Sprintf("%d.%d.%d.0/24 via 10.9.0.1", 20+i>>16, i>>8&255, i&255)); err != nil {
			b.Fatal(err)
		}
	}
	f := builder.Build()
	k := Key{Src: addr("192.168.1.9"), IIF: lan}
	var n uint32
	for b.Loop() {
		n = n*1664525 + 1013904223
		k.Dst = packet.Addr4([]byte{20 + byte(n>>31), byte(n >> 16), byte(n >> 8), 1})
		f.Lookup(k)
	}
}

func BenchmarkBuildFullTable(b *testing.B) {
	builder := gateway(b)
	for i := range 100_000 {
		if err := builder.Route(fmt.Sprintf("%d.%d.%d.0/24 via 10.9.0.1", 20+i>>16, i>>8&255, i&255)); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		builder.Build()
	}
}
