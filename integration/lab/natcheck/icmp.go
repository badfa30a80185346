package natcheck

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/moat-router/moat/stack/packet"
)

// What RFC 5508 asks about ICMP.

// sentPayload is the payload of TCP in packet notation.
func sentPayload(text string) (string, error) {
	d, err := packet.Build(text)
	if err != nil {
		return "", err
	}
	p := packet.New()
	p.Load(d)
	p.Parse()
	a := arrival{Packet: p}
	return string(a.payload()), nil
}

// translatedInside tells whether an error that came from outside arrived at the client as one about what the client
// itself had sent.
func translatedInside(out []arrival, client, server netip.AddrPort) Finding {
	if len(out) == 0 {
		return Finding{false, "dropped"}
	}
	a := out[0]
	q, ok := a.Quote()
	src, dst, _ := q.Ports()
	switch {
	case len(out) != 1 || a.dev != "lan" || !ok:
		return Finding{false, "something else came out"}
	case a.Dst().IP() != client.Addr():
		return Finding{false, "goes to " + a.Dst().String()}
	case netip.AddrPortFrom(q.Src().IP(), src) != client || netip.AddrPortFrom(q.Dst().IP(), dst) != server:
		return Finding{false, fmt.Sprintf("quotes %s:%d>%s:%d", q.Src(), src, q.Dst(), dst)}
	case !a.TransportSumOK():
		return Finding{false, "with a wrong checksum"}
	}
	return Finding{true, "translated, quote and all"}
}

// query sends an ICMP query and gives it as it left.
func (b *bench) query(typ, id int, to netip.Addr) (arrival, bool) {
	out := b.send("lan", fmt.Sprintf("ip4 %s>%s / icmp %d/0 id=%d seq=1 len=12", hostA, to, typ, id))
	if len(out) != 1 || out[0].dev != "wan" || len(out[0].L4Bytes()) < 8 {
		return nothing(), false
	}
	return out[0], true
}

func (a *arrival) id() int { return int(binary.BigEndian.Uint16(a.L4Bytes()[4:])) }

// answers tells whether the answer to a query comes in.
func (b *bench) answers(q arrival, typ, id int) bool {
	out := b.send("wan", fmt.Sprintf("ip4 %s>%s / icmp %d/0 id=%d seq=1 len=12", q.Dst(), q.Src(), typ, q.id()))
	return len(out) == 1 && out[0].dev == "lan" && out[0].Dst().IP() == hostA && len(out[0].L4Bytes()) >= 8 && out[0].id() == id
}

func icmpQueries(b *bench, c *Config) Finding {
	b.open(c, layout{})
	for query, answer := range map[int]int{8: 0, 13: 14} {
		id := b.port()
		one, ok1 := b.query(query, id, serverX)
		two, ok2 := b.query(query, id, serverY)
		if !ok1 || !ok2 || !b.answers(one, answer, id) || !b.answers(two, answer, id) {
			return Finding{false, fmt.Sprintf("type %d does not pass both ways", query)}
		}
	}
	return Finding{true, "echo and timestamp pass both ways"}
}

func icmpQueryMapping(b *bench, c *Config) Finding {
	b.open(c, layout{})
	id := b.port()
	one, ok1 := b.query(8, id, serverX)
	two, ok2 := b.query(8, id, serverY)
	switch {
	case !ok1 || !ok2:
		return Finding{Measured: "no query came out"}
	case one.id() != two.id() || one.Src() != two.Src():
		return Finding{false, "the id depends on the external host"}
	}
	return Finding{true, "independent"}
}

func (b *bench) queryLifetime() (time.Duration, bool) {
	if !b.virtual {
		b.query(8, b.port(), serverX)
		return b.read("icmp", fmt.Sprintf("id=%d", b.next))
	}
	return lifetime(b, 10*time.Minute, func(wait time.Duration) bool {
		id := b.port()
		q, ok := b.query(8, id, serverX)
		b.wait(wait)
		return ok && b.answers(q, 0, id)
	}), true
}

func icmpTimer(b *bench, c *Config) Finding {
	b.open(c, layout{})
	d, ok := b.queryLifetime()
	return Finding{ok && d >= time.Minute, seconds(d)}
}

// left opens a flow and gives it as it left.
func (b *bench) left() (a arrival, client, server netip.AddrPort) {
	client, server = at(hostA, b.port()), at(serverX, portOne)
	a, _ = b.datagram("lan", client, server)
	return a, client, server
}

func icmpBadSum(b *bench, c *Config) Finding {
	b.open(c, layout{})
	a, _, _ := b.left()
	e := quoting(midway, a.Packet, "3/1 sum=bad")
	if n := len(b.inject("wan", e)); n == 0 {
		return Finding{true, "dropped"}
	}
	return Finding{false, "passed on"}
}

// icmpBadQuoteSum breaks the header checksum of the quoted packet.
func icmpBadQuoteSum(b *bench, c *Config) Finding {
	b.open(c, layout{})
	a, _, _ := b.left()
	a.Data[10] ^= 0x55
	if n := len(b.inject("wan", quoting(midway, a.Packet, "3/1"))); n == 0 {
		return Finding{true, "dropped"}
	}
	return Finding{false, "passed on, as it is"}
}

func icmpQuotedOptions(b *bench, c *Config) Finding {
	b.open(c, layout{})
	client, server := at(hostA, b.port()), at(serverX, portOne)
	out := b.send("lan", fmt.Sprintf("ip4 %s>%s opts=01010101 / udp %d>%d len=8", hostA, serverX, client.Port(), server.Port()))
	if len(out) != 1 {
		return Finding{Measured: "a packet with options does not pass"}
	}
	return translatedInside(b.inject("wan", quoting(midway, out[0].Packet, "3/1")), client, server)
}

// icmpQuotedSum breaks the checksum of the quoted transport header, which is not to be asked for.
func icmpQuotedSum(b *bench, c *Config) Finding {
	b.open(c, layout{})
	a, client, server := b.left()
	a.Data[a.HeaderLen()+6] ^= 0x55
	f := translatedInside(b.inject("wan", quoting(midway, a.Packet, "3/1")), client, server)
	if f.Met {
		f.Measured = "not asked for"
	}
	return f
}

func icmpFromOutside(b *bench, c *Config) Finding {
	b.open(c, layout{})
	a, client, server := b.left()
	for _, kind := range [][2]byte{{3, 1}, {3, 3}, {11, 0}} {
		out := b.inject("wan", quoting(midway, a.Packet, fmt.Sprintf("%d/%d", kind[0], kind[1])))
		if f := translatedInside(out, client, server); !f.Met {
			return f
		}
		if !out[0].isError(kind[0], kind[1]) || out[0].Src().IP() != midway {
			return Finding{false, "type, code or sender are changed"}
		}
	}
	stray, err := packet.Build(fmt.Sprintf("ip4 %s>%s / icmp 3/1 / ip4 %s>%s / udp 44444>9 len=8", midway, a.Src(), a.Src(), serverX))
	if err != nil && b.err == nil {
		b.err = err
	}
	if len(b.inject("wan", stray)) != 0 {
		return Finding{false, "translated; but one without a mapping passes"}
	}
	return Finding{true, "translated; dropped without a mapping"}
}

// icmpExtensions has an error with extensions behind a quote that is padded to 128 bytes, as RFC 4884 4.6 wants it: they
// arrive as they were, and the checksum covers them.
func icmpExtensions(b *bench, c *Config) Finding {
	b.open(c, layout{})
	a, client, server := b.left()
	quote := make([]byte, 128)
	copy(quote, a.Data)
	extension := []byte{0x20, 0, 0, 0, 0, 8, 1, 1, 0, 1, 2, 3} // version 2 without a checksum; an MPLS label
	e, err := packet.Build(fmt.Sprintf("ip4 %s>%s / icmp 11/0 / raw %x%x", midway, a.Src(), quote, extension))
	if err != nil {
		b.err = err
		return Finding{}
	}
	icmp := e[20:]
	icmp[5] = byte(len(quote) / 4)
	sum := uint32(^binary.BigEndian.Uint16(icmp[2:])) + uint32(icmp[5])
	binary.BigEndian.PutUint16(icmp[2:], ^uint16(sum+sum>>16))
	out := b.inject("wan", e)
	if f := translatedInside(out, client, server); !f.Met {
		return f
	}
	if l4 := out[0].L4Bytes(); !bytes.HasSuffix(l4, extension) || l4[5] != icmp[5] {
		return Finding{false, "they do not arrive as they were"}
	}
	return Finding{true, "left as they are"}
}

// icmpFromInside lets the client refuse what it is sent, and then a router inside, whose address is not to be told.
func icmpFromInside(b *bench, c *Config) Finding {
	b.open(c, layout{})
	a, client, server := b.left()
	back := b.send("wan", udpText(server, a.from(), []byte("back")))
	if len(back) != 1 {
		return Finding{Measured: "no answer came in"}
	}
	for _, from := range []netip.Addr{client.Addr(), netip.MustParseAddr("192.168.1.254")} {
		e, err := packet.Build(fmt.Sprintf("ip4 %s>%s / icmp 3/3 / raw %x", from, server.Addr(), back[0].Data))
		if err != nil && b.err == nil {
			b.err = err
		}
		out := b.inject("lan", e)
		if len(out) != 1 || out[0].dev != "wan" {
			return Finding{false, "dropped"}
		}
		q, ok := out[0].Quote()
		src, dst, _ := q.Ports()
		if !ok || out[0].Src() != a.Src() || netip.AddrPortFrom(q.Dst().IP(), dst) != a.from() || netip.AddrPortFrom(q.Src().IP(), src) != server {
			return Finding{false, "a private address leaves"}
		}
		if !out[0].isError(3, 3) || !out[0].TransportSumOK() {
			return Finding{false, "type, code or checksum are changed"}
		}
	}
	stray, err := packet.Build(fmt.Sprintf("ip4 %s>%s / icmp 3/3 / ip4 %s>%s / udp 9>44444 len=8", hostA, serverX, serverX, hostA))
	if err != nil && b.err == nil {
		b.err = err
	}
	if len(b.inject("lan", stray)) != 0 {
		return Finding{false, "translated; but one without a mapping leaves as it is"}
	}
	return Finding{true, "translated; dropped without a mapping"}
}

// icmpNoRefresh lets an error about a query come when half of its time is over.
func icmpNoRefresh(b *bench, c *Config) Finding {
	b.open(c, layout{})
	if b.virtual {
		d, _ := b.queryLifetime()
		id := b.port()
		q, _ := b.query(8, id, serverX)
		b.wait(d / 2)
		b.inject("wan", quoting(midway, q.Packet, "11/0"))
		alive := b.answers(q, 0, id)
		id = b.port()
		q, _ = b.query(8, id, serverX)
		b.wait(d / 2)
		b.inject("wan", quoting(midway, q.Packet, "11/0"))
		b.wait(d - d/2 + time.Second)
		return noRefresh(alive, b.answers(q, 0, id))
	}
	q, _ := b.query(8, b.port(), serverX)
	entry := fmt.Sprintf("id=%d", b.next)
	full, _ := b.timeout("icmp", entry)
	b.wait(2500 * time.Millisecond)
	b.inject("wan", quoting(midway, q.Packet, "11/0"))
	worn, ok := b.timeout("icmp", entry)
	return noRefresh(ok, worn > full-2*time.Second)
}

func noRefresh(alive, refreshed bool) Finding {
	switch {
	case !alive:
		return Finding{false, "an error ends the session"}
	case refreshed:
		return Finding{false, "an error refreshes the session"}
	}
	return Finding{true, "errors neither refresh nor end"}
}

// icmpHairpin lets a host inside refuse a hairpinned packet of another.
func icmpHairpin(b *bench, c *Config) Finding {
	b.open(c, layout{})
	f, got, external := hairpin(b)
	if !f.Met {
		return Finding{false, "hairpins are not supported"}
	}
	out := b.inject("lan", quoting(hostA, got.Packet, "3/3"))
	if len(out) != 1 || out[0].dev != "lan" {
		return Finding{false, "dropped"}
	}
	q, ok := out[0].Quote()
	src, dst, _ := q.Ports()
	if !ok || out[0].Dst().IP() != hostB || netip.AddrPortFrom(q.Dst().IP(), dst) != external[0] || q.Src().IP() != hostB || src == 0 {
		return Finding{false, "not translated"}
	}
	return Finding{true, "translated both ways"}
}

func icmpExhausted(b *bench, c *Config) Finding {
	b.open(c, layout{ports: true})
	for i := range 3 {
		out := b.send("lan", udpText(at(hostA, 5000+i), at(serverX, portOne), []byte("more")))
		if i < 2 {
			continue
		}
		switch {
		case len(out) == 1 && out[0].dev == "lan" && out[0].isError(3, 13):
			return Finding{true, "error 3/13"}
		case len(out) == 0:
			return Finding{false, "dropped in silence"}
		}
	}
	return Finding{false, "not dropped"}
}

func icmpKinds(b *bench, c *Config) Finding {
	b.open(c, layout{})
	a, client, server := b.left()
	for _, kind := range []string{"3/0", "3/1", "3/3", "3/4", "11/0", "11/1"} {
		if f := translatedInside(b.inject("wan", quoting(midway, a.Packet, kind)), client, server); !f.Met {
			return Finding{false, kind + ": " + f.Measured}
		}
	}
	out := b.send("lan", fmt.Sprintf("ip4 %s>%s ttl=1 / udp 5000>33434 len=8", hostA, serverX))
	if len(out) != 1 || !out[0].isError(11, 0) {
		return Finding{false, "no time exceeded of its own"}
	}
	id := b.port()
	if q, ok := b.query(8, id, serverX); !ok || !b.answers(q, 0, id) {
		return Finding{false, "no echo"}
	}
	return Finding{true, "unreachable, time exceeded, echo"}
}
