package difftest

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"github.com/moat-router/moat/integration/scenario"
	"github.com/moat-router/moat/stack/packet"
)

// talk is a connection with a helper between two ends that keep to what they see: an end answers the addresses and
// acknowledges the bytes that reach it, which a translating helper has made different from those that were sent.
type talk struct {
	proto string // ftp, irc, tftp, amanda
	v6    bool
	ends  [2]*end // client, server
}

// end is one side of a talk.
type end struct {
	dev         *dev
	own, peer   string
	sport       string
	dport       string
	real        string // its address, and another on the same network that it may lie about
	neighbour   string
	heard, said uint32 // the next sequence number that it expects, and that it sends
	read        []byte // the last payload that reached it
	sent        []segment
}

type segment struct {
	seq  uint32
	text []byte
}

func (k *talk) udp() bool { return k.proto == "tftp" || k.proto == "amanda" }

// audience is what a scenario of conversations is about.
type audience struct {
	protocol       string
	client, server *dev
	virtual        string // where clients think that the server is, "" for where it is
}

// conversations is a scenario in which everybody talks FTP, IRC, TFTP or Amanda through a router that reads along.
func (g *gen) conversations(x *session) error {
	var talks []*talk
	for n := 6 + g.r.IntN(14); n > 0; n-- {
		if len(talks) == 0 || g.chance(8) && len(talks) < 3 {
			k := g.newTalk(len(talks))
			talks = append(talks, k)
			if err := g.handshake(x, k); err != nil {
				return err
			}
			continue
		}
		k := talks[g.r.IntN(len(talks))]
		step := choose(g, []weighted[func(*session, *talk) error]{
			{50, g.say}, {24, g.connect}, {12, g.answer}, {8, g.retransmit}, {4, g.acknowledge}, {2, g.hangUp}, {3, g.complain}, {1, g.wait}, {1, g.sameRules},
		})
		if err := step(x, k); err != nil {
			return err
		}
	}
	return nil
}

func (g *gen) newTalk(n int) *talk {
	k := &talk{proto: g.protocol, v6: g.v6}
	f := fam(k.v6)
	client, server := g.client, g.server
	c := client.hosts[f][g.r.IntN(2)]
	s := server.hosts[f][0]
	ports := map[string]string{"ftp": "21", "irc": "6667", "tftp": "69", "amanda": "10080"}
	to := s
	if g.virtual != "" {
		to = g.virtual
	}
	k.ends[0] = &end{dev: client, own: c, real: c, peer: to, sport: fmt.Sprint(40000 + n), dport: ports[k.proto],
		neighbour: client.hosts[f][1], said: pick(g, uint32(1000), 0xffffffe0, 77777)}
	k.ends[1] = &end{dev: server, own: s, real: s, sport: ports[k.proto], neighbour: server.hosts[f][1], said: pick(g, uint32(900), 0xfffffff0)}
	return k
}

func (g *gen) handshake(x *session, k *talk) error {
	if k.udp() {
		return nil
	}
	opts := pick(g, "", " mss=1460 sackok", " mss=1460 sackok ws=7")
	for i, flags := range []string{"S", "SA", "A"} {
		o := opts
		if flags == "A" {
			o = ""
		}
		if err := g.send(x, k, i%2, flags, nil, o); err != nil {
			return err
		}
	}
	if k.proto != "ftp" || g.chance(10) {
		return nil
	}
	// Lines count where the helper has seen one end before.
	if err := g.send(x, k, 1, "PA", []byte("220 welcome\r\n"), ""); err != nil {
		return err
	}
	return g.send(x, k, 0, "PA", []byte("USER moat\r\n"), "")
}

// send has one end of a talk send a packet, and the other end read what arrives of it.
func (g *gen) send(x *session, k *talk, from int, flags string, text []byte, more string) error {
	a := k.ends[from]
	seg := segment{a.said, text}
	if strings.ContainsAny(flags, "SF") {
		a.said++
	}
	a.said += uint32(len(text))
	if len(text) > 0 {
		a.sent = append(a.sent, seg)
	}
	return g.put(x, k, from, flags, seg, more)
}

// put sends a segment that may have been sent before.
func (g *gen) put(x *session, k *talk, from int, flags string, seg segment, more string) error {
	a, b := k.ends[from], k.ends[1-from]
	if a.peer == "" {
		return nil // nobody has spoken to it yet
	}
	head := g.ipLayer(k.v6, a.own, a.peer)
	var text string
	if k.udp() {
		text = fmt.Sprintf("%s / udp %s>%s%s", head, a.sport, a.dport, more)
	} else {
		ack := a.heard
		if flags == "S" {
			ack = 0
		}
		text = fmt.Sprintf("%s / tcp %s>%s %s seq=%d ack=%d%s", head, a.sport, a.dport, flags, seg.seq, ack, more)
	}
	if len(seg.text) > 0 {
		text += " / " + payload(seg.text)
	}
	pkts := []string{text}
	if len(seg.text) > 0 && g.chance(4) {
		pkts = g.cut(text)
	}
	o, err := x.do(scenario.Step{Op: "inject", If: a.dev.name, Pkt: pkts})
	if err != nil {
		return err
	}
	for _, out := range o.Out {
		s, ok := look(out.If, out.Data)
		if !ok {
			continue
		}
		g.out = append(g.out, s)
		if out.If != b.dev.name || s.sport == "" || s.err || s.frag {
			continue
		}
		b.own, b.peer, b.sport, b.dport = s.dst, s.src, s.dport, s.sport
		b.heard = s.seq + uint32(s.length)
		if strings.ContainsAny(s.flags, "SF") {
			b.heard++
		}
		if s.length > 0 {
			b.read = out.Data[len(out.Data)-s.length:]
		}
	}
	return nil
}

// cut has a packet arrive in fragments.
func (g *gen) cut(text string) (pkts []string) {
	b, err := packet.Build(text)
	if err != nil {
		return []string{text}
	}
	p := packet.New()
	p.Load(b)
	if p.Parse() != packet.ReasonNone || p.V6 && p.L4 != 40 {
		return []string{text}
	}
	size := pick(g, 24, 32, 48, 800)
	for i := 0; i*size < p.L4Len(); i++ {
		pkts = append(pkts, fmt.Sprintf("%s || frag %d idx=%d id=%d", strings.Replace(text, " df", "", 1), size, i, 0x2000+g.ipid))
	}
	return pkts
}

// payload writes bytes in the notation: as text where that says it exactly.
func payload(b []byte) string {
	s := string(b)
	for _, c := range b {
		if (c < ' ' || c > '~') && c != '\r' && c != '\n' || c == '"' || c == '\\' || c == '$' {
			return "raw " + hex.EncodeToString(b)
		}
	}
	if strings.Contains(s, "||") || strings.Contains(s, " / ") {
		return "raw " + hex.EncodeToString(b)
	}
	return `text "` + strings.NewReplacer("\r", `\r`, "\n", `\n`).Replace(s) + `"`
}

// say sends a line or some, whole or in pieces.
func (g *gen) say(x *session, k *talk) error {
	from := g.r.IntN(2)
	if k.proto == "irc" && g.chance(70) || k.udp() && k.ends[1].peer == "" {
		from = 0
	}
	text := g.lines(k, from)
	if len(text) > 1400 {
		text = text[:1400]
	}
	flags, more := pick(g, "PA", "PA", "A", "FPA"), pick(g, "", "", "", "", " ts=5:6", " win=500", " opts=0101050a00000400000005000000")
	if g.chance(95) && flags == "FPA" {
		flags = "PA"
	}
	if k.udp() {
		flags, more = "", pick(g, "", "", "", "", " sum=none")
		if k.v6 {
			more = ""
		}
	}
	if g.chance(g.oddities / 4) {
		more += " sum=bad"
	}
	for len(text) > 0 {
		n := len(text)
		if n > 1 && !k.udp() && g.chance(12) {
			n = 1 + g.r.IntN(n-1)
		}
		if err := g.send(x, k, from, flags, text[:n], more); err != nil {
			return err
		}
		text = text[n:]
	}
	return nil
}

func (g *gen) retransmit(x *session, k *talk) error {
	from := g.r.IntN(2)
	a := k.ends[from]
	if len(a.sent) == 0 || k.udp() {
		return g.say(x, k)
	}
	return g.put(x, k, from, "PA", a.sent[len(a.sent)-1-g.r.IntN(min(3, len(a.sent)))], "")
}

// acknowledge sends an acknowledgment, some with blocks.
func (g *gen) acknowledge(x *session, k *talk) error {
	from := g.r.IntN(2)
	a := k.ends[from]
	if k.udp() {
		return g.say(x, k)
	}
	more := ""
	if g.chance(60) {
		left := a.heard + uint32(g.r.IntN(40)) - 20
		more = fmt.Sprintf(" opts=0101050a%08x%08x", left, left+uint32(g.r.IntN(30)))
	}
	return g.put(x, k, from, "A", segment{seq: a.said}, more)
}

func (g *gen) hangUp(x *session, k *talk) error {
	if k.udp() {
		return g.say(x, k)
	}
	return g.send(x, k, g.r.IntN(2), pick(g, "FA", "RA", "R"), nil, "")
}

// complain sends an ICMP error of the server's side about the last that arrived there.
func (g *gen) complain(x *session, k *talk) error {
	for i := len(g.out) - 1; i >= 0; i-- {
		if s := &g.out[i]; s.dev == k.ends[1].dev.name && !s.err && !s.frag {
			if q := s.quote(pick(g, 8, 100)); q != "" {
				what := [2][]string{{"3/3", "3/4 mtu=1200", "11/0"}, {"1/4", "2/0 mtu=1280", "3/0"}}
				return g.inject(x, s.dev, ip(s.v6, s.dst, s.src)+" / "+icmp(s.v6)+" "+pick(g, what[fam(s.v6)]...)+" / "+q)
			}
		}
	}
	return nil
}

func (g *gen) answer(x *session, _ *talk) error {
	if len(g.out) == 0 {
		return nil
	}
	if s := g.out[len(g.out)-1]; s.err || s.frag {
		return nil
	}
	return g.reply(x)
}

// sameRules loads the rules once more: what counters and masks of events then do is another matter.
func (g *gen) sameRules(x *session, _ *talk) error {
	_, err := x.do(scenario.Step{Op: "rules", V4: x.s.Rules.V4, V6: x.s.Rules.V6})
	return err
}

func (g *gen) wait(x *session, _ *talk) error {
	if g.chance(80) {
		return nil
	}
	_, err := x.do(scenario.Step{Op: "sleep", MS: 1100})
	return err
}

// connect opens the connection that a payload has told of, or one that comes close.
func (g *gen) connect(x *session, k *talk) error {
	var readers []*end
	for _, e := range k.ends {
		if len(e.read) > 0 || k.proto == "tftp" && e == k.ends[1] && e.peer != "" {
			readers = append(readers, e)
		}
	}
	if len(readers) == 0 {
		return g.say(x, k)
	}
	e := readers[g.r.IntN(len(readers))]
	addr, port := e.peer, 0
	if k.proto == "tftp" {
		if _, err := fmt.Sscan(e.dport, &port); err != nil {
			return nil
		}
	} else {
		a, p, ok := announced(e.read)
		if !ok {
			return g.say(x, k)
		}
		port = p
		if ip, err := netip.ParseAddr(a); err == nil && ip.Is6() == k.v6 && ip.Zone() == "" && g.chance(70) {
			addr = a
		}
	}
	src, sport := e.own, pick(g, "20", "4444", "1024")
	switch n := g.r.IntN(100); {
	case n < 10:
		src = e.neighbour
	case n < 15:
		port++
	case n < 18:
		sport = e.sport
	}
	port &= 0xffff
	head := g.ipLayer(k.v6, src, addr)
	text := fmt.Sprintf("%s / tcp %s>%d S seq=%d mss=1460", head, sport, port, 7000)
	if k.proto == "tftp" != g.chance(3) {
		text = fmt.Sprintf("%s / udp %s>%d / raw 0003000161", head, sport, port)
	}
	return g.inject(x, e.dev.name, text)
}

// announced finds what a well-meaning reader takes for an address and a port: enough for most lines.
func announced(b []byte) (addr string, port int, ok bool) {
	s := string(b)
	for i := range s {
		var v [6]int
		var delim string
		var long uint32
		if n, _ := fmt.Sscanf(s[i:], "%d,%d,%d,%d,%d,%d", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5]); n == 6 && s[i] != ' ' {
			return fmt.Sprintf("%d.%d.%d.%d", v[0]&255, v[1]&255, v[2]&255, v[3]&255), v[4]<<8 + v[5], true
		}
		if n, _ := fmt.Sscanf(s[i:], "|||%d%1s", &port, &delim); n == 2 {
			return "", port, true
		}
		if n, _ := fmt.Sscanf(s[i:], "DCC SEND f %d %d", &long, &port); n == 2 {
			return packet.Addr4([]byte{byte(long >> 24), byte(long >> 16), byte(long >> 8), byte(long)}).String(), port, true
		}
		if n, _ := fmt.Sscanf(s[i:], "DATA %d", &port); n == 1 {
			return "", port, true
		}
		if fields := strings.Split(s[i:], "|"); s[i] == '|' && len(fields) > 3 {
			if n, _ := fmt.Sscan(fields[3], &port); n == 1 {
				return fields[2], port, true
			}
		}
	}
	return "", 0, false
}
