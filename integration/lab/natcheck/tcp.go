package natcheck

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/moat-router/moat/policy/nat"
)

// What RFC 5382 asks about TCP.

// segment sends one and gives what came out on the other side.
func (b *bench) segment(dev string, from, to netip.AddrPort, flags string, seq, ack uint32) (arrival, bool) {
	text := fmt.Sprintf("ip4 %s>%s / tcp %d>%d %s seq=%d ack=%d win=65535", from.Addr(), to.Addr(), from.Port(), to.Port(), flags, seq, ack)
	for _, a := range b.send(dev, text) {
		l4 := a.L4Bytes()
		if a.Proto == 6 && len(l4) >= 20 && uint32(l4[4])<<24|uint32(l4[5])<<16|uint32(l4[6])<<8|uint32(l4[7]) == seq {
			return a, true
		}
	}
	return nothing(), false
}

const (
	seqIn  = 1000 // of clients
	seqOut = 5000 // of servers
)

// connect shakes hands and gives whom the server saw.
func (b *bench) connect(client, server netip.AddrPort) (netip.AddrPort, bool) {
	a, ok := b.segment("lan", client, server, "S", seqIn, 0)
	if !ok || a.dev != "wan" {
		return nobody, false
	}
	back, ok := b.segment("wan", server, a.from(), "SA", seqOut, seqIn+1)
	if !ok || back.dev != "lan" || back.to() != client {
		return nobody, false
	}
	_, ok = b.segment("lan", client, server, "A", seqIn+1, seqOut+1)
	return a.from(), ok
}

func tcpMapping(b *bench, c *Config) Finding {
	b.open(c, layout{})
	client := at(hostA, b.port())
	d, ok := mapping(func(s netip.AddrPort) (netip.AddrPort, bool) { return b.connect(client, s) })
	return dependence(d, ok, d == nat.EndpointIndependent)
}

// tcpSimultaneous opens from both sides: SYN crosses SYN (RFC 9293 3.5).
func tcpSimultaneous(b *bench, c *Config) Finding {
	b.open(c, layout{})
	client, server := at(hostA, b.port()), at(serverX, portOne)
	a, ok := b.segment("lan", client, server, "S", seqIn, 0)
	if !ok {
		return Finding{Measured: "no SYN came out"}
	}
	steps := []struct {
		dev      string
		flags    string
		seq, ack uint32
	}{
		{"wan", "S", seqOut, 0},
		{"lan", "SA", seqIn, seqOut + 1},
		{"wan", "SA", seqOut, seqIn + 1},
		{"lan", "A", seqIn + 1, seqOut + 1},
		{"wan", "A", seqOut + 1, seqIn + 1},
	}
	for _, s := range steps {
		from, to := client, server
		if s.dev == "wan" {
			from, to = server, a.from()
		}
		if got, ok := b.segment(s.dev, from, to, s.flags, s.seq, s.ack); !ok || got.dev == s.dev {
			return Finding{false, fmt.Sprintf("%s from %s does not pass", s.flags, s.dev)}
		}
	}
	return Finding{true, "three-way and simultaneous open"}
}

func tcpFiltering(b *bench, c *Config) Finding {
	b.open(c, layout{})
	client, server := at(hostA, b.port()), at(serverX, portOne)
	m, ok := b.connect(client, server)
	if !ok {
		return Finding{Measured: "no connection"}
	}
	call := func(from netip.AddrPort) bool {
		a, ok := b.segment("wan", from, m, "S", seqOut, 0)
		return ok && a.dev == "lan" && a.to() == client
	}
	d := nat.AddressAndPortDependent
	switch {
	case call(at(serverY, portTwo)):
		d = nat.EndpointIndependent
	case call(at(serverX, portTwo)):
		d = nat.AddressDependent
	}
	return Finding{d != nat.AddressAndPortDependent, d.String()}
}

// tcpUnsolicited calls at an endpoint that has a mapping, from where nothing was sent to, and at one that has none.
func tcpUnsolicited(b *bench, c *Config) Finding {
	b.open(c, layout{})
	m, ok := b.connect(at(hostA, b.port()), at(serverX, portOne))
	if !ok {
		return Finding{Measured: "no connection"}
	}
	answered := func(port int) bool {
		out := b.send("wan", fmt.Sprintf("ip4 %s>%s / tcp 4000>%d S seq=1 win=1000", serverY, m.Addr(), port))
		for _, a := range out {
			if a.dev == "wan" {
				return true
			}
		}
		return false
	}
	switch mapped, free := answered(int(m.Port())), answered(33333); {
	case mapped:
		return Finding{false, "reset at once"}
	case free:
		return Finding{false, "silence where there is a mapping; else reset at once"}
	}
	return Finding{true, "silence"}
}

// tcpEstablished tells whether an idle connection lives as long as keep-alives take.
func tcpEstablished(b *bench, c *Config) Finding {
	b.open(c, layout{})
	const want = 2*time.Hour + 4*time.Minute
	client, server := at(hostA, b.port()), at(serverX, portOne)
	m, ok := b.connect(client, server)
	if !ok {
		return Finding{Measured: "no connection"}
	}
	alive := false
	if b.virtual {
		b.wait(want - time.Second)
		a, ok := b.segment("wan", server, m, "A", seqOut+1, seqIn+1)
		alive = ok && a.to() == client
	} else {
		d, ok := b.timeout("tcp", fmt.Sprintf("sport=%d", client.Port()))
		alive = ok && d >= want
	}
	if alive {
		return Finding{true, "more than 2 h 4 min"}
	}
	return Finding{false, "less than 2 h 4 min"}
}

// tcpIdle finds how long a connection lives that leave has brought to where it is: until the server's last segment,
// which would be sent again, does not pass any more.
func tcpIdle(b *bench, c *Config, state string, leave func(client, server netip.AddrPort) (again func() bool)) Finding {
	b.open(c, layout{})
	var d time.Duration
	ok := true
	if b.virtual {
		d = lifetime(b, time.Hour, func(wait time.Duration) bool {
			again := leave(at(hostA, b.port()), at(serverX, portOne))
			b.wait(wait)
			return again()
		})
	} else {
		client := at(hostA, b.port())
		leave(client, at(serverX, portOne))
		d, ok = b.read("tcp", fmt.Sprintf("sport=%d", client.Port()))
	}
	return Finding{ok && d >= 4*time.Minute, seconds(d) + " " + state}
}

func tcpOpening(b *bench, c *Config) Finding {
	return tcpIdle(b, c, "half open", func(client, server netip.AddrPort) func() bool {
		a, _ := b.segment("lan", client, server, "S", seqIn, 0)
		answer := func() bool {
			back, ok := b.segment("wan", server, a.from(), "SA", seqOut, seqIn+1)
			return ok && back.dev == "lan" && back.to() == client
		}
		answer()
		return answer
	})
}

// tcpClosing has the client close first, whose last acknowledgement the server then misses.
func tcpClosing(b *bench, c *Config) Finding {
	return tcpIdle(b, c, "closed", func(client, server netip.AddrPort) func() bool {
		m, _ := b.connect(client, server)
		fin := func() bool {
			back, ok := b.segment("wan", server, m, "FA", seqOut+1, seqIn+2)
			return ok && back.dev == "lan" && back.to() == client
		}
		b.segment("lan", client, server, "FA", seqIn+1, seqOut+1)
		fin()
		b.segment("lan", client, server, "A", seqIn+2, seqOut+2)
		return fin
	})
}

func tcpALG(b *bench, c *Config) Finding {
	b.open(c, layout{})
	for _, l := range []struct {
		port int
		text string
	}{{21, `PORT 192,168,1,10,4,1\r\n`}, {6667, `PRIVMSG x :\x01DCC SEND f 3232235786 1025 9\x01\r\n`}, {5060, `REGISTER sip:198.51.100.1 SIP/2.0\r\nContact: <sip:a@192.168.1.10>\r\n\r\n`}} {
		client, server := at(hostA, b.port()), at(serverX, l.port)
		b.connect(client, server)
		text := fmt.Sprintf(`ip4 %s>%s / tcp %d>%d AP seq=%d ack=%d win=1000 / text "%s"`, hostA, serverX, client.Port(), l.port, seqIn+1, seqOut+1, l.text)
		sent, err := sentPayload(text)
		out := b.send("lan", text)
		if err != nil || len(out) != 1 || string(out[0].payload()) != sent || len(b.expects) != 0 {
			return Finding{false, fmt.Sprintf("the payload to port %d is looked at", l.port)}
		}
	}
	return Finding{true, "off until a rule asks for them"}
}

func tcpOverloading(b *bench, c *Config) Finding {
	b.open(c, layout{})
	return overloading(b.connect, b.port())
}

func tcpHairpin(b *bench, c *Config) Finding {
	b.open(c, layout{})
	ends := [2]netip.AddrPort{at(hostA, b.port()), at(hostB, b.port())}
	var external [2]netip.AddrPort
	for i := range ends {
		external[i], _ = b.connect(ends[i], at(serverX, portOne))
	}
	b.segment("lan", ends[0], external[1], "S", seqIn, 0) // opens A's filter for B
	a, ok := b.segment("lan", ends[1], external[0], "S", seqIn+77, 0)
	switch {
	case !ok || a.dev != "lan" || a.to() != ends[0]:
		return Finding{false, "not supported"}
	case a.from() != external[1]:
		return Finding{false, fmt.Sprintf("arrives with the source %s", a.from())}
	}
	return Finding{true, "with the external source"}
}

func tcpError(b *bench, c *Config) Finding {
	b.open(c, layout{})
	client, server := at(hostA, b.port()), at(serverX, portOne)
	a, ok := b.segment("lan", client, server, "S", seqIn, 0)
	if !ok {
		return Finding{Measured: "no SYN came out"}
	}
	return translatedInside(b.inject("wan", quoting(midway, a.Packet, "3/1")), client, server)
}

func tcpICMP(b *bench, c *Config) Finding {
	b.open(c, layout{})
	client, server := at(hostA, b.port()), at(serverX, portOne)
	m, _ := b.connect(client, server)
	a, ok := b.segment("lan", client, server, "A", seqIn+1, seqOut+1)
	if !ok {
		return Finding{Measured: "no connection"}
	}
	errorsAbout(b, a.Packet)
	if back, ok := b.segment("wan", server, m, "A", seqOut+1, seqIn+1); ok && back.to() == client {
		return Finding{true, "connection survives types 3, 4, 11 and 12"}
	}
	return Finding{false, "ends with an error"}
}
