package router_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/moat-router/moat/policy/nat"
	"github.com/moat-router/moat/router"
	"github.com/moat-router/moat/stack/packet"
)

// nat is a router between lan, 192.168.1.0/24, and wan, where it has 203.0.113.1 to .4.
type natUnderTest struct {
	*router.Router
	t testing.TB
}

func newNAT(t testing.TB, rule string, sysctls ...[2]string) *natUnderTest {
	t.Helper()
	r, err := router.New(router.Config{
		Seed: 7,
		Devices: []router.Device{
			{Name: "lan", Addrs: [][2]string{{"192.168.1.1/24", ""}}},
			{Name: "wan", Addrs: [][2]string{{"203.0.113.1/24", ""}, {"203.0.113.2/24", ""}, {"203.0.113.3/24", ""}, {"203.0.113.4/24", ""}}},
		},
		Routes:  []string{"default via 203.0.113.254 dev wan"},
		Sysctls: sysctls,
		RulesV4: router.Rules{Name: "rules.v4", Text: "*nat\n-A POSTROUTING -o wan " + rule + "\nCOMMIT\n"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return &natUnderTest{r, t}
}

// send lets a datagram arrive and gives what left: "wan 203.0.113.1:5000>198.51.100.9:53", or "" for nothing.
func (n *natUnderTest) send(dev, from, to string) string {
	n.t.Helper()
	return n.inject(dev, fmt.Sprintf("ip4 %s>%s / udp %s>%s len=4", host(from), host(to), port(from), port(to)))
}

func (n *natUnderTest) inject(dev, text string) string {
	n.t.Helper()
	b, err := packet.Build(text)
	if err != nil {
		n.t.Fatal(err)
	}
	n.Output()
	if err := n.Inject(dev, b); err != nil {
		n.t.Fatal(err)
	}
	var out []string
	for _, s := range n.Output() {
		p := packet.New()
		p.Load(s.Data)
		if why := p.Parse(); why != packet.ReasonNone {
			n.t.Fatalf("what leaves cannot be read: %v", why)
		}
		if p.IsICMPError() {
			out = append(out, s.Dev+" error")
			continue
		}
		src, dst, _ := p.Ports()
		out = append(out, fmt.Sprintf("%s %s:%d>%s:%d", s.Dev, p.Src(), src, p.Dst(), dst))
	}
	return strings.Join(out, ", ")
}

func host(ap string) string { h, _, _ := strings.Cut(ap, ":"); return h }
func port(ap string) string { _, p, _ := strings.Cut(ap, ":"); return p }

// seen is the external endpoint in what send says.
func seen(sent string) string {
	_, sent, _ = strings.Cut(sent, " ")
	sent, _, _ = strings.Cut(sent, ">")
	return sent
}

const (
	client = "192.168.1.10:5000"
	server = "198.51.100.9:53"
)

func TestMappingDependsOnWhatTheRuleSays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mapping             string
		samePort, otherHost bool // another port of that server, or another server, sees the same endpoint
	}{
		{"endpoint-independent", true, true},
		{"address-dependent", true, false},
		{"address-and-port-dependent", false, false},
	} {
		for _, how := range []string{"preserve", "random", "sequential", "parity", "contiguous"} {
			n := newNAT(t, "-j MASQUERADE --mapping "+c.mapping+" --port-assignment "+how)
			first := seen(n.send("lan", client, server))
			if first == "" {
				t.Fatalf("%s, %s: nothing left", c.mapping, how)
			}
			n.Advance(time.Minute) // the connection has ended; the binding has not
			if again := seen(n.send("lan", client, server)); again != first {
				t.Errorf("%s, %s: after a minute %s, before %s", c.mapping, how, again, first)
			}
			if port := seen(n.send("lan", client, "198.51.100.9:54")); (port == first) != c.samePort {
				t.Errorf("%s, %s: another port sees %s, the first one %s", c.mapping, how, port, first)
			}
			if host := seen(n.send("lan", client, "198.51.100.10:53")); (host == first) != c.otherHost {
				t.Errorf("%s, %s: another server sees %s, the first one %s", c.mapping, how, host, first)
			}
		}
	}
}

// RFC 4787 5: who may send to a binding, while the connection that made it lives and after.
func TestFilteringAdmitsWhomTheRuleSays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		filtering                 string
		same, otherPort, stranger bool
	}{
		{"endpoint-independent", true, true, true},
		{"address-dependent", true, true, false},
		{"address-and-port-dependent", true, false, false},
	} {
		for _, wait := range []time.Duration{0, time.Minute} {
			n := newNAT(t, "-j MASQUERADE --filtering "+c.filtering)
			n.send("lan", client, server)
			n.Advance(wait)
			for from, want := range map[string]bool{server: c.same, "198.51.100.9:99": c.otherPort, "198.51.100.77:53": c.stranger} {
				got := n.send("wan", from, "203.0.113.1:5000")
				if in := got == "lan "+from+">"+client; in != want {
					t.Errorf("%s, after %v: a packet of %s gives %q, want it in: %v", c.filtering, wait, from, got, want)
				}
				if !want && got != "" {
					t.Errorf("%s: what is filtered is answered with %q", c.filtering, got)
				}
			}
		}
	}
}

// RFC 4787 REQ-5, REQ-6: five minutes after the last packet outwards, whatever comes in.
func TestBindingEndsAfterItsLifetime(t *testing.T) {
	t.Parallel()
	n := newNAT(t, "-j MASQUERADE --filtering endpoint-independent")
	n.send("lan", client, server)
	n.Advance(4*time.Minute + 59*time.Second)
	if got := n.send("wan", "198.51.100.77:1", "203.0.113.1:5000"); got != "lan 198.51.100.77:1>"+client {
		t.Errorf("after 4:59: %q", got)
	}
	n.Advance(time.Minute) // that connection held it, and ends
	if got := n.send("wan", "198.51.100.78:1", "203.0.113.1:5000"); got != "wan error" {
		t.Errorf("after 5:59 without a packet outwards: %q", got)
	}
	n.Advance(10 * time.Minute)
	if left := n.Bindings().Len(); left != 0 {
		t.Errorf("%d bindings are kept after their end", left)
	}
}

func TestEveryPacketOutwardsRenewsTheBinding(t *testing.T) {
	t.Parallel()
	n := newNAT(t, "-j MASQUERADE --filtering endpoint-independent")
	for range 40 { // ten minutes in one connection
		n.send("lan", client, server)
		n.Advance(15 * time.Second)
	}
	n.Advance(4 * time.Minute)
	if got := n.send("wan", "198.51.100.77:1", "203.0.113.1:5000"); got != "lan 198.51.100.77:1>"+client {
		t.Errorf("four minutes after the last packet of a connection: %q", got)
	}
}

// What a host inside answers to a caller renews, too: it is outbound traffic.
func TestAnswersRenewTheBinding(t *testing.T) {
	t.Parallel()
	n := newNAT(t, "-j MASQUERADE --filtering endpoint-independent")
	n.send("lan", client, server)
	n.Advance(4 * time.Minute)
	n.send("wan", "198.51.100.77:1", "203.0.113.1:5000")
	if got := n.send("lan", client, "198.51.100.77:1"); got != "wan 203.0.113.1:5000>198.51.100.77:1" {
		t.Fatalf("the answer leaves as %q", got)
	}
	n.Advance(4 * time.Minute)
	if got := n.send("wan", "198.51.100.78:1", "203.0.113.1:5000"); got != "lan 198.51.100.78:1>"+client {
		t.Errorf("four minutes after an answer: %q", got)
	}
}

func TestPortAssignment(t *testing.T) {
	t.Parallel()
	ports := func(how, more string, from ...string) (out []int) {
		n := newNAT(t, "-j MASQUERADE --filtering endpoint-independent --port-assignment "+how+more)
		for _, f := range from {
			var a, b, c, d, p int
			if _, err := fmt.Sscanf(seen(n.send("lan", f, server)), "%d.%d.%d.%d:%d", &a, &b, &c, &d, &p); err != nil {
				t.Fatal(err)
			}
			out = append(out, p)
		}
		return out
	}
	if p := ports("preserve", "", "192.168.1.10:5000", "192.168.1.11:5000"); p[0] != 5000 || p[1] == 5000 || p[1] < 1024 {
		t.Errorf("preserve: %v, want 5000 and another of its class", p)
	}
	if p := ports("preserve", "", "192.168.1.10:700", "192.168.1.11:700"); p[0] != 700 || p[1] == 700 || p[1] > 1023 {
		t.Errorf("preserve: %v, want 700 and another below 1024", p)
	}
	if p := ports("sequential", "", "192.168.1.10:5000", "192.168.1.11:9000", "192.168.1.12:40"); p[1] != p[0]+1 || p[2] > 511 {
		t.Errorf("sequential: %v", p)
	}
	for i := range 20 {
		p := ports("parity", "", "192.168.1.10:5000", "192.168.1.11:5000", "192.168.1.10:5001", fmt.Sprintf("192.168.1.%d:5001", 11+i))
		if p[0] != 5000 || p[1]%2 != 0 || p[2] != 5001 || p[3]%2 != 1 {
			t.Errorf("parity: %v for 5000, 5000, 5001, 5001", p)
		}
		p = ports("contiguous", "", "192.168.1.10:5000", "192.168.1.11:5000", fmt.Sprintf("192.168.1.%d:5000", 12+i), "192.168.1.11:5001", "192.168.1.10:5001")
		if p[1]%2 != 0 || p[3] != p[1]+1 || p[4] != 5001 {
			t.Errorf("contiguous: %v for two of each of three hosts", p)
		}
	}
	seen := map[int]bool{}
	for i := range 20 {
		p := ports("random", " --pooling paired", fmt.Sprintf("192.168.1.10:%d", 5000+i), "192.168.1.11:4000")
		seen[p[0]-i] = true
		seen[p[1]] = true
	}
	if len(seen) < 3 {
		t.Errorf("random: %v", seen)
	}
}

// RFC 4787 REQ-3: an external endpoint belongs to one internal endpoint; RFC 5508 REQ-8: whoever gets none is told.
func TestExternalEndpointsAreNotShared(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"preserve", "random", "sequential", "parity", "contiguous"} {
		n := newNAT(t, "-p udp -j MASQUERADE --to-ports 2000-2007 --mapping endpoint-independent --port-assignment "+how)
		owner := map[string]string{}
		for h := range 8 {
			from := fmt.Sprintf("192.168.1.%d:%d", 10+h, 5000+h)
			e := seen(n.send("lan", from, fmt.Sprintf("198.51.100.%d:53", h+1)))
			if e == "" || owner[e] != "" {
				t.Errorf("%s: %s gets %q, which is that of %q", how, from, e, owner[e])
			}
			owner[e] = from
		}
		for h := range 2 {
			if got := n.send("lan", fmt.Sprintf("192.168.1.%d:5000", 50+h), server); got != "lan error" {
				t.Errorf("%s: a host beyond the range: %q", how, got)
			}
		}
		n.Advance(10 * time.Minute)
		if got := n.send("lan", "192.168.1.50:5000", server); seen(got) == "" || got == "lan error" {
			t.Errorf("%s: the range stays exhausted when its bindings have ended", how)
		}
	}
}

func TestPooling(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pooling string
		paired  bool
	}{{"paired", true}, {"arbitrary", false}} {
		n := newNAT(t, "-j SNAT --to-source 203.0.113.1-203.0.113.4 --mapping endpoint-independent --pooling "+c.pooling)
		addrs := map[string]bool{}
		for p := range 40 {
			addrs[host(seen(n.send("lan", fmt.Sprintf("192.168.1.10:%d", 5000+p), fmt.Sprintf("198.51.100.%d:53", p+1))))] = true
		}
		if (len(addrs) == 1) != c.paired {
			t.Errorf("%s: forty bindings of a host have %d addresses: %v", c.pooling, len(addrs), addrs)
		}
	}
}

// RFC 4787 REQ-9: two hosts behind the same NAT meet at their external endpoints, also the first time that one of them
// sends anything, and both ways.
func TestHairpinShowsExternalSource(t *testing.T) {
	t.Parallel()
	n := newNAT(t, "-j MASQUERADE --filtering endpoint-independent")
	n.send("lan", client, server)
	if got := n.send("lan", "192.168.1.11:6000", "203.0.113.1:5000"); got != "lan 203.0.113.1:6000>"+client {
		t.Errorf("a hairpin arrives as %q", got)
	}
	if got := n.send("lan", client, "203.0.113.1:6000"); got != "lan 203.0.113.1:5000>192.168.1.11:6000" {
		t.Errorf("the answer arrives as %q", got)
	}
	off := newNAT(t, "-j MASQUERADE --filtering endpoint-independent --no-hairpin")
	off.send("lan", client, server)
	if got := off.send("lan", "192.168.1.11:6000", "203.0.113.1:5000"); got != "" {
		t.Errorf("a refused hairpin: %q", got)
	}
}

// Hole punching behind one NAT that filters: the first packet is filtered, but it opens the way for the other side's.
func TestHairpinMeetsTheFilter(t *testing.T) {
	t.Parallel()
	n := newNAT(t, "-j MASQUERADE --filtering address-and-port-dependent")
	n.send("lan", client, server)
	n.send("lan", "192.168.1.11:6000", server)
	if got := n.send("lan", client, "203.0.113.1:6000"); got != "" {
		t.Errorf("an unasked-for hairpin: %q", got)
	}
	if got := n.send("lan", "192.168.1.11:6000", "203.0.113.1:5000"); got != "lan 203.0.113.1:6000>"+client {
		t.Errorf("the other side's: %q", got)
	}
	if got := n.send("lan", client, "203.0.113.1:6000"); got != "lan 203.0.113.1:5000>192.168.1.11:6000" {
		t.Errorf("and the answer: %q", got)
	}
}

// RFC 5382 REQ-3, REQ-4: the same for connections of TCP.
func TestTCPCallsComeIn(t *testing.T) {
	t.Parallel()
	n := newNAT(t, "-j MASQUERADE --filtering endpoint-independent")
	n.inject("lan", "ip4 192.168.1.10>198.51.100.9 / tcp 5000>80 S seq=1")
	if got := n.inject("wan", "ip4 198.51.100.77>203.0.113.1 / tcp 4000>5000 S seq=9"); got != "lan 198.51.100.77:4000>"+client {
		t.Errorf("a call: %q", got)
	}
	if got := n.inject("lan", "ip4 192.168.1.10>198.51.100.77 / tcp 5000>4000 SA seq=5 ack=10"); got != "wan 203.0.113.1:5000>198.51.100.77:4000" {
		t.Errorf("its answer: %q", got)
	}
}

// RFC 5508 REQ-1: queries of ICMP have bindings, too, and nobody calls at them.
func TestICMPQueriesMapEndpointIndependently(t *testing.T) {
	t.Parallel()
	n := newNAT(t, "-j MASQUERADE --mapping endpoint-independent --filtering endpoint-independent --port-assignment random")
	id := func(to string) uint16 {
		n.inject("lan", "ip4 192.168.1.10>"+to+" / icmp 8/0 id=77 seq=1 len=8")
		var got uint16
		n.Bindings().Range(n.Time(), func(b *nat.Binding) bool { got = b.Outside().Port; return true })
		return got
	}
	if a, b := id("198.51.100.9"), id("198.51.100.10"); a != b || n.Bindings().Len() != 1 {
		t.Errorf("ids %d and %d in %d bindings", a, b, n.Bindings().Len())
	}
}

// A service of the router's own cannot be taken over by a host inside that sends from its port.
func TestBindingsLeaveTheRoutersPortsAlone(t *testing.T) {
	t.Parallel()
	n := newNAT(t, "-j MASQUERADE --filtering endpoint-independent")
	if err := n.Listen("udp", "0.0.0.0", 5000); err != nil {
		t.Fatal(err)
	}
	e := seen(n.send("lan", client, server))
	if e == "" || port(e) == "5000" {
		t.Errorf("the external endpoint is %q, where the router listens at 5000", e)
	}
}

func TestDNATRulesWinOverBindings(t *testing.T) {
	t.Parallel()
	n := newNAT(t, "-j MASQUERADE --filtering endpoint-independent\n-A PREROUTING -i wan -p udp --dport 5000 -j DNAT --to-destination 192.168.1.99:7")
	n.send("lan", client, server)
	if got := n.send("wan", "198.51.100.77:1", "203.0.113.1:5000"); got != "lan 198.51.100.77:1>192.168.1.99:7" {
		t.Errorf("got %q", got)
	}
}

func TestFlushEndsBindings(t *testing.T) {
	t.Parallel()
	n := newNAT(t, "-j MASQUERADE --filtering endpoint-independent")
	n.send("lan", client, server)
	n.FlushConntrack()
	if got := n.send("wan", "198.51.100.77:1", "203.0.113.1:5000"); got != "wan error" {
		t.Errorf("after a flush: %q", got)
	}
}

// Bindings cost the packets of a connection nothing but a deadline, and nobody else anything.
func TestPacketsThroughABindingDoNotAllocate(t *testing.T) {
	n := newNAT(t, "-j MASQUERADE --filtering address-dependent")
	b, err := packet.Build("ip4 192.168.1.10>198.51.100.9 / udp 5000>53 len=4")
	if err != nil {
		t.Fatal(err)
	}
	n.Inject("lan", b)
	base := testing.AllocsPerRun(100, func() { n.Inject("lan", b); n.Output() })
	plain := newNAT(t, "-j MASQUERADE")
	plain.Inject("lan", b)
	if want := testing.AllocsPerRun(100, func() { plain.Inject("lan", b); plain.Output() }); base > want {
		t.Errorf("%v allocations for each packet, %v without a behaviour", base, want)
	}
}

// One path for both families: NAT66 keeps the same promises.
func TestBehavioursOfIPv6(t *testing.T) {
	t.Parallel()
	r, err := router.New(router.Config{
		Seed: 7,
		Devices: []router.Device{
			{Name: "lan", Addrs: [][2]string{{"fd00:1::1/64", ""}}},
			{Name: "wan", Addrs: [][2]string{{"2001:db8::1/64", ""}}},
		},
		Routes:  []string{"default via 2001:db8::fe dev wan"},
		RulesV6: router.Rules{Name: "rules.v6", Text: "*nat\n-A POSTROUTING -o wan -j MASQUERADE --filtering address-dependent\nCOMMIT\n"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	n := &natUnderTest{r, t}
	if got := n.inject("lan", "ip6 fd00:1::10>2001:db8:9::9 / udp 5000>53 len=4"); got != "wan 2001:db8::1:5000>2001:db8:9::9:53" {
		t.Fatalf("outwards: %q", got)
	}
	n.Advance(4 * time.Minute)
	if got := n.inject("wan", "ip6 2001:db8:9::9>2001:db8::1 / udp 99>5000 len=4"); got != "lan 2001:db8:9::9:99>fd00:1::10:5000" {
		t.Errorf("from another port of the server: %q", got)
	}
	if got := n.inject("wan", "ip6 2001:db8:9::7>2001:db8::1 / udp 99>5000 len=4"); got != "" {
		t.Errorf("from a stranger: %q", got)
	}
}

// Hole punching through a filter: what came too early neither gets in nor stands in the way of the hole, as a
// connection of the router's own would.
func TestEarlyPacketDoesNotBlockTheHole(t *testing.T) {
	t.Parallel()
	n := newNAT(t, "-j MASQUERADE --filtering address-and-port-dependent")
	n.send("lan", client, server)
	if got := n.send("wan", "198.51.100.77:6000", "203.0.113.1:5000"); got != "" {
		t.Errorf("too early: %q", got)
	}
	if got := n.send("lan", client, "198.51.100.77:6000"); got != "wan 203.0.113.1:5000>198.51.100.77:6000" {
		t.Errorf("the hole is made as %q", got)
	}
	if got := n.send("wan", "198.51.100.77:6000", "203.0.113.1:5000"); got != "lan 198.51.100.77:6000>"+client {
		t.Errorf("through the hole: %q", got)
	}
}
