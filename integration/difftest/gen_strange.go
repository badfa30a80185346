package difftest

import (
	"fmt"
	"strings"
)

// strange sends what a careful sender would not: special addresses, sizes beyond an MTU, lengths that lie, fragments
// that overlap.
func (g *gen) strange(x *session) error {
	return choose(g, []weighted[func(*session) error]{{30, g.large}, {30, g.specialAddress}, {20, g.overlap}, {20, g.lying}})(x)
}

// large sends a datagram that does not fit the next link, or does so just barely.
func (g *gen) large(x *session) error {
	f := g.newFlow()
	head := ip(f.v6, f.src, f.dst)
	if !f.v6 {
		g.ipid++
		head += fmt.Sprintf(" id=%#x", 0x3000+g.ipid)
		if g.chance(50) {
			head += " df"
		}
	}
	n := pick(g, 1232, 1252, 1253, 1352, 1372, 1373, 1452, 1453, 1472, 1473, 2000, 4000)
	f.proto = pick(g, "udp", "udp", "tcp", "icmp")
	g.flows = append(g.flows, f)
	switch f.proto {
	case "tcp":
		return g.inject(x, f.dev.name, fmt.Sprintf("%s / tcp %d>%d PA seq=%d ack=1 len=%d", head, f.sport, f.dport, f.seq, n))
	case "icmp":
		return g.inject(x, f.dev.name, fmt.Sprintf("%s / %s %s id=%d seq=1 len=%d", head, icmp(f.v6), map[bool]string{false: "8/0", true: "128/0"}[f.v6], f.sport, n))
	}
	return g.inject(x, f.dev.name, fmt.Sprintf("%s / udp %d>%d len=%d", head, f.sport, f.dport, n))
}

// specialAddress sends from or to an address that is not an ordinary host's.
func (g *gen) specialAddress(x *session) error {
	f := g.newFlow()
	odd := pick(g, [2][]string{
		{"0.0.0.0", "127.0.0.1", "224.0.0.1", "239.1.2.3", "255.255.255.255", "240.0.0.1", "192.168.1.255", "192.168.1.0", "169.254.1.1", "192.168.1.1", "10.0.0.2"},
		{"::", "::1", "ff02::1", "ff05::1:3", "ff0e::1", "fe80::1", "::ffff:10.0.0.1", "fec0::1", "fd00:1::1", "fd00:f::2", "fd00:1::"},
	}[fam(f.v6)]...)
	if g.chance(50) {
		f.src = odd
	} else {
		f.dst = odd
	}
	return g.inject(x, f.dev.name, g.first(&f))
}

// overlap sends the fragments of one small datagram with some of them moved, cut or sent again.
func (g *gen) overlap(x *session) error {
	f := g.newFlow()
	g.ipid++
	id := 0x5000 + g.ipid
	piece := func(off, n int, more bool) string {
		mf := ""
		if more {
			mf = " mf"
		}
		// Eight bytes of UDP header and a payload whose bytes say where they belong.
		payload := fmt.Sprintf("%04x%04x00200000", f.sport, f.dport) + strings.Repeat("4142434445464748", 8)
		raw := payload[min(2*off, 128):min(2*(off+n), len(payload))]
		if f.v6 {
			return fmt.Sprintf("%s / frag6 off=%d%s id=%d nh=17 / raw %s", ip(true, f.src, f.dst), off, mf, id, raw)
		}
		return fmt.Sprintf("%s / raw %s", ip(false, f.src, f.dst, fmt.Sprintf("id=%d off=%d%s proto=17", id, off, mf)), raw)
	}
	var pieces []string
	for off := 0; off < 32; {
		n := pick(g, 8, 8, 16)
		pieces = append(pieces, piece(off, n, off+n < 32))
		off += n
	}
	for range 1 + g.r.IntN(2) {
		pieces = append(pieces, piece(8*g.r.IntN(5), pick(g, 8, 16, 24, 5, 0), g.chance(80)))
	}
	g.r.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
	return g.inject(x, f.dev.name, pieces...)
}

// lying sends a header that does not tell the truth.
func (g *gen) lying(x *session) error {
	f := g.newFlow()
	var o string
	if f.v6 {
		o = pick(g, "plen=0", "plen=4", "plen=9", "plen=2000", "hlim=0")
	} else {
		o = pick(g, "len=20", "len=24", "len=27", "len=2000", "ihl=4", "ihl=6", "ver=5", "sum=bad", "ttl=0", "rb", "mf", "off=8")
	}
	head := ip(f.v6, f.src, f.dst, o)
	switch pick(g, 0, 1, 2) {
	case 0:
		return g.inject(x, f.dev.name, fmt.Sprintf("%s / udp %d>%d len=20 ulen=%d", head, f.sport, f.dport, pick(g, 28, 8, 7, 0, 40)))
	case 1:
		return g.inject(x, f.dev.name, fmt.Sprintf("%s / tcp %d>%d S seq=1 len=20 doff=%d", head, f.sport, f.dport, pick(g, 5, 4, 15, 0)))
	}
	return g.inject(x, f.dev.name, fmt.Sprintf("%s / udp %d>%d len=20", head, f.sport, f.dport))
}
