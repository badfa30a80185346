package natcheck

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/moat-router/moat/policy/nat"
	"github.com/moat-router/moat/stack/packet"
)

// What RFC 4787 asks about UDP.

// mapping classifies as RFC 5780 4.3 does: one client endpoint asks at two addresses and two ports.
func mapping(ask func(server netip.AddrPort) (netip.AddrPort, bool)) (nat.Dependence, bool) {
	one, ok1 := ask(at(serverX, portOne))
	two, ok2 := ask(at(serverY, portOne))
	three, ok3 := ask(at(serverY, portTwo))
	switch {
	case !ok1 || !ok2 || !ok3:
		return 0, false
	case one == two && two == three:
		return nat.EndpointIndependent, true
	case two == three:
		return nat.AddressDependent, true
	}
	return nat.AddressAndPortDependent, true
}

func udpMapping(b *bench, c *Config) Finding {
	b.open(c, layout{})
	client := at(hostA, b.port())
	d, ok := mapping(func(s netip.AddrPort) (netip.AddrPort, bool) { return b.mapped(client, s) })
	return dependence(d, ok, d == nat.EndpointIndependent)
}

func dependence(d nat.Dependence, ok, met bool) Finding {
	if !ok {
		return Finding{Measured: "no answer came back"}
	}
	return Finding{ok && met, d.String()}
}

// udpPooling has one host make many flows through a pool of addresses.
func udpPooling(b *bench, c *Config) Finding {
	b.open(c, layout{pool: true})
	addrs := map[netip.Addr]bool{}
	for i := range 16 {
		m, ok := b.mapped(at(hostA, b.port()), at([]netip.Addr{serverX, serverY}[i%2], portOne))
		if !ok {
			return Finding{Measured: "no answer came back"}
		}
		addrs[m.Addr()] = true
	}
	if len(addrs) == 1 {
		return Finding{true, "paired"}
	}
	return Finding{false, fmt.Sprintf("arbitrary: %d addresses for one host", len(addrs))}
}

// overloading tells whether two hosts with the same port have one external endpoint, at one server or at two.
func overloading(ask func(client, server netip.AddrPort) (netip.AddrPort, bool), port int) Finding {
	one, ok1 := ask(at(hostA, port), at(serverX, portOne))
	two, ok2 := ask(at(hostB, port), at(serverX, portOne))
	three, ok3 := ask(at(hostB, port+2), at(serverX, portOne))
	four, ok4 := ask(at(hostA, port+2), at(serverY, portOne))
	switch {
	case !ok1 || !ok2 || !ok3 || !ok4:
		return Finding{Measured: "no answer came back"}
	case one == two:
		return Finding{false, "overloaded"}
	case three == four:
		return Finding{false, "overloaded where the destinations differ"}
	}
	return Finding{true, "one internal endpoint for each external one"}
}

func udpOverloading(b *bench, c *Config) Finding {
	b.open(c, layout{})
	return overloading(b.mapped, b.port())
}

// udpPortRange has two hosts want the same port, below 1024 and above.
func udpPortRange(b *bench, c *Config) Finding {
	b.open(c, layout{})
	for _, port := range []int{700, 300, 5000} {
		for _, h := range []netip.Addr{hostA, hostB} {
			m, ok := b.mapped(at(h, port), at(serverX, portOne))
			if !ok || (m.Port() < 1024) != (port < 1024) {
				return Finding{false, fmt.Sprintf("%d becomes %d", port, m.Port())}
			}
		}
	}
	return Finding{true, "low ports stay low, high ports high"}
}

func udpParity(b *bench, c *Config) Finding {
	b.open(c, layout{})
	kept, n := 0, 32
	for i := range n {
		port := 30000 + 3*i // even and odd
		b.mapped(at(hostA, port), at(serverX, portOne))
		if m, ok := b.mapped(at(hostB, port), at(serverX, portOne)); ok && int(m.Port())%2 == port%2 {
			kept++
		}
	}
	if kept == n {
		return Finding{true, "kept, also where the port is taken"}
	}
	return Finding{false, "kept with the port; chance where it is taken"}
}

// udpContiguity has B want an even port that A has, and the one behind it.
func udpContiguity(b *bench, c *Config) Finding {
	b.open(c, layout{})
	for i := range 8 {
		port := 40000 + 10*i
		b.mapped(at(hostA, port), at(serverX, portOne))
		even, ok1 := b.mapped(at(hostB, port), at(serverX, portOne))
		odd, ok2 := b.mapped(at(hostB, port+1), at(serverX, portOne))
		switch {
		case !ok1 || !ok2:
			return Finding{Measured: "no answer came back"}
		case odd.Port() != even.Port()+1:
			return Finding{false, "kept with the ports; not where one is taken"}
		}
	}
	return Finding{true, "kept, also where one is taken"}
}

// lifetime finds how long somebody outside can answer, by halving; each try has its own flow. reached sets up a flow,
// waits and tells whether an answer comes in.
func lifetime(b *bench, longest time.Duration, reached func(wait time.Duration) bool) time.Duration {
	lo, hi := time.Duration(0), longest+time.Second
	for hi-lo > time.Second {
		mid := (lo + hi) / 2 / time.Second * time.Second
		if reached(mid) {
			lo = mid
		} else {
			hi = mid
		}
		if b.err != nil {
			return 0
		}
	}
	return hi
}

func udpLifetime(b *bench) (time.Duration, bool) {
	if !b.virtual {
		b.datagram("lan", at(hostA, b.port()), at(serverX, portOne))
		return b.read("udp", fmt.Sprintf("sport=%d", b.next))
	}
	return lifetime(b, time.Hour, func(wait time.Duration) bool {
		client, server := at(hostA, b.port()), at(serverX, portOne)
		a, ok := b.datagram("lan", client, server)
		b.wait(wait)
		return ok && b.calls(server, a.from(), client)
	}), true
}

func udpTimer(b *bench, c *Config) Finding {
	b.open(c, layout{})
	d, ok := udpLifetime(b)
	return Finding{ok && d >= 2*time.Minute, seconds(d)}
}

func udpLongTimer(b *bench, c *Config) Finding {
	f := udpTimer(b, c)
	d, err := time.ParseDuration(strings.ReplaceAll(f.Measured, " ", ""))
	f.Met = err == nil && d >= 5*time.Minute
	return f
}

func seconds(d time.Duration) string { return fmt.Sprintf("%d s", int(d/time.Second)) }

// udpRefresh tells whether packets outwards alone keep a mapping.
func udpRefresh(b *bench, c *Config) Finding {
	b.open(c, layout{})
	met := false
	if b.virtual {
		d, _ := udpLifetime(b)
		client, server := at(hostA, b.port()), at(serverX, portOne)
		a, _ := b.datagram("lan", client, server)
		for range 3 {
			b.wait(d - time.Second)
			b.datagram("lan", client, server)
		}
		b.wait(d - time.Second)
		met = b.calls(server, a.from(), client)
	} else {
		client, server := at(hostA, b.port()), at(serverX, portOne)
		entry := fmt.Sprintf("sport=%d", b.next)
		b.datagram("lan", client, server)
		full, _ := b.timeout("udp", entry)
		b.wait(2500 * time.Millisecond)
		worn, _ := b.timeout("udp", entry)
		b.datagram("lan", client, server)
		again, _ := b.timeout("udp", entry)
		met = worn < full-time.Second && again > worn+time.Second
	}
	if met {
		return Finding{true, "outbound packets refresh"}
	}
	return Finding{false, "outbound packets do not refresh"}
}

// udpInboundRefresh tells whether packets from outside alone keep a mapping; either is allowed.
func udpInboundRefresh(b *bench, c *Config) Finding {
	b.open(c, layout{})
	client, server := at(hostA, b.port()), at(serverX, portOne)
	refreshed, seen := false, false
	if b.virtual {
		d, _ := udpLifetime(b)
		client = at(hostA, b.port())
		a, ok := b.datagram("lan", client, server)
		b.wait(d - time.Second)
		seen = ok && b.calls(server, a.from(), client)
		b.wait(d - time.Second)
		refreshed = b.calls(server, a.from(), client)
	} else {
		entry := fmt.Sprintf("sport=%d", b.next)
		a, _ := b.datagram("lan", client, server)
		b.wait(2500 * time.Millisecond)
		worn, _ := b.timeout("udp", entry)
		seen = b.calls(server, a.from(), client)
		again, _ := b.timeout("udp", entry)
		refreshed = again > worn+time.Second
	}
	switch {
	case !seen:
		return Finding{Measured: "no answer came in"}
	case refreshed:
		return Finding{true, "inbound packets refresh, too"}
	}
	return Finding{true, "inbound packets do not refresh"}
}

func udpFiltering(b *bench, c *Config) Finding {
	b.open(c, layout{})
	try := func(m Message) bool {
		_, ok := b.stun(at(hostA, b.port()), at(serverX, portOne), m)
		return ok
	}
	d := nat.AddressAndPortDependent
	switch plain := try(Message{}); {
	case !plain:
		return Finding{Measured: "no answer came back"}
	case try(Message{ChangeAddr: true, ChangePort: true}):
		d = nat.EndpointIndependent
	case try(Message{ChangePort: true}):
		d = nat.AddressDependent
	}
	return Finding{d != nat.AddressAndPortDependent, d.String()}
}

// udpHairpin lets two hosts inside meet at their external endpoints. Both send, so that no filter is in the way.
func udpHairpin(b *bench, c *Config) Finding {
	b.open(c, layout{})
	f, _, _ := hairpin(b)
	return f
}

// hairpin gives the arrival at A, too, and who is who outside.
func hairpin(b *bench) (f Finding, got arrival, external [2]netip.AddrPort) {
	ends := [2]netip.AddrPort{at(hostA, b.port()), at(hostB, b.port())}
	for i := range ends {
		external[i], _ = b.mapped(ends[i], at(serverX, portOne))
	}
	arrived := 0
	for i := range 4 {
		from, to := 1-i%2, i%2
		a, ok := b.datagram("lan", ends[from], external[to])
		if !ok || a.dev != "lan" || a.to() != ends[to] {
			continue
		}
		if a.from() != external[from] {
			return Finding{false, fmt.Sprintf("arrives with the source %s", a.from())}, a, external
		}
		arrived++
		if to == 0 {
			got = a
		}
	}
	if arrived < 2 {
		return Finding{false, "not supported"}, got, external
	}
	return Finding{true, "with the external source"}, got, external
}

func udpALG(b *bench, c *Config) Finding {
	b.open(c, layout{})
	for port, text := range map[int]string{
		5060:  "REGISTER sip:198.51.100.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.1.10:5060\r\nContact: <sip:a@192.168.1.10:5060>\r\n\r\n",
		69:    "\x00\x01file\x00octet\x00",
		10080: "Amanda 2.6 REP HANDLE 000-65637373 SEQ 954568800\nCONNECT DATA 50014 MESG 50015 INDEX 50016\n",
	} {
		out := b.send("lan", udpText(at(hostA, port), at(serverX, port), []byte(text)))
		if len(out) != 1 || string(out[0].payload()) != text || len(b.expects) != 0 {
			return Finding{false, fmt.Sprintf("the payload to port %d is looked at", port)}
		}
	}
	return Finding{true, "off until a rule asks for them"}
}

// udpOneALG switches TFTP on, and Amanda stays off.
func udpOneALG(b *bench, c *Config) Finding {
	with := *c
	with.Rules += "*raw\n-A PREROUTING -i lan -p udp -m udp --dport 69 -j CT --helper tftp\nCOMMIT\n"
	b.open(&with, layout{})
	b.send("lan", udpText(at(hostA, b.port()), at(serverX, 69), []byte("\x00\x01file\x00octet\x00")))
	expected := len(b.expects)
	b.send("lan", udpText(at(hostA, b.port()), at(serverX, 10080), []byte("Amanda 2.6 REP HANDLE 000-65637373 SEQ 954568800\nCONNECT DATA 50014 MESG 50015 INDEX 50016\n")))
	switch {
	case expected == 0:
		return Finding{false, "a rule does not switch one on"}
	case len(b.expects) != expected:
		return Finding{false, "one comes with another"}
	}
	return Finding{true, "each by a rule of its own (`-j CT --helper`)"}
}

// udpDeterminism repeats REQ-1 under a collision: B has its port until A's traffic stands in its way.
func udpDeterminism(b *bench, c *Config) Finding {
	b.open(c, layout{})
	port := b.port()
	b.mapped(at(hostA, port), at(serverX, portOne))
	one, ok1 := b.mapped(at(hostB, port), at(serverY, portOne))
	two, ok2 := b.mapped(at(hostB, port), at(serverX, portOne))
	if ok1 && ok2 && one == two {
		return Finding{true, "the same under collisions"}
	}
	return Finding{false, "another mapping where the port is taken at the destination"}
}

// errorsAbout sends errors of all kinds from a router outside about a packet that left.
func errorsAbout(b *bench, left *packet.Packet) (inside []arrival) {
	for _, kind := range []string{"3/0", "3/1", "3/3", "3/13", "11/0", "4/0", "12/0"} {
		inside = append(inside, b.inject("wan", quoting(midway, left, kind))...)
	}
	return inside
}

// quoting builds an ICMP error about a packet, to its sender.
func quoting(from netip.Addr, about *packet.Packet, kind string) []byte {
	d, err := packet.Build(fmt.Sprintf("ip4 %s>%s / icmp %s / raw %x", from, about.Src(), kind, about.Data[:min(len(about.Data), 64)]))
	if err != nil {
		return nil
	}
	return d
}

func udpICMP(b *bench, c *Config) Finding {
	b.open(c, layout{})
	client, server := at(hostA, b.port()), at(serverX, portOne)
	a, ok := b.datagram("lan", client, server)
	if !ok {
		return Finding{Measured: "no packet came out"}
	}
	errorsAbout(b, a.Packet)
	m, _ := b.mapped(client, at(serverY, portOne))
	if b.calls(server, a.from(), client) && m == a.from() {
		return Finding{true, "mapping survives types 3, 4, 11 and 12"}
	}
	return Finding{false, "ends with an error"}
}

// udpICMPSources has errors come from the server, a router on the way and somebody else.
func udpICMPSources(b *bench, c *Config) Finding {
	b.open(c, layout{})
	a, client, server := b.left()
	for _, from := range []netip.Addr{server.Addr(), midway, netip.MustParseAddr("192.0.2.77")} {
		if f := translatedInside(b.inject("wan", quoting(from, a.Packet, "3/1")), client, server); !f.Met {
			return Finding{false, fmt.Sprintf("from %s: %s", from, f.Measured)}
		}
	}
	return Finding{true, "from anywhere"}
}

func udpUnreachable(b *bench, c *Config) Finding {
	b.open(c, layout{})
	a, client, server := b.left()
	return translatedInside(b.inject("wan", quoting(midway, a.Packet, "3/3")), client, server)
}

func udpTooBig(b *bench, c *Config) Finding {
	b.open(c, layout{})
	out := b.send("lan", fmt.Sprintf("ip4 %s>%s df / udp 4000>4000 len=1450", hostA, serverX))
	if len(out) != 1 || out[0].dev != "lan" || !out[0].isError(3, 4) {
		return Finding{false, "no error where DF is set"}
	}
	out = b.send("lan", fmt.Sprintf("ip4 %s>%s id=7 / udp 4000>4000 len=1450", hostA, serverX))
	if len(out) != 2 || out[0].FragOff != 0 || out[1].FragOff == 0 {
		return Finding{false, "not cut where DF is clear"}
	}
	return Finding{true, "error with DF; else cut, in order"}
}

// udpFragments lets an answer come in pieces, the last one first.
func udpFragments(b *bench, c *Config) Finding {
	b.open(c, layout{})
	client, server := at(hostA, b.port()), at(serverX, portOne)
	m, _ := b.mapped(client, server)
	bytes := 0
	for _, i := range []int{2, 0, 1} {
		for _, a := range b.send("wan", fmt.Sprintf("ip4 %s>%s id=99 / udp %d>%d len=1200 || frag 480 idx=%d", server.Addr(), m.Addr(), server.Port(), m.Port(), i)) {
			if a.dev == "lan" && a.Dst().IP() == client.Addr() && (a.FragOff != 0 || a.to() == client) {
				bytes += len(a.Data) - a.HeaderLen()
			}
		}
	}
	if bytes == 8+1200 {
		return Finding{true, "in any order"}
	}
	return Finding{false, fmt.Sprintf("%d of 1208 bytes arrive", bytes)}
}
