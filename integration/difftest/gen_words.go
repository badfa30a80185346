package difftest

import (
	"fmt"
	"slices"
)

// match draws a match that needs no protocol, or fits the one that is there.
func (g *gen) match(c *chain, proto string) string {
	n := g.r.IntN(1 << 20) // for numbers inside the choices
	list := []weighted[string]{
		{20, "-m conntrack " + g.not("--ctstate "+pick(g, "NEW", "ESTABLISHED", "RELATED", "INVALID", "RELATED,ESTABLISHED", "NEW,RELATED", "DNAT", "SNAT", "UNTRACKED"))},
		{3, "-m conntrack --ctdir " + pick(g, "ORIGINAL", "REPLY")},
		{4, "-m conntrack " + g.not("--ctproto "+pick(g, "udp", "tcp", "6"))},
		{3, "-m conntrack " + g.not("--ctorigsrc "+g.network(c.v6))},
		{3, "-m conntrack " + g.not("--ctorigdst "+g.network(c.v6))},
		{2, "-m conntrack " + g.not("--ctreplsrc "+g.network(c.v6))},
		{2, "-m conntrack --ctproto udp --ctorigdstport " + fmt.Sprint(pick(g, ports...))},
		{3, "-m conntrack " + g.not("--ctstatus "+pick(g, "NONE", "SEEN_REPLY", "ASSURED", "CONFIRMED", "EXPECTED"))},
		{2, "-m conntrack --ctexpire " + pick(g, "0:25", "100:1000", "20:40")},
		{8, "-m mark " + g.not("--mark "+pick(g, "0x1", "0x0/0x1", "0x2/0xff", "0x1/0x1"))},
		{6, "-m connmark " + g.not("--mark "+pick(g, "0x1", "0x0", "0x2/0xff"))},
		{6, "-m length " + g.not("--length "+pick(g, "0:100", "28", "1000:65535", "48:"))},
		{4, "-m tos " + g.not("--tos "+pick(g, "0x00", "0x10/0x3f", "0xb8/0xff"))},
		{4, "-m dscp " + g.not("--dscp "+pick(g, "0x00", "0x2e", "0x04"))},
		{5, "-m addrtype " + g.not(pick(g, "--dst-type LOCAL", "--src-type LOCAL", "--dst-type UNICAST", "--src-type UNICAST"))},
		{4, "-m statistic --mode nth --every " + fmt.Sprint(2+n%3) + " --packet " + fmt.Sprint(n%2)},
		{3, "-m limit --limit 1/hour --limit-burst " + fmt.Sprint(1+n%4)},
		{2, "-m hashlimit --hashlimit-upto 1/hour --hashlimit-burst " + fmt.Sprint(1+n%3) + " --hashlimit-mode " + pick(g, "srcip", "dstip", "srcip,dstport") + " --hashlimit-name h"},
		{3, "-m quota " + g.not("--quota "+fmt.Sprint(50+n%500))},
		{3, "-m recent " + pick(g, "--set", "! --rcheck --seconds 600", "--update --seconds 600 --hitcount 2", "--rcheck --hitcount 2", "--remove") + " --name r --rsource"},
		{3, "-m connbytes --connbytes " + pick(g, "0:200", "2:5", "1:") + " --connbytes-dir " + pick(g, "original", "reply", "both") + " --connbytes-mode " + pick(g, "packets", "bytes", "avgpkt")},
		{3, "-m string --string " + pick(g, "abc", "xyz", "jklm") + " --algo " + pick(g, "bm", "kmp") + pick(g, "", " --from 28", " --to 60", " --icase")},
		{2, "-m pkttype " + g.not("--pkt-type "+pick(g, "unicast", "broadcast"))},
		{2, "-m comment --comment \"rule " + fmt.Sprint(n%100) + "\""},
	}
	if c.v6 {
		list = append(list,
			weighted[string]{4, "-m hl " + pick(g, "--hl-eq 64", "--hl-lt 3", "--hl-gt 63", "! --hl-eq 64")},
			weighted[string]{3, "-m frag --fragid 0:4294967295 " + pick(g, "--fragfirst", "--fragmore", "--fraglast")},
			weighted[string]{2, "-m ipv6header --soft " + g.not("--header "+pick(g, "frag", "hop", "dst", "none", "auth"))},
			weighted[string]{2, "-m hbh --hbh-len 8"}, weighted[string]{2, "-m dst --dst-len 8"},
			weighted[string]{1, "-m u32 --u32 \"" + pick(g, "6&0xff=0x11", "6&0xff=0x6", "4&0xff00=0x3a00") + "\""})
	} else {
		list = append(list,
			weighted[string]{4, "-m ttl " + pick(g, "--ttl-eq 64", "--ttl-lt 3", "--ttl-gt 63", "! --ttl-eq 64")},
			weighted[string]{2, "-m iprange " + g.not(pick(g, "--src-range 192.168.1.5-192.168.1.20", "--dst-range 10.0.0.0-10.0.0.255", "--dst-range 198.51.100.9-198.51.100.9"))},
			weighted[string]{2, "-f"},
			weighted[string]{2, "-m u32 --u32 \"" + pick(g, "6&0xff=0x11", "2&0xffff=0x0:0x100", "0>>22&0x3c@0>>16=0x35", "4>>16=0x1001:0x1010") + "\""})
	}
	if c.name == "PREROUTING" && c.table != "nat" {
		list = append(list, weighted[string]{2, "-m rpfilter" + pick(g, "", " --loose", " --invert")})
	}
	if proto == "tcp" {
		list = append(list, weighted[string]{2, "-m ecn " + g.not(pick(g, "--ecn-tcp-cwr", "--ecn-tcp-ece"))},
			weighted[string]{2, "-m tcpmss " + g.not("--mss "+pick(g, "536", "1000:1500", "1461:"))})
	}
	return choose(g, append(list, g.rarerMatches(c)...))
}

// target draws what a rule of this table and chain may end with.
func (g *gen) target(c *chain, proto string) string {
	if len(c.user) > 0 && g.chance(15) {
		return pick(g, "-j ", "-j ", "-g ") + pick(g, c.user...)
	}
	if g.chance(8) {
		return pick(g, "", "-j RETURN")
	}
	if g.log && g.chance(35) {
		return g.logTarget(c)
	}
	switch c.table {
	case "raw":
		return choose(g, []weighted[string]{{40, "-j CT --notrack"}, {10, "-j NOTRACK"}, {20, "-j CT --zone " + fmt.Sprint(1+g.r.IntN(3))}, {5, "-j CT --zone-orig 7"},
			{5, "-j CT --zone-reply 4"}, {5, "-j CT --zone mark"}, {5, "-j CT --ctevents new,destroy"}, {4, g.tee(c)}, {3, "-j NFLOG --nflog-group 3"}, {4, "-j TRACE"},
			{10, "-j DROP"}, {15, "-j ACCEPT"}})
	case "mangle":
		return g.mangle(c, proto)
	case "nat":
		return g.translate(c, proto)
	}
	reject := pick(g, "icmp-port-unreachable", "icmp-net-unreachable", "icmp-host-unreachable", "icmp-proto-unreachable", "icmp-net-prohibited",
		"icmp-host-prohibited", "icmp-admin-prohibited")
	if c.v6 {
		reject = pick(g, "icmp6-no-route", "icmp6-adm-prohibited", "icmp6-addr-unreachable", "icmp6-port-unreachable", "icmp6-policy-fail", "icmp6-reject-route")
	}
	if proto == "tcp" && g.chance(50) {
		reject = "tcp-reset"
	}
	return choose(g, []weighted[string]{{50, "-j ACCEPT"}, {20, "-j DROP"}, {30, "-j REJECT --reject-with " + reject}})
}

func (g *gen) mangle(c *chain, proto string) string {
	list := []weighted[string]{
		{25, "-j MARK " + pick(g, "--set-mark 0x1", "--set-xmark 0x2/0xff", "--or-mark 0x4", "--and-mark 0x1", "--xor-mark 0x3")},
		{15, "-j CONNMARK " + pick(g, "--set-mark 0x1", "--save-mark", "--restore-mark", "--set-xmark 0x2/0xff", "--save-mark --nfmask 0xf --ctmask 0xf")},
		{8, "-j TOS --set-tos " + pick(g, "0x10", "0x08/0x1c", "0x00")},
		{8, "-j DSCP " + pick(g, "--set-dscp 0x2e", "--set-dscp-class CS1", "--set-dscp-class AF11")},
		{5, "-j DROP"}, {8, "-j ACCEPT"},
	}
	if c.out {
		list = append(list, weighted[string]{3, "-j CLASSIFY --set-class 1:2"})
	}
	if c.v6 {
		list = append(list, weighted[string]{12, "-j HL " + pick(g, "--hl-set 10", "--hl-inc 1", "--hl-dec 1", "--hl-set 1")})
	} else {
		list = append(list, weighted[string]{12, "-j TTL " + pick(g, "--ttl-set 10", "--ttl-inc 1", "--ttl-dec 1", "--ttl-set 1")})
	}
	if proto == "tcp" && (c.name == "FORWARD" || c.name == "POSTROUTING" || c.name == "OUTPUT") {
		list = append(list, weighted[string]{25, "-m tcp --tcp-flags SYN,RST SYN -j TCPMSS " + pick(g, "--clamp-mss-to-pmtu", "--set-mss 1200", "--set-mss 536")})
	}
	if proto == "tcp" && !c.v6 {
		list = append(list, weighted[string]{4, "-j ECN --ecn-tcp-remove"})
	}
	if proto == "tcp" {
		list = append(list, weighted[string]{6, "-j TCPOPTSTRIP --strip-options " + pick(g, "mss", "sack-permitted,timestamp", "wscale", "2,3,4,8", "5,99")})
	}
	list = append(list, weighted[string]{6, g.tee(c)}, weighted[string]{2, "-j NFLOG --nflog-prefix p"}, weighted[string]{2, "-j CHECKSUM --checksum-fill"},
		weighted[string]{5, "-j CONNMARK " + pick(g, "--restore-mark --nfmask 0xff --ctmask 0x0f", "--and-mark 0x1", "--or-mark 0x8", "--xor-mark 0x3", "--set-mark 0x7/0xf")},
		weighted[string]{3, "-j TOS " + pick(g, "--and-tos 0x0f", "--or-tos 0x10", "--xor-tos 0x12", "--set-tos Minimize-Delay")})
	if c.v6 && !slices.Contains([]string{"one", "two"}, c.name) {
		list = append(list, g.prefixes(c)...)
	}
	return choose(g, list)
}

// sourcePorts are what sources are translated to. Ranges hold no port that occurs otherwise: the value that a router
// picked is told from others by its number alone. They are wide enough that chance seldom picks the same port for the
// reference again and again.
var sourcePorts = []string{"5000", "100", "6000", "6100-6115", "61000-61031", "610-640"}

// translate draws a target of the nat table.
func (g *gen) translate(c *chain, proto string) string {
	g.nat = true
	hasPorts := proto == "tcp" || proto == "udp" || proto == "sctp" || proto == "dccp"
	d := pick(g, g.devs...)
	addr := pick(g, append([]string{d.own[fam(c.v6)]}, d.hosts[fam(c.v6)]...)...)
	with := func(port string) string {
		switch {
		case !hasPorts || g.chance(50):
			return addr
		case c.v6:
			return "[" + addr + "]:" + port
		}
		return addr + ":" + port
	}
	toPorts := func(p string) string {
		if !hasPorts || g.chance(50) {
			return ""
		}
		return " --to-ports " + p
	}
	flags := pick(g, "", "", "", "", " --persistent", " --random", " --random-fully")
	if g.chance(5) {
		flags = " --random --persistent"
	}
	netmap := map[bool][]string{false: {"172.16.0.0/24", "10.0.0.0/24", "203.0.113.0/24"}, true: {"fd00:d::/64", "2001:db8:8::/64"}}[c.v6]
	switch c.name {
	case "PREROUTING", "OUTPUT":
		return choose(g, []weighted[string]{{6, "-j DNAT --to-destination " + d.hosts[fam(c.v6)][0] + "-" + d.hosts[fam(c.v6)][1] + pick(g, "", " --persistent")},
			{3, "-j REDIRECT" + map[bool]string{true: " --to-ports 80 --random"}[hasPorts]},
			{60, "-j DNAT --to-destination " + with(pick(g, "8080", "53", "5000"))}, {15, "-j REDIRECT" + toPorts(pick(g, "80", "53"))},
			{8, "-j NETMAP --to " + pick(g, netmap...)}, {10, "-j ACCEPT"}})
	case "POSTROUTING", "INPUT":
		own := g.devs[1].own[fam(c.v6)]
		addr = pick(g, own, own, map[bool]string{false: "10.0.0.3", true: "fd00:f::3"}[c.v6], map[bool]string{false: "10.0.0.50", true: "fd00:f::50"}[c.v6], addr)
		list := []weighted[string]{{55, "-j SNAT --to-source " + with(pick(g, sourcePorts...)) + flags}, {8, "-j ACCEPT"},
			{7, "-j SNAT --to-source " + map[bool]string{false: "10.0.0.50-10.0.0.53", true: "fd00:f::50-fd00:f::53"}[c.v6] + pick(g, "", " --persistent")}}
		if c.name == "POSTROUTING" {
			list = append(list, weighted[string]{30, "-j MASQUERADE" + toPorts(pick(g, "6100-6115", "1024-65535"))}, weighted[string]{6, "-j NETMAP --to " + pick(g, netmap...)})
		}
		return choose(g, list)
	}
	return pick(g, "-j ACCEPT", "-j RETURN")
}
