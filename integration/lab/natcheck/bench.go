package natcheck

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/moat-router/moat/integration/scenario"
	"github.com/moat-router/moat/stack/packet"
)

// The network around the NAT that is measured: hosts A and B inside, servers outside, each with two ports.
//
//	A .10, B .11 ── lan 192.168.1.0/24 ── NAT ── wan 203.0.113.1 to .4, MTU 1400 ── 198.51.100.1, .2
const wanMTU = 1400

var (
	hostA   = netip.MustParseAddr("192.168.1.10")
	hostB   = netip.MustParseAddr("192.168.1.11")
	serverX = netip.MustParseAddr("198.51.100.1")
	serverY = netip.MustParseAddr("198.51.100.2")
	midway  = netip.MustParseAddr("203.0.113.254") // a router behind the NAT
)

const (
	portOne = 3478
	portTwo = 3479
)

func at(a netip.Addr, port int) netip.AddrPort { return netip.AddrPortFrom(a, uint16(port)) }

// bench is a NAT on a workbench. The first error sticks: what is measured after it is nothing.
type bench struct {
	player  scenario.Player
	virtual bool // time can be told to pass
	err     error
	ct      []string // conntrack's lines after the last packet
	expects []string
	next    int // port of the next flow
	txid    byte
}

// layout is what a measurement wants of the NAT beside its configuration.
type layout struct {
	pool  bool // four external addresses
	ports bool // two external ports, for UDP only
}

// open sets up the NAT anew.
func (b *bench) open(c *Config, l layout) {
	target := "-j MASQUERADE"
	switch {
	case l.pool:
		target = "-j SNAT --to-source 203.0.113.1-203.0.113.4"
	case l.ports:
		target = "-p udp -j MASQUERADE --to-ports 2000-2001"
	}
	q := scenario.Request{
		Op: "scenario", Name: "nat-check",
		Interfaces: []scenario.Interface{
			{Name: "lan", Addrs: []scenario.Address{{Local: "192.168.1.1/24"}}},
			{Name: "wan", MTU: wanMTU, Addrs: []scenario.Address{{Local: "203.0.113.1/24"}, {Local: "203.0.113.2/24"}, {Local: "203.0.113.3/24"}, {Local: "203.0.113.4/24"}}},
		},
		Routes: []string{"default via 203.0.113.254 dev wan"},
		Rules:  &scenario.Rules{V4: c.Rules + "*nat\n-A POSTROUTING -o wan " + strings.TrimSpace(target+" "+c.Options) + "\nCOMMIT\n"},
	}
	for _, s := range c.Sysctls {
		q.Sysctls = append(q.Sysctls, scenario.Sysctl{Name: s[0], Value: s[1]})
	}
	b.next = 20000
	b.ask(&q)
}

func (b *bench) ask(q *scenario.Request) *scenario.Answer {
	if b.err != nil {
		return nil
	}
	a, err := b.player.Ask(q)
	if err != nil {
		b.err = err
		return nil
	}
	b.ct, b.expects = a.CT, a.Expect
	return a
}

// wait lets time pass.
func (b *bench) wait(d time.Duration) { b.ask(&scenario.Request{Op: "sleep", MS: d.Milliseconds()}) }

// arrival is a datagram that came out of the NAT.
type arrival struct {
	dev string
	*packet.Packet
}

// nobody is who was not seen.
var nobody = netip.MustParseAddrPort("0.0.0.0:0")

// nothing stands for what did not arrive: a measurement that goes on with it finds nothing.
func nothing() arrival {
	p := packet.New()
	p.Load(packet.MustBuild("ip4 0.0.0.0>0.0.0.0 / udp 0>0"))
	p.Parse()
	return arrival{Packet: p}
}

func (a *arrival) from() netip.AddrPort {
	src, _, _ := a.Ports()
	return netip.AddrPortFrom(a.Src().IP(), src)
}

func (a *arrival) to() netip.AddrPort {
	_, dst, _ := a.Ports()
	return netip.AddrPortFrom(a.Dst().IP(), dst)
}

// payload is what stands behind a UDP header.
func (a *arrival) payload() []byte {
	l4 := a.L4Bytes()
	switch {
	case a.Proto == packet.ProtoUDP && len(l4) >= 8:
		return l4[8:]
	case a.Proto == packet.ProtoTCP && len(l4) >= 20 && int(l4[12]>>4)*4 <= len(l4):
		return l4[int(l4[12]>>4)*4:]
	}
	return nil
}

// isError tells whether it is an ICMP error of this type and code.
func (a *arrival) isError(typ, code byte) bool {
	l4 := a.L4Bytes()
	return a.IsICMPError() && len(l4) >= 8 && l4[0] == typ && l4[1] == code
}

// send lets a datagram arrive at the NAT, in packet notation, and gives what comes out.
func (b *bench) send(dev, text string) []arrival {
	d, err := packet.Build(text)
	if err != nil && b.err == nil {
		b.err = fmt.Errorf("%s: %w", text, err)
	}
	return b.inject(dev, d)
}

func (b *bench) inject(dev string, datagrams ...[]byte) (out []arrival) {
	q := scenario.Request{Op: "inject", If: dev}
	for _, d := range datagrams {
		q.Hex = append(q.Hex, hex.EncodeToString(d))
	}
	a := b.ask(&q)
	if a == nil {
		return nil
	}
	for _, o := range a.Out {
		d, err := hex.DecodeString(o.Hex)
		p := packet.New()
		p.Load(d)
		if why := p.Parse(); err != nil || why != packet.ReasonNone {
			b.err = fmt.Errorf("what came out cannot be read: %v, %s", why, o.Hex)
			return nil
		}
		out = append(out, arrival{o.If, p})
	}
	return out
}

// port gives a port that no flow has had.
func (b *bench) port() int {
	b.next += 2
	return b.next
}

func udpText(from, to netip.AddrPort, payload []byte) string {
	return fmt.Sprintf("ip4 %s>%s / udp %d>%d / raw %x", from.Addr(), to.Addr(), from.Port(), to.Port(), payload)
}

// datagram sends UDP and gives what arrived on the other side at anybody, as the only thing that did.
func (b *bench) datagram(dev string, from, to netip.AddrPort) (arrival, bool) {
	b.txid++
	token := []byte{'n', 'a', 't', b.txid}
	for _, a := range b.send(dev, udpText(from, to, token)) {
		if string(a.payload()) == string(token) {
			return a, true
		}
	}
	return nothing(), false
}

// calls tells whether UDP from outside to an external endpoint reaches a host inside.
func (b *bench) calls(from, external, client netip.AddrPort) bool {
	a, ok := b.datagram("wan", from, external)
	return ok && a.dev == "lan" && a.to() == client && a.from() == from
}

// mapped asks a STUN server whom it sees, as the client is told.
func (b *bench) mapped(client, server netip.AddrPort) (netip.AddrPort, bool) {
	return b.stun(client, server, Message{})
}

// stun sends a Binding request, lets the server answer from where it was asked to, and gives what the client hears.
func (b *bench) stun(client, server netip.AddrPort, m Message) (netip.AddrPort, bool) {
	b.txid++
	m.Transaction[0] = b.txid
	for _, a := range b.send("lan", udpText(client, server, m.Append(nil))) {
		q, err := ParseMessage(a.payload())
		if err != nil || q.Response || a.dev != "wan" || a.to() != server {
			continue
		}
		answer := Message{Response: true, Transaction: q.Transaction, Mapped: a.from()}
		from := server
		if q.ChangeAddr {
			from = at(other(from.Addr()), int(from.Port()))
		}
		if q.ChangePort {
			from = at(from.Addr(), portOne+portTwo-int(from.Port()))
		}
		for _, back := range b.send("wan", udpText(from, a.from(), answer.Append(nil))) {
			r, err := ParseMessage(back.payload())
			if err == nil && r.Response && r.Transaction == m.Transaction && back.dev == "lan" && back.to() == client {
				return r.Mapped, true
			}
		}
	}
	return nobody, false
}

func other(server netip.Addr) netip.Addr {
	if server == serverX {
		return serverY
	}
	return serverX
}

// read is timeout for people: a moment may have passed since it was set.
func (b *bench) read(words ...string) (time.Duration, bool) {
	d, ok := b.timeout(words...)
	return d.Round(5 * time.Second), ok
}

// timeout is that of the conntrack entry whose line has these words: for NATs whose time cannot be told to pass.
func (b *bench) timeout(words ...string) (time.Duration, bool) {
	for _, line := range b.ct {
		f := strings.Fields(line)
		all := len(f) > 4
		for _, w := range words {
			all = all && strings.Contains(line, w)
		}
		if all {
			n, err := strconv.Atoi(f[4])
			return time.Duration(n) * time.Second, err == nil
		}
	}
	return 0, false
}
