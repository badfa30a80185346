package difftest

import (
	"fmt"
	"strings"

	"github.com/moat-router/moat/integration/scenario"
)

// ports that rules and packets share, so that rules match often.
var ports = []int{53, 80, 443, 8080, 2000, 5000, 33434, 600, 100}

func (g *gen) family() bool { return g.v6 && (!g.v4 || g.chance(50)) }

// begin sends the first packet of a flow.
func (g *gen) begin(x *session) error {
	if len(g.listens) == 0 && g.chance(6) {
		l := listener{pick(g, "tcp", "udp"), g.devs[0].own[fam(g.family())], pick(g, 80, 53)}
		if _, err := x.do(scenario.Step{Op: "listen", Proto: l.proto, Addr: l.addr, Port: l.port}); err != nil {
			return err
		}
		g.listens = append(g.listens, l)
	}
	f := g.newFlow()
	g.flows = append(g.flows, f)
	return g.inject(x, f.dev.name, g.first(&f))
}

func (g *gen) newFlow() flow {
	v6 := g.family()
	from, to := pick(g, g.devs...), pick(g, g.devs...)
	f := flow{dev: from, v6: v6, src: pick(g, from.hosts[fam(v6)]...), sport: pick(g, 40000, 40001, 1000, 600, 100, 5000, 53),
		dport: pick(g, ports...), seq: pick(g, uint32(1000), 0xfffffff0, 77777)}
	switch n := g.r.IntN(100); {
	case n < 70:
		f.dst = pick(g, to.hosts[fam(v6)]...)
	case n < 92:
		f.dst = to.own[fam(v6)]
	default:
		f.dst = pick(g, [2][]string{{"198.51.100.130", "198.51.100.70", "203.0.113.200", "10.0.0.3", "192.168.1.77"},
			{"2001:db8:7::1", "2001:db8:8::77", "fd00:f::3", "fd00:1::77", "fd00:f::50"}}[fam(v6)]...)
	}
	f.proto = choose(g, []weighted[string]{{45, "udp"}, {35, "tcp"}, {15, "icmp"}, {5, "other"}})
	return f
}

// ipLayer draws the options of an IP layer.
func (g *gen) ipLayer(v6 bool, src, dst string, more ...string) string {
	var o []string
	if !v6 {
		g.ipid++
		o = append(o, fmt.Sprintf("id=%#x", 0x1000+g.ipid))
		if g.chance(20) {
			o = append(o, "df")
		}
	}
	if g.chance(g.oddities) {
		ttl := "ttl="
		if v6 {
			ttl = "hlim="
		}
		o = append(o, ttl+pick(g, "1", "2", "255"))
	}
	if g.chance(g.oddities) {
		tos := "tos="
		if v6 {
			tos = "tc="
		}
		o = append(o, tos+pick(g, "0x10", "0x2", "0x3", "0xb8", "0xe1"))
	}
	if !v6 && g.chance(g.oddities/3) {
		o = append(o, "opts="+pick(g, "01010100", "94040000", "07070400000000"+"00", "83070a000001"+"0000"))
	}
	layer := ip(v6, src, dst, append(o, more...)...)
	if v6 && g.chance(g.oddities/3) {
		layer += " / " + pick(g, "hbh 010400000000", "dstopt 010400000000", "hbh 050200000100", "rt6 000000000000")
	}
	return layer
}

func (g *gen) size() string {
	n := choose(g, []weighted[int]{{20, 0}, {40, 20}, {15, 100}, {10, 1200}, {6, 1372}, {6, 1452}, {3, 1472}})
	return fmt.Sprintf("len=%d", n)
}

func (g *gen) sizeUDP() string {
	if n := g.bulk(0); n > 0 {
		return fmt.Sprintf("len=%d", n)
	}
	return g.size()
}

func (g *gen) badSum() string {
	if g.chance(g.oddities / 4) {
		return " sum=bad"
	}
	return ""
}

// first is the first packet of f, mostly the one that the protocol begins with.
func (g *gen) first(f *flow) string {
	head := g.ipLayer(f.v6, f.src, f.dst)
	switch f.proto {
	case "udp":
		sum := g.badSum()
		if sum == "" && !f.v6 && g.chance(5) {
			sum = " sum=none"
		}
		return fmt.Sprintf("%s / udp %d>%d %s%s", head, f.sport, f.dport, g.sizeUDP(), sum)
	case "tcp":
		flags := "S"
		if g.chance(g.oddities) {
			flags = pick(g, "A", "SA", "R", "F", "FA", "PA", "-", "SF", "SEC", "SR", "FPU")
		}
		mss := ""
		if strings.Contains(flags, "S") {
			mss = pick(g, "", " mss=1460", " mss=1460 ws=7 sackok", " mss=536", " mss=1460 ts=100:0")
		}
		return fmt.Sprintf("%s / tcp %d>%d %s seq=%d ack=%d%s%s", head, f.sport, f.dport, flags, f.seq, f.ack, mss, g.badSum())
	case "icmp":
		kind := map[bool]string{false: "8/0", true: "128/0"}[f.v6]
		if g.chance(g.oddities) {
			kind = pick(g, [2][]string{{"0/0", "13/0", "17/0", "8/1", "3/3", "42/0"}, {"129/0", "1/4", "135/0", "128/1", "200/0"}}[fam(f.v6)]...)
		}
		return fmt.Sprintf("%s / %s %s id=%d seq=1 %s%s", head, icmp(f.v6), kind, f.sport, g.size(), g.badSum())
	}
	proto := pick(g, 47, 132, 50, 51, 136, 253, 4, 33)
	payload := "raw " + pick(g, "0800"+"0000"+"00112233445566778899aabb", "03e8"+"0035"+"00000000"+"00000000"+"01000014"+"00000001"+"0000ffff"+"00010001"+"00000005",
		"00112233"+"44556677"+"8899aabb", "03e80035001400000000000000000000"+"00000000", "3001880b00040007"+"0000000101020304", "2001880b00000007")
	if f.v6 {
		return strings.Replace(head, "ip6 ", "ip6 ", 1) + fmt.Sprintf(" nh=%d", proto) + " / " + payload
	}
	return head + fmt.Sprintf(" proto=%d", proto) + " / " + payload
}

// again sends another packet in the direction of the initiator.
func (g *gen) again(x *session) error {
	if len(g.flows) == 0 {
		return g.begin(x)
	}
	f := &g.flows[g.r.IntN(len(g.flows))]
	if f.proto != "tcp" {
		return g.inject(x, f.dev.name, g.first(f))
	}
	head := g.ipLayer(f.v6, f.src, f.dst)
	n := g.bulk(pick(g, 0, 0, 20, 200))
	flags := choose(g, []weighted[string]{{40, "A"}, {30, "PA"}, {12, "FA"}, {6, "R"}, {6, "RA"}, {6, "S"}})
	if n > 0 && flags == "A" {
		flags = "PA"
	}
	seq := f.seq + 1
	if g.chance(g.oddities) {
		seq += pick(g, uint32(1), 100, 70000, 0x80000000, 0xffffff00)
	}
	if f.ack == 0 && g.chance(70) {
		f.ack = 5001
	}
	text := fmt.Sprintf("%s / tcp %d>%d %s seq=%d ack=%d len=%d%s", head, f.sport, f.dport, flags, seq, f.ack, n, g.badSum())
	f.seq += uint32(n)
	return g.inject(x, f.dev.name, text)
}

// latest gives a packet that left, the latest ones first of all.
func (g *gen) latest() *seen {
	if len(g.out) == 0 {
		return nil
	}
	i := len(g.out) - 1
	for i > 0 && g.chance(35) {
		i--
	}
	return &g.out[i]
}

// reply answers a packet that left, as its receiver would.
func (g *gen) reply(x *session) error {
	s := g.latest()
	if s == nil || s.err || s.frag || s.sport == "" {
		return g.begin(x)
	}
	head := g.ipLayer(s.v6, s.dst, s.src)
	var text string
	switch s.proto {
	case 17:
		text = fmt.Sprintf("%s / udp %s>%s %s%s", head, s.dport, s.sport, g.sizeUDP(), g.badSum())
	case 6:
		text = fmt.Sprintf("%s / tcp %s>%s %s", head, s.dport, s.sport, g.answerTCP(s))
	case 1, 58:
		typ := map[uint8]int{8: 0, 0: 8, 128: 129, 129: 128, 13: 14}[s.typ]
		text = fmt.Sprintf("%s / %s %d/0 id=%s seq=1 %s%s", head, icmp(s.v6), typ, s.sport, g.size(), g.badSum())
	default:
		return g.begin(x)
	}
	return g.inject(x, s.dev, text)
}

func (g *gen) answerTCP(s *seen) string {
	ack := s.seq + uint32(s.length)
	if strings.ContainsAny(s.flags, "SF") {
		ack++
	}
	seq, n := s.ack, 0
	var flags string
	switch {
	case strings.Contains(s.flags, "S") && !strings.Contains(s.flags, "A"):
		seq = 5000
		flags = choose(g, []weighted[string]{{85, "SA"}, {8, "RA"}, {4, "S"}, {3, "A"}})
	case strings.Contains(s.flags, "R"):
		flags = pick(g, "A", "R", "S")
	default:
		flags = choose(g, []weighted[string]{{40, "A"}, {30, "PA"}, {15, "FA"}, {6, "R"}, {4, "RA"}, {3, "S"}, {2, "SA"}})
		if flags == "PA" {
			n = g.bulk(pick(g, 10, 100, 500))
		}
	}
	if g.chance(g.oddities) {
		seq += pick(g, uint32(1), 1000, 100000, 0x80000000, 0xfffffff0)
	}
	if g.chance(g.oddities / 2) {
		ack += pick(g, uint32(1), 1000, 100000, 0x80000000, 0xfffffff0)
	}
	win := pick(g, "", "", " win=0", " win=100")
	mss := ""
	if flags == "SA" {
		mss = pick(g, "", " mss=1400", " mss=1460 ws=5 sackok")
	}
	return fmt.Sprintf("%s seq=%d ack=%d len=%d%s%s%s", flags, seq, ack, n, win, mss, g.badSum())
}

// icmpError lets somebody behind an interface complain about a packet that left there.
func (g *gen) icmpError(x *session) error {
	s := g.latest()
	if s == nil {
		return g.begin(x)
	}
	quote := s.quote(pick(g, 0, 8, 100, 500))
	if quote == "" {
		return g.begin(x)
	}
	from, to := s.dst, s.src
	for _, d := range g.devs {
		if d.name == s.dev && g.chance(50) {
			from = d.router[fam(s.v6)]
		}
	}
	if g.chance(g.oddities) {
		to = pick(g, g.devs[0].own[fam(s.v6)], g.devs[1].own[fam(s.v6)], g.devs[0].hosts[fam(s.v6)][1])
	}
	kind := choose(g, []weighted[string]{{25, "3/3"}, {15, "3/1"}, {5, "3/0"}, {15, "3/4 mtu=1300"}, {5, "3/13"}, {15, "11/0"}, {3, "11/1"},
		{5, "12/0 ptr=20"}, {5, "4/0"}, {5, "5/1 gw=10.0.0.9"}})
	if s.v6 {
		kind = choose(g, []weighted[string]{{20, "1/4"}, {10, "1/0"}, {10, "1/1"}, {10, "1/3"}, {20, "2/0 mtu=1300"}, {20, "3/0"}, {5, "3/1"}, {10, "4/0 ptr=6"}, {3, "1/5"}})
	}
	if g.chance(g.oddities) {
		quote = strings.TrimSpace(quote)
		if strings.Contains(quote, "udp") || strings.Contains(quote, "tcp") {
			quote += " sum=bad"
		}
	}
	trunc := ""
	if g.chance(25) {
		trunc = fmt.Sprintf(" trunc=%d", [2]int{20, 40}[fam(s.v6)]+pick(g, 8, 8, 12, 4, 20))
	}
	text := fmt.Sprintf("%s / %s %s%s%s / %s", g.ipLayer(s.v6, from, to), icmp(s.v6), kind, trunc, g.badSum(), quote)
	return g.inject(x, s.dev, text)
}

// fragments sends a datagram in pieces, in one step or several.
func (g *gen) fragments(x *session) error {
	f := g.newFlow()
	if f.proto == "other" || f.proto == "tcp" {
		f.proto = "udp"
	}
	g.flows = append(g.flows, f)
	size, total := pick(g, 24, 400, 800, 1200), pick(g, 60, 1000, 2500)
	if size == 24 {
		total = 60
	}
	l4 := fmt.Sprintf("udp %d>%d len=%d", f.sport, f.dport, total)
	if f.proto == "icmp" {
		l4 = fmt.Sprintf("%s %s id=%d seq=1 len=%d", icmp(f.v6), map[bool]string{false: "8/0", true: "128/0"}[f.v6], f.sport, total)
	}
	head := ip(f.v6, f.src, f.dst)
	if !f.v6 && g.chance(20) {
		head += " df"
	}
	g.ipid++
	n := (total + 8 + size - 1) / size
	var pieces []string
	for i := range n {
		pieces = append(pieces, fmt.Sprintf("%s / %s || frag %d idx=%d id=%d", head, l4, size, i, 0x2000+g.ipid))
	}
	switch g.r.IntN(5) {
	case 0:
		g.r.Shuffle(n, func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
	case 1:
		pieces = append(pieces, pieces[g.r.IntN(n)])
	case 2:
		pieces = append(pieces[:1], pieces...)
	}
	if g.chance(10) {
		pieces = pieces[1:]
	}
	if len(pieces) == 0 {
		return nil
	}
	if g.chance(50) {
		return g.inject(x, f.dev.name, pieces...)
	}
	for _, p := range pieces {
		if err := g.inject(x, f.dev.name, p); err != nil {
			return err
		}
	}
	return nil
}
