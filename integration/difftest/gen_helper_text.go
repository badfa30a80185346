package difftest

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/moat-router/moat/integration/scenario"
)

// helperRouter draws a router whose rules give a helper to the connections of one protocol.
func (g *gen) helperRouter(s *scenario.Scenario) {
	g.protocol = pick(g, "ftp", "ftp", "ftp", "ftp", "irc", "tftp", "amanda")
	g.v6 = g.protocol != "irc" && g.chance(35)
	g.v4 = !g.v6
	g.oddities = pick(g, 0, 0, 0, 10)
	g.devs = []*dev{
		{name: "lan", own: [2]string{"192.168.1.1", "fd00:1::1"}, hosts: [2][]string{{"192.168.1.10", "192.168.1.111"}, {"fd00:1::10", "fd00:1::beef"}}},
		{name: "wan", own: [2]string{"10.0.0.2", "fd00:f::2"}, hosts: [2][]string{{"198.51.100.9", "203.0.113.5"}, {"2001:db8:9::9", "2001:db8:8::5"}}},
	}
	if g.chance(30) {
		g.devs[0].hosts[1][0] = "0102:304::a" // an address that PORT can name
	}
	mtu := choose(g, []weighted[int]{{85, 1500}, {15, 1280}})
	for _, d := range g.devs {
		s.Interfaces = append(s.Interfaces, scenario.Interface{Name: d.name, MTU: mtu,
			Addrs: []scenario.Address{{Local: d.own[0] + "/24"}, {Local: d.own[1] + "/64"}}})
	}
	s.Routes = []string{"default via 10.0.0.1 dev wan", "default via fd00:f::1 dev wan", "102:304::/64 dev lan"}
	g.client, g.server = g.devs[0], g.devs[1]
	if g.chance(40) {
		g.client, g.server = g.server, g.client
	}
	for _, name := range []string{"nf_conntrack_tcp_loose=0", "nf_conntrack_tcp_be_liberal=1", "nf_conntrack_checksum=0"} {
		if key, value, _ := strings.Cut(name, "="); g.chance(6) {
			s.Sysctls = append(s.Sysctls, scenario.Sysctl{Name: "net.netfilter." + key, Value: value})
		}
	}
	masks := g.chance(25)
	if masks {
		s.Sysctls = append(s.Sysctls, scenario.Sysctl{Name: "net.netfilter.nf_conntrack_events", Value: pick(g, "1", "1", "0")})
	}
	text := g.helperRules(masks)
	if g.v6 {
		s.Rules.V6 = text
	} else {
		s.Rules.V4 = text
	}
	s.Events = g.chance(40)
}

func (g *gen) helperRules(masks bool) string {
	f := fam(g.v6)
	match := map[string]string{"ftp": "tcp -m tcp --dport 21", "irc": "tcp -m tcp --dport 6667", "tftp": "udp -m udp --dport 69",
		"amanda": "udp -m udp --dport 10080"}[g.protocol]
	proto, _, _ := strings.Cut(match, " ")
	var b strings.Builder
	events := pick(g, "", "", "", " --expevents new", " --ctevents new,destroy,helper", " --ctevents related,reply,assured --expevents new")
	if !masks {
		events = ""
	}
	zone, other := "", ""
	if g.chance(12) {
		zone = pick(g, " --zone 3", " --zone 3", " --zone-orig 3", " --zone-reply 3", " --zone mark")
		other = pick(g, zone, zone, "")
	}
	fmt.Fprintf(&b, "*raw\n-A PREROUTING -p %s -j CT --helper %s%s%s\n", match, g.protocol, events, zone)
	if other != "" {
		fmt.Fprintf(&b, "-A PREROUTING -j CT%s\n", other)
	}
	b.WriteString("COMMIT\n")
	if g.chance(35) {
		b.WriteString("*mangle\n")
		for _, rule := range []string{
			"PREROUTING -p " + match + " -j CONNMARK --set-xmark 0x7/0xffffffff",
			"PREROUTING -m conntrack --ctstate RELATED -j CONNMARK --set-xmark 0x9/0xf",
			"PREROUTING -m conntrack --ctstatus EXPECTED -m connmark --mark 0x7/0x7 -j MARK --set-xmark 0x1/0xffffffff",
			"FORWARD -m helper --helper " + g.protocol + " -j TOS --set-tos 0x10/0xff",
			"FORWARD -m helper ! --helper " + g.protocol + " -j CONNMARK --set-xmark 0x20/0xf0",
			"FORWARD -m connlabel --label 3 --set",
			"FORWARD -m connlabel ! --label 3 -j TOS --set-tos 0x08/0xff",
			"POSTROUTING -m conntrack --ctstate ESTABLISHED -m connlabel --label 40 --set -j CONNMARK --or-mark 0x100",
		} {
			if g.chance(35) {
				b.WriteString("-A " + rule + "\n")
			}
		}
		b.WriteString("COMMIT\n")
	}
	var nat []string
	if g.chance(45) {
		g.virtual = pick(g, g.client.own[f], [2]string{"192.0.2.77", "2001:db8:77::1"}[f])
		nat = append(nat, fmt.Sprintf("-A PREROUTING -d %s -p %s -j DNAT --to-destination %s", g.virtual, match, g.server.hosts[f][0]))
	}
	if g.chance(55) {
		to := pick(g, g.server.own[f], g.server.own[f], [2]string{"1.2.3.1", "2001:db8:1:2:3:4:5:6"}[f], [2]string{"100.100.100.100", "::1.2.3.4"}[f])
		nat = append(nat, fmt.Sprintf("-A POSTROUTING -o %s %s", g.server.name, pick(g, "-j MASQUERADE", "-j SNAT --to-source "+to, "-p "+proto+" -j SNAT --to-source "+to)))
	}
	if len(nat) > 0 {
		fmt.Fprintf(&b, "*nat\n%s\nCOMMIT\n", strings.Join(nat, "\n"))
	}
	if g.chance(60) {
		fmt.Fprintf(&b, "*filter\n-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A FORWARD -i %s -p %s -j ACCEPT\n-A FORWARD -j DROP\nCOMMIT\n",
			g.client.name, match)
	}
	return b.String()
}

// lines draws what one end of a talk says, often well formed, often not quite.
func (g *gen) lines(k *talk, from int) []byte {
	var b []byte
	for n := choose(g, []weighted[int]{{80, 1}, {15, 2}, {5, 3}}); n > 0; n-- {
		b = append(b, g.line(k, from)...)
	}
	for g.chance(18) {
		b = g.mutate(b)
	}
	if g.chance(4) {
		b = append(b, strings.Repeat("long ", 300)...)
	}
	// Full addresses behind "::" are left out: the kernel writes behind its buffer.
	for strings.Count(string(b), ":") > 7 && k.v6 {
		b = b[:strings.LastIndexByte(string(b), ':')]
	}
	return b
}

func (g *gen) line(k *talk, from int) string {
	e := k.ends[from]
	addr := choose(g, []weighted[string]{{80, e.own}, {8, e.neighbour}, {6, k.ends[1-from].own}, {6, k.ends[1-from].peer}})
	if addr == "" {
		addr = e.own
	}
	port := choose(g, []weighted[int]{{40, 5001}, {25, 5002}, {10, 0}, {10, 80}, {5, 65535}, {5, 255}, {5, 256}, {10, 10000 + g.r.IntN(50000)}})
	end := choose(g, []weighted[string]{{85, "\r\n"}, {8, "\n"}, {4, "\r"}, {3, ""}})
	switch k.proto {
	case "ftp":
		return g.ftpLine(k, from, addr, port) + end
	case "irc":
		v := uint32(0)
		fmt.Sscan(decimalAddr(addr), &v)
		return choose(g, []weighted[string]{
			{50, fmt.Sprintf("PRIVMSG bob :\x01DCC %s f %d %d", pick(g, "SEND", "CHAT", "MOVE", "TSEND", "SCHAT", "XMIT"), v, port)},
			{15, fmt.Sprintf("PRIVMSG bob :\x01DCC SEND f %d %d 1234\x01", v, port)},
			{5, fmt.Sprintf("\r\n \nPRIVMSG bob :\x01DCC SEND f %d  %d\x01", v, port)},
			{5, fmt.Sprintf("privmsg bob :\x01DCC CHAT chat %d %d\x01", v, 65536+port)},
			{5, fmt.Sprintf("PRIVMSG bob :\x01DCC CHAT chat %d %d\x01", uint64(1)<<32+uint64(v), port)},
			{4, fmt.Sprintf("NOTICE bob :\x01DCC SEND f %d %d\x01", v, port)},
			{4, "PRIVMSG bob :\x01DCC SEND f"}, {4, "PRIVMSG bob :\x01DCC SEND TSEND SCHAT  " + fmt.Sprint(v, port)}, {8, "JOIN #moat"}, {4, "PRIVMSG bob :hi :\x01DCC SEND f 1 2"},
		}) + end
	case "tftp":
		return choose(g, []weighted[string]{{35, "\x00\x01f\x00octet\x00"}, {30, "\x00\x02f\x00netascii\x00"}, {10, "\x00\x03\x00\x01abc"}, {10, "\x00\x04\x00\x01"},
			{5, "\x01"}, {5, "\x00\x01"}, {5, "\x01\x00abc"}})
	}
	return choose(g, []weighted[string]{
		{40, fmt.Sprintf("Amanda 2.4 REP HANDLE 1 SEQ 2\nCONNECT DATA %d MESG %d INDEX %d\nOPTIONS ;\n", port, port+1, port+2)},
		{15, fmt.Sprintf("CONNECT DATA %d MESG %d\n", port, port)},
		{10, fmt.Sprintf("CONNECT INDEX %05d STATE %d DATA %d\n", port, port+3, 70000+port)},
		{10, fmt.Sprintf("CONNECT DATA %d", port)}, {10, "Amanda 2.4 ACK\n"}, {5, "CONNECT \n"}, {5, "CONNECT DATA \n"}, {5, fmt.Sprintf("CONNECT MESG 0%d DATA  9\n", port)},
	})
}

func decimalAddr(s string) string {
	var v [4]uint32
	fmt.Sscanf(s, "%d.%d.%d.%d", &v[0], &v[1], &v[2], &v[3])
	return fmt.Sprint(v[0]<<24 | v[1]<<16 | v[2]<<8 | v[3])
}

func (g *gen) ftpLine(k *talk, from int, addr string, port int) string {
	six := strings.ReplaceAll(addr, ".", ",")
	if k.v6 {
		six = "1,2,3,4"
	}
	six = fmt.Sprintf("%s,%d,%d", six, port>>8, port&255)
	if g.chance(10) { // numbers that do not fit
		six = fmt.Sprintf("%s,%d,%d", strings.TrimSuffix(six, fmt.Sprintf(",%d,%d", port>>8, port&255)), 256+port>>8, pick(g, port, 4294967296+port, 99999))
	}
	long := addr
	if k.v6 {
		long = g.spell(addr)
	}
	if from == 0 {
		delim := pick(g, "|", "|", "|", "|", "|", "!", ":", ".", "a", "1", " ", "\x7f")
		af := pick(g, "1", "2")
		if g.chance(85) {
			af = map[bool]string{false: "1", true: "2"}[k.v6]
		}
		return choose(g, []weighted[string]{
			{38, "PORT " + six}, {38, "EPRT " + strings.Join([]string{"", af, long, fmt.Sprint(port), ""}, delim)}, {3, "port  " + six}, {3, "Eprt " + delim + af + delim + long},
			{2, "EPRT |" + af + "|" + long + "|" + fmt.Sprint(port+65536) + "|"}, {2, "PORT\r\n " + six}, {4, "PASV"}, {4, "EPSV"}, {4, "USER x"}, {2, "227 (" + six + ")"}, {2, "PORTX," + six},
		})
	}
	return choose(g, []weighted[string]{
		{30, "227 Entering Passive Mode (" + six + ")"}, {4, "227 =" + six}, {4, "227 " + six + " "}, {30, fmt.Sprintf("229 Extended (|||%d|)", port)},
		{4, fmt.Sprintf("229 (%s%d%s)", strings.Repeat(pick(g, "!", "a", ")", "(", "9"), 3), port, pick(g, "!", "a", ")", "("))}, {3, "229 Extended (|||"},
		{3, "229 Extended"}, {3, "227 Passive"}, {2, "227-3 (" + six + ")"}, {8, "200 ok"}, {4, "220 welcome"}, {2, "PORT " + six}, {2, fmt.Sprintf("229 (|%d|%s|%d|)", 1, addr, port)},
	})
}

// spell writes an IPv6 address in one of its forms, or in none.
func (g *gen) spell(addr string) string {
	a := netip.MustParseAddr(addr).As16()
	full := func(format string) string {
		var parts []string
		for i := 0; i < 16; i += 2 {
			parts = append(parts, fmt.Sprintf(format, uint16(a[i])<<8|uint16(a[i+1])))
		}
		return strings.Join(parts, ":")
	}
	four := fmt.Sprintf("%d.%d.%d.%d", a[12], a[13], a[14], a[15])
	words := strings.Split(full("%x"), ":")
	return choose(g, []weighted[string]{
		{50, addr}, {8, full("%x")}, {8, full("%04x")}, {4, full("%06X")}, {5, strings.ToUpper(addr)}, {5, strings.Join(words[:6], ":") + ":" + four},
		{4, strings.Join(words[:2], ":") + "::" + four}, {2, addr + "%lan"}, {2, "::"}, {2, ":" + addr}, {2, addr + ":"}, {2, strings.Join(words[:7], ":")}, {2, "::ffff:" + four},
		{2, addr + "\x00"}, {2, "1" + addr}, {2, strings.Replace(addr, "::", ":::", 1)}, {2, strings.Join(words[:4], ":") + "::" + four[:3]},
	})
}

// mutate changes a little.
func (g *gen) mutate(b []byte) []byte {
	if len(b) == 0 {
		return b
	}
	i := g.r.IntN(len(b))
	c := pick(g, "0", "1", "9", ",", ".", "|", "(", ")", " ", "\r", "\n", ":", "a", "f", "\x00", "\xff", "\x01", "P", "25", "4294967296", "\u212a")
	switch g.r.IntN(6) {
	case 0:
		return append(b[:i:i], b[i+1:]...)
	case 1, 2:
		return append(append(b[:i:i], c...), b[i:]...)
	case 3:
		return append(append(b[:i:i], c...), b[i+1:]...)
	case 4:
		return b[:i]
	}
	if b[i] >= 'A' {
		b[i] ^= 0x20
	}
	return b
}
