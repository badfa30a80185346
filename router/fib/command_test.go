package fib

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestMistakesOfCommandsAreNamed: a sentence says what is wrong and, where there is one, the way out.
func TestMistakesOfCommandsAreNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ line, want string }{
		{"ip", "the command ends too early"},
		{"ip neigh add 1.2.3.4 dev wan", `"neigh" is not one of route, addr, link, rule`},
		{"iptables -L", `"iptables" is not one of route, addr, link, rule`},
		{"ip -o route add default dev wan", `option "-o" of ip is not supported`},
		{"ip route show", `"route show" asks`},
		{"ip route add", "the route has no destination"},
		{"ip route add 10.0.0.0/33 dev wan", `prefix length "33" of 10.0.0.0 is not in 0-32`},
		{"ip route add 10.0.0.0/255.0.255.0 dev wan", "255.0.255.0 is not a netmask"},
		{"ip route add 10.0.0.1/8 dev wan", "did you mean 10.0.0.0/8?"},
		{"ip route add 10.0.0.0/8", `the route needs "via GATEWAY" or "dev INTERFACE"`},
		{"ip route add 10.0.0.0/8 via fd00:f::1", "fd00:f::1 is of the other family"},
		{"ip -6 route add 10.0.0.0/8 dev wan", "10.0.0.0 is of the other family"},
		{"ip route add 10.0.0.0/8 via inet6 fd00:f::1", "an IPv4 route via an IPv6 gateway is not supported"},
		{"ip route add 10.0.0.0/8 via", `"via" needs a value`},
		{"ip route add 10.0.0.0/8 via 172.20.0.1", "gateway 172.20.0.1 is on no link of this router"},
		{"ip route add unreachable 10.0.0.0/8 dev wan", "a route of type unreachable has neither gateway nor device"},
		{"ip route add 10.0.0.0/8 dev wan src 10.5.5.5", "src 10.5.5.5 is not an address of this router"},
		{"ip route add 10.0.0.0/8 dev wan metric x", `metric "x" is not a number`},
		{"ip route add 10.0.0.0/8 dev wan table 0", `table "0" is neither local, main, default nor a number from 1`},
		{"ip route add 10.0.0.0/8 dev wan tos 3", "the two lowest bits are ECN"},
		{"ip route add 10.0.0.0/8 dev wan nhid 5", `"nhid" is not supported in a route`},
		{"ip route add default dev wan", "there is already a route to default with this metric"},
		{"ip route del 10.77.0.0/16", "there is no such route to 10.77.0.0/16 in table main"},
		{"ip route change 10.77.0.0/16 dev wan", "there is no route to 10.77.0.0/16 to change"},
		{"ip -6 route append default via fd00:f::9", "a second gateway of the same metric"},
		{"ip addr add 10.5.0.1/24", `which interface? write "dev INTERFACE"`},
		{"ip addr add dev wan", "an address is needed"},
		{"ip addr add 10.0.0.2/30 dev wan", "wan has the address 10.0.0.2 already"},
		{"ip addr add 224.0.0.1/24 dev wan", "is a multicast address"},
		{"ip addr del 10.0.0.3/30 dev wan", "wan has no address 10.0.0.3/30"},
		{"ip addr add 10.5.0.1/24 dev wan valid_lft 60", "addresses live until they are deleted"},
		{"ip link add br0 type bridge", "interfaces are made by the router's configuration"},
		{"ip link set wan name foo", `"name" is not supported in link set`},
		{"ip link set wan mtu 10", "mtu 10 is below 68"},
		{"ip rule add from 10.0.0.1/8 table 5", "did you mean 10.0.0.0/8?"},
		{"ip rule add prohibit table 5", "a rule either looks up a table or refuses"},
		{"ip rule add uidrange 0-5 table 5", `"uidrange" is not supported in a rule`},
		{"ip rule del fwmark 9", "there is no such rule"},
		{"ip route add 10.0.0.0/8 dev wan || true", "'|' is the shell's"},
		{"ip route add 'default dev wan", "the quote ' is not closed"},
	} {
		b := gateway(t)
		err := b.Command(c.line)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n got %v\nwant %s", c.line, err, c.want)
		}
	}
}

func TestFailedLineChangesNothing(t *testing.T) {
	t.Parallel()
	b := gateway(t)
	before := dump(t, b)
	b.Changes()
	if err := b.Command("ip addr add 10.5.0.1/24 dev lan; ip rule add fwmark 7 table 7; ip route del default; ip route del 10.77.0.0/16"); err == nil {
		t.Fatal("the last command must fail")
	}
	if after := dump(t, b); !slices.Equal(before, after) {
		t.Errorf("%s\nbecame\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	if c := b.Changes(); c != nil {
		t.Errorf("changes %v", c)
	}
}

// TestFailedCommandChangesNothing: a command on its own has no copy to fall back to, so it must check first.
func TestFailedCommandChangesNothing(t *testing.T) {
	t.Parallel()
	for n := range 40 {
		g := newGenerator(uint64(1000 + n))
		b := NewBuilder()
		for _, l := range links {
			if _, err := b.AddLink(l, 1500); err != nil {
				t.Fatal(err)
			}
		}
		for range 40 {
			c := g.command()
			before := b.Clone()
			if b.Command(c) == nil {
				continue
			}
			if x, y := dump(t, before), dump(t, b); !slices.Equal(x, y) || b.s.touched != before.s.touched || b.s.customLocal != before.s.customLocal {
				t.Fatalf("%s failed, and changed\n%s\nto\n%s", c, strings.Join(x, "\n"), strings.Join(y, "\n"))
			}
		}
	}
}

// dump is everything that there is to see.
func dump(t *testing.T, b *Builder) []string {
	t.Helper()
	f := b.Build()
	out, _ := f.AddrLines("")
	for _, v6 := range []bool{false, true} {
		lines, err := f.RouteLines(v6, "all")
		if err != nil {
			t.Fatal(err)
		}
		out = append(append(out, lines...), f.RuleLines(v6)...)
	}
	return out
}

// TestLastAddressTakesTheRoutesAlong does what a recorded scenario does to its router (fib_disable_ip).
func TestLastAddressTakesTheRoutesAlong(t *testing.T) {
	t.Parallel()
	b := gateway(t)
	b.Changes()
	if err := b.Command("ip addr del 10.0.0.2/30 dev wan"); err != nil {
		t.Fatal(err)
	}
	if r := b.Build().Lookup(key("8.8.8.8")); r.Type != None {
		t.Errorf("the default route is still there: %+v", r)
	}
	if r := b.Build().Lookup(key("2001:db8::1")); r.Type != Unicast {
		t.Errorf("the IPv6 route has gone: %+v", r)
	}
	want := []Change{{Kind: AddrDeleted, Dev: wan, Addr: addr("10.0.0.2")}}
	if got := b.Changes(); !slices.Equal(got, want) {
		t.Errorf("changes %+v, want %+v", got, want)
	}
	if err := b.Command("ip addr add 10.0.0.6/30 dev wan; ip route replace default via 10.0.0.5 dev wan; sleep 0.05"); err != nil {
		t.Fatal(err)
	}
	if r := b.Build().Lookup(key("8.8.8.8")); r.Gateway != addr("10.0.0.5") || r.PrefSrc != addr("10.0.0.6") {
		t.Errorf("%+v", r)
	}
}

func TestLinkDownTellsWhatDied(t *testing.T) {
	t.Parallel()
	b := gateway(t, "ip addr add 10.0.0.1/30 dev wan")
	b.Changes()
	if err := b.Command("ip link set dev wan down"); err != nil {
		t.Fatal(err)
	}
	// The IPv4 addresses stay on a link that is down, the IPv6 ones do not.
	want := []Change{{Kind: LinkDown, Dev: wan}, {Kind: AddrDeleted, Dev: wan, Addr: addr("fd00:f::2"), V6: true}}
	if got := b.Changes(); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	f := b.Build()
	for dst, want := range map[string]Type{"8.8.8.8": None, "10.0.0.2": Local, "10.0.0.1": Local, "fd00:f::2": None} {
		if r := f.Lookup(key(dst)); r.Type != want {
			t.Errorf("%s: %v, want %v", dst, r.Type, want)
		}
	}
	if err := b.Command("ip link set wan up mtu 1400"); err != nil {
		t.Fatal(err)
	}
	if got := b.Changes(); !slices.Equal(got, []Change{{Kind: LinkUp, Dev: wan}, {Kind: LinkMTU, Dev: wan, MTU: 1400}}) {
		t.Errorf("%+v", got)
	}
	if f := b.Build(); f.Dev(wan).MTU != 1400 || f.Lookup(key("8.8.8.8")).Type != None || f.Lookup(key("10.0.0.3")).Type != Broadcast {
		t.Error("up brings back what follows from addresses, and nothing else")
	}
}

func TestPrintingIsThatOfIP(t *testing.T) {
	t.Parallel()
	f := gateway(t,
		"ip route add 8.8.8.0/24 via 10.9.0.1 src 192.168.1.1 metric 5 mtu lock 1400; ip route add unreachable 172.16.0.0/12; ip -6 route add unreachable fd77::/64",
		"ip rule add fwmark 0x1/0xff iif lan lookup 100; ip rule add not from 10.0.0.0/8 prohibit pref 5; ip route add 9.9.9.9 dev alt onlink via 10.44.0.1 table 100",
		"ip -6 rule add to fd00:5::/64 lookup main suppress_prefixlength 0",
	).Build()
	for question, want := range map[string]string{
		"ip route": `default via 10.0.0.1 dev wan
8.8.8.0/24 via 10.9.0.1 dev alt src 192.168.1.1 metric 5 mtu lock 1400
10.0.0.0/30 dev wan proto kernel scope link src 10.0.0.2
10.9.0.0/30 dev alt proto kernel scope link src 10.9.0.2
unreachable 172.16.0.0/12
192.168.1.0/24 dev lan proto kernel scope link src 192.168.1.1`,
		"route show table 100": "9.9.9.9 via 10.44.0.1 dev alt onlink",
		"ip -6 route": `default via fd00:f::1 dev wan metric 1024 pref medium
fd00:1::/64 dev lan proto kernel metric 256 pref medium
fd00:f::/64 dev wan proto kernel metric 256 pref medium
unreachable fd77::/64 dev lo metric 1024 pref medium`,
		"ip rule": "0:\tfrom all lookup local\n5:\tnot from 10.0.0.0/8 prohibit\n32765:\tfrom all fwmark 0x1/0xff iif lan lookup 100\n" +
			"32766:\tfrom all lookup main\n32767:\tfrom all lookup default",
		"ip -6 rule": "0:\tfrom all lookup local\n32765:\tfrom all to fd00:5::/64 lookup main suppress_prefixlength 0\n32766:\tfrom all lookup main",
		"ip addr show dev lan": `3: lan: <POINTOPOINT,MULTICAST,NOARP,UP,LOWER_UP> mtu 1500 state UP
    inet 192.168.1.1/24 scope global lan
    inet6 fd00:1::1/64 scope global`,
		"route get 192.168.1.9 from 10.0.0.1 iif wan": "192.168.1.9 from 10.0.0.1 dev lan iif wan",
		"route get 10.9.0.2":                          "local 10.9.0.2 dev alt src 10.9.0.2",
		"-6 route get 2001:db8::1":                    "2001:db8::1 via fd00:f::1 dev wan src fd00:f::2",
		"route get 172.16.0.1 from 10.1.0.1":          "unreachable 172.16.0.1 from 10.1.0.1 table main",
	} {
		got, err := f.Query(question)
		if s := strings.Join(got, "\n"); err != nil || s != want && !(strings.HasPrefix(question, "ip -6 route") && sameLines(s, want)) {
			t.Errorf("%s: %v\n got %s\nwant %s", question, err, s, want)
		}
	}
	for _, q := range []string{"route get", "route get x", "neigh", "route show table x", "addr show dev dmz", "rule show now"} {
		if _, err := f.Query(q); err == nil {
			t.Errorf("%q has an answer", q)
		}
	}
}

func sameLines(a, b string) bool {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// TestFastAndSlowLookUpAgree holds the compiled tries against the Builder's own search, which probes prefix by prefix.
func TestFastAndSlowLookUpAgree(t *testing.T) {
	t.Parallel()
	for n := range 50 {
		g := newGenerator(uint64(n))
		b := NewBuilder()
		for _, l := range links {
			if _, err := b.AddLink(l, 1500); err != nil {
				t.Fatal(err)
			}
		}
		var done []string
		for range 40 {
			c := g.command()
			if b.Command(c) == nil {
				done = append(done, c)
			}
		}
		f := b.Build()
		for range 200 {
			v6 := g.chance(50)
			k := Key{V6: v6, Dst: addr(g.host(v6)), TOS: uint8(g.IntN(8) << 2), Mark: uint32(g.IntN(3)), IIF: g.IntN(5), OIF: g.IntN(5) * g.IntN(2)}
			if g.chance(50) {
				k.Src = addr(g.host(v6))
			}
			h, r := f.find(&k, finder{}), b.s.find(&k, finder{}, 0)
			fast, slow := "none", "none"
			if h != nil && h != &hopProhibit && h != &hopBlackhole {
				fast = fmt.Sprint(h.res.Type, h.res.Dev, h.res.Table, h.metric)
			}
			if r != nil {
				slow = fmt.Sprint(r.typ, r.dev, r.table, r.metric)
			}
			if fast != slow {
				t.Fatalf("%+v: %s, slowly %s\n%s", k, fast, slow, strings.Join(done, "\n"))
			}
		}
	}
}

// FuzzCommand: whatever is written, there is an error or a state that builds and prints, and what a route prints as can
// be read again.
func FuzzCommand(f *testing.F) {
	for _, s := range []string{
		"ip route add default via 10.0.0.5 metric 5", "ip -6 addr add fd00::1/64 dev lan; ip rule add not from 10/8 fwmark 1/2 lookup 5 pref 3",
		"ip route flush root 10.0.0.0/8", "ip addr flush dev wan scope global", "ip link set lan down && ip link set lan up mtu 1400",
		"ip ro re 10.1/16 dev lan src 192.168.1.1 mtu lock 600 tos 0x10", "ip rule add tos 0x10 blackhole",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		b := gateway(t)
		if b.Command(line) != nil {
			return
		}
		lines := dump(t, b)
		again := b.Clone()
		for _, l := range lines {
			words := strings.Fields(l)
			if strings.Contains(l, "proto boot") || strings.Contains(l, "proto kernel") || !strings.Contains(l, " dev ") && !slices.Contains(typeNames[:], words[0]) {
				continue
			}
			if err := again.Command("ip route replace " + l); err != nil && strings.Contains(err.Error(), "is not a word") {
				t.Errorf("%q prints %q: %v", line, l, err)
			}
		}
	})
}
