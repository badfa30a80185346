package difftest

import (
	"fmt"
	"strings"
)

// side is one end of a TCP conversation, with the addresses and ports that it sees.
type side struct {
	dev          string
	src, dst     string
	sport, dport string
	seq          uint32 // the next byte that it sends
	acked        uint32 // what it has taken of the other's
	v6           bool
}

// conversation is a TCP connection from its opening to its end, or to its second opening, with segments on the way that
// do not belong there.
func (g *gen) conversation(x *session) error {
	f := g.newFlow()
	f.proto = "tcp"
	g.flows = append(g.flows, f)
	c := &side{f.dev.name, f.src, f.dst, fmt.Sprint(f.sport), fmt.Sprint(f.dport), f.seq, 0, f.v6}
	before := len(g.out)
	options := pick(g, "", " mss=1460", " mss=1460 ws=7 sackok", " mss=1460 sackok ts=100:0", " ws=14")
	if err := g.segment(x, c, "S", options); err != nil {
		return err
	}
	if len(g.out) == before {
		return nil
	}
	o := g.out[len(g.out)-1]
	if o.proto != 6 || !strings.Contains(o.flags, "S") || strings.Contains(o.flags, "A") {
		return nil // the router answered it
	}
	c.seq++
	s := &side{o.dev, o.dst, o.src, o.dport, o.sport, pick(g, uint32(5000), 0xfffffff8), c.seq, o.v6}
	if g.chance(90) {
		if err := g.segment(x, s, pick(g, "SA", "SA", "SA", "SA", "S"), pick(g, "", " mss=1400", " mss=1460 ws=5 sackok", " ts=9:100")); err != nil {
			return err
		}
		s.seq++
		c.acked = s.seq
	}
	for n := 2 + g.r.IntN(10); n > 0; n-- {
		a, b := c, s
		if g.chance(50) {
			a, b = s, c
		}
		if err := g.talk(x, a, b); err != nil {
			return err
		}
	}
	return nil
}

// talk is one segment from a to b.
func (g *gen) talk(x *session, a, b *side) error {
	seq, acked := a.seq, a.acked
	defer func() { b.acked = a.seq }()
	send := func(flags, more string) error { return g.segment(x, a, flags, more) }
	switch g.r.IntN(20) {
	case 0, 1, 2, 3:
		n := g.bulk(pick(g, 1, 10, 500, 1400))
		err := send("PA", fmt.Sprintf(" len=%d", n))
		a.seq += uint32(n)
		return err
	case 4, 5, 6, 7:
		return send("A", pick(g, "", "", " win=0", " win=10", " win=65535"))
	case 8, 9, 10:
		err := send("FA", pick(g, "", " len=5"))
		a.seq++
		return err
	case 11:
		return send(pick(g, "R", "RA"), "")
	case 12: // again what was sent
		a.seq -= pick(g, uint32(1), 10, 100)
		err := send(pick(g, "A", "PA", "FA"), pick(g, " len=1", " len=10", ""))
		a.seq = seq
		return err
	case 13: // beyond what may be sent
		a.seq += pick(g, uint32(1), 1000, 66000, 200000, 0x80000000)
		err := send(pick(g, "A", "PA", "R", "RA", "FA", "S"), "")
		a.seq = seq
		return err
	case 14: // acknowledging what was never sent, or long ago
		a.acked += pick(g, uint32(1), 100000, 0x80000000, 0xffffff00, 0xfffe0000)
		err := send(pick(g, "A", "PA", "RA"), "")
		a.acked = acked
		return err
	case 15: // open again
		a.seq = pick(g, a.seq+100000, a.seq-100000, a.seq)
		err := send("S", pick(g, "", " mss=1460 ws=2"))
		a.seq++
		return err
	case 16:
		return send(pick(g, "SA", "S", "-", "SF", "FPU", "SR", "PA", "U", "SEC"), "")
	case 17: // selective acknowledgement
		return send("A", fmt.Sprintf(" opts=0101050a%08x%08x", b.seq+100, b.seq+200))
	case 18:
		return send("A", pick(g, " ts=200:9", " ts=1:1", " opts=0101", " opts=020405b4", " opts=ff00", " opts=0500"))
	}
	return send("R", "") // the second most frequent end
}

func (g *gen) segment(x *session, a *side, flags, more string) error {
	return g.inject(x, a.dev, fmt.Sprintf("%s / tcp %s>%s %s seq=%d ack=%d%s%s", g.ipLayer(a.v6, a.src, a.dst), a.sport, a.dport, flags, a.seq,
		map[bool]uint32{true: a.acked}[strings.Contains(flags, "A")], more, g.badSum()))
}

// crowd is several senders that want the same of the same.
func (g *gen) crowd(x *session) error {
	f := g.newFlow()
	for range 2 + g.r.IntN(4) {
		if g.chance(70) {
			f.src = pick(g, f.dev.hosts[fam(f.v6)]...)
		}
		if g.chance(40) {
			f.sport = pick(g, 40000, 40001, 600, 100, 7)
		}
		g.flows = append(g.flows, f)
		if err := g.inject(x, f.dev.name, g.first(&f)); err != nil {
			return err
		}
	}
	return nil
}

// repeat sends again what was sent before, from where it came or from elsewhere.
func (g *gen) repeat(x *session) error {
	var old []int
	for i, st := range x.s.Steps {
		if st.Op == "inject" && !strings.Contains(strings.Join(st.Pkt, ""), "$") {
			old = append(old, i)
		}
	}
	if len(old) == 0 {
		return g.begin(x)
	}
	st := x.s.Steps[old[g.r.IntN(len(old))]]
	d := st.If
	if g.chance(10) {
		d = pick(g, g.devs...).name
	}
	return g.inject(x, d, st.Pkt...)
}

// chain6 draws extension headers of IPv6 in any order, with options that a receiver knows, skips, or must refuse.
func (g *gen) chain6() string {
	var b strings.Builder
	for n := 1 + g.r.IntN(3); n > 0; n-- {
		kind := pick(g, "hbh", "dstopt", "dstopt", "rt6", "frag6")
		if kind == "hbh" && b.Len() > 0 && g.chance(80) {
			kind = "dstopt"
		}
		switch kind {
		case "rt6":
			fmt.Fprintf(&b, " / rt6 %s%s", pick(g, "00", "02", "03", "04", "fd"), pick(g, "0000000000", "0100000000", "ff00000000", "0100000000"+"20010db8000900000000000000000009"))
		case "frag6":
			fmt.Fprintf(&b, " / frag6 id=%d%s", 0x6000+g.ipid, pick(g, "", "", "", " mf", " off=8", " off=1400"))
			g.ipid++
		default:
			fmt.Fprintf(&b, " / %s %s", kind, pick(g, "010400000000", "000000000000", "050200000100", "050200020100", "c20400011000", "c2040000ffff", "1e0400000000", "5e0400000000",
				"9e0400000000", "de0400000000", "010c00000000000000000000"+"0000", "01ff00000000", "00009e020000", "030000000000", "c90400000000", "040400000000", "0104000000010000"+"000000000000",
				"c9100102030405060708090a0b0c"+"0d0e0f1000000000"))
		}
	}
	return b.String()
}

// options4 are IPv4 options, right and wrong.
func (g *gen) options4() string {
	return pick(g, "01010101", "00010101", "94040000", "94040001", "94030000", "07070400000000", "07070800000000", "07030400", "0707050000000000", "070b08"+"0a000002"+"00000000",
		"44080500"+"00000000", "440c0501"+"0a00000100000000", "440c0903"+"c0a8010100000000", "44040500", "44240d00"+strings.Repeat("00", 32),
		"830704"+"0a000007", "830b04"+"0a000001"+"c633640900", "890704"+"0a000001", "890708"+"0a000001", "83030400", "8607000000"+"0000", "820b0000000000000000"+"00", "99040000", "19040000",
		"0100"+"0707", "07", "0102", "072704"+strings.Repeat("00", 37))
}

// headers sends a packet whose options or extension headers are the point.
func (g *gen) headers(x *session) error {
	f := g.newFlow()
	head := ip(f.v6, f.src, f.dst)
	if f.v6 {
		head += g.chain6()
	} else {
		g.ipid++
		head = ip(false, f.src, f.dst, fmt.Sprintf("id=%#x", 0x1000+g.ipid), "opts="+g.options4(), pick(g, "", "df", "ttl=1"))
	}
	g.flows = append(g.flows, f)
	l4 := pick(g, fmt.Sprintf("udp %d>%d len=20", f.sport, f.dport), fmt.Sprintf("tcp %d>%d S seq=%d", f.sport, f.dport, f.seq),
		fmt.Sprintf("%s %s id=%d seq=1 len=20", icmp(f.v6), map[bool]string{false: "8/0", true: "128/0"}[f.v6], f.sport))
	if f.v6 && g.chance(10) {
		l4 = "raw 3b00"
	}
	return g.inject(x, f.dev.name, head+" / "+l4)
}

// oddError is an ICMP error of any kind whose quote is cut, fragmented, full of options, or of something that never was.
func (g *gen) oddError(x *session) error {
	s := g.latest()
	if s == nil {
		return g.begin(x)
	}
	q := s.quote(pick(g, 0, 8, 100, 500))
	if q == "" || g.chance(10) {
		f := g.newFlow()
		q = (&seen{v6: f.v6, src: f.dst, dst: f.src, proto: 17, sport: "53", dport: "40000", ttl: 60}).quote(8)
		if f.v6 != s.v6 {
			return g.begin(x)
		}
	}
	layer, rest, _ := strings.Cut(q, " / ")
	if s.v6 {
		layer += pick(g, "", g.chain6(), " / frag6 id=7 mf", " / frag6 id=7", " / hbh 010400000000", " / frag6 id=7 off=8 mf", " / dstopt 010400000000 / rt6 000000000000", " hlim=0 tc=3", " plen=9")
	} else {
		layer += pick(g, "", " mf", " off=8", " off=24 mf", " df", " opts="+g.options4(), " opts=01010101", " ihl=4", " ihl=6", " len=20", " len=9000", " ttl=0", " sum=bad", " ver=6", " tos=0x3")
	}
	if strings.Contains(q, "$") {
		layer, _, _ = strings.Cut(q, " / ") // a value that the router chose can be told from others only where it belongs
	}
	switch n := g.r.IntN(8); {
	case strings.Contains(q, "$"):
	case n == 0 && s.proto == 17:
		rest = strings.Replace(strings.Replace(rest, "udp", "tcp", 1), " len=", " A len=", 1)
	case n == 1:
		rest = icmp(s.v6) + " " + map[bool]string{false: "3/3", true: "1/4"}[s.v6] + " / " + layer + " / " + rest
	case n == 2:
		rest = "raw " + pick(g, "", "00350035", "9c40003500", "0000000000000000")
	}
	trunc := ""
	if g.chance(50) {
		trunc = fmt.Sprintf(" trunc=%d", pick(g, 0, 4, 19, 20, 24, 27, 28, 36, 40, 44, 48, 52, 56, 64, 128))
	}
	kind := pick(g, "0/0", "3/0", "3/2", "3/3", "3/4 mtu=0", "3/4 mtu=68", "3/4 mtu=1400", "3/5", "3/9", "3/13", "3/15", "3/99", "4/0", "5/0 gw=10.0.0.9", "5/1 gw=192.168.1.9", "5/3 gw=0.0.0.0",
		"9/0", "10/0", "11/0", "11/1", "11/2", "12/0", "12/1", "12/2", "14/0", "18/0", "40/0")
	if s.v6 {
		kind = pick(g, "0/0", "1/0", "1/2", "1/4", "1/6", "1/7", "1/99", "2/0 mtu=0", "2/0 mtu=1280", "2/0 mtu=1000", "2/1 mtu=1400", "3/0", "3/1", "3/2", "4/0", "4/1 ptr=6", "4/2 ptr=40", "4/3", "5/0", "100/0", "127/0",
			"137/0")
	}
	from, to, dev := s.dst, s.src, s.dev
	switch g.r.IntN(6) {
	case 0:
		from = pick(g, g.devs[0].router[fam(s.v6)], g.devs[1].router[fam(s.v6)], "192.0.2.1")
		if s.v6 && !strings.Contains(from, ":") {
			from = "2001:db8:6::1"
		}
	case 1:
		to = pick(g, g.devs[0].own[fam(s.v6)], g.devs[1].own[fam(s.v6)], g.devs[0].hosts[fam(s.v6)][1])
	case 2:
		dev = pick(g, g.devs...).name
	}
	return g.inject(x, dev, fmt.Sprintf("%s / %s %s%s%s / %s / %s", g.ipLayer(s.v6, from, to), icmp(s.v6), kind, trunc, g.badSum(), layer, rest))
}
