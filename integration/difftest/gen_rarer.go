package difftest

import "fmt"

// rarerMatches are the ones that need more luck to say something.
func (g *gen) rarerMatches(c *chain) []weighted[string] {
	n := g.r.IntN(1 << 20)
	list := []weighted[string]{
		{3, "-m addrtype " + g.not(pick(g, "--dst-type BROADCAST", "--dst-type MULTICAST", "--src-type UNSPEC", "--dst-type UNREACHABLE", "--dst-type PROHIBIT,BLACKHOLE",
			"--src-type LOCAL,UNICAST", "--dst-type ANYCAST"))},
		{2, "-m conntrack " + g.not("--ctreplsrcport "+pick(g, "53", "80", "1:1023"))},
		{2, "-m conntrack " + g.not("--ctorigsrcport "+pick(g, "40000", "1000:50000"))},
		{2, "-m conntrack " + g.not("--ctrepldst "+g.network(c.v6))},
		{2, "-m conntrack --ctstate " + pick(g, "NEW,SNAT", "RELATED,DNAT", "ESTABLISHED,UNTRACKED", "INVALID,NEW") + " --ctdir " + pick(g, "ORIGINAL", "REPLY")},
		{2, "-m connlabel " + g.not("--label "+fmt.Sprint(1+n%3)+pick(g, "", " --set"))},
		{2, "-m recent " + pick(g, "--set --name q --rdest", "--rcheck --name q --rdest", "--update --name q --rdest --hitcount 3", "--set --name r --rsource --mask "+mask(c.v6),
			"--rcheck --seconds 600 --reap --name r --rsource", "--rcheck --rttl --hitcount 1 --name r --rsource")},
		{2, "-m hashlimit --hashlimit-above 1/hour --hashlimit-burst " + fmt.Sprint(1+n%3) + " --hashlimit-mode " + pick(g, "srcport", "dstip,dstport", "srcip,dstip,srcport,dstport") +
			pick(g, "", " --hashlimit-srcmask 24") + " --hashlimit-name k"},
		{2, "-m string --hex-string \"|" + pick(g, "6162", "00ff", "4142") + "|" + pick(g, "", "cd", "c|64|e") + "\" --algo " + pick(g, "bm", "kmp") + pick(g, "", " --from 20 --to 200")},
		{1, "-m connmark " + g.not("--mark "+pick(g, "0x7/0xf", "0x2/0x2"))},
		{1, "-m bpf --bytecode \"" + pick(g, "4,48 0 0 9,21 0 1 17,6 0 0 1,6 0 0 0", "4,48 0 0 6,21 0 1 6,6 0 0 1,6 0 0 0", "1,6 0 0 1") + "\""},
		{1, "-m length ! --length 40"},
	}
	if c.name == "OUTPUT" || c.name == "POSTROUTING" {
		list = append(list, weighted[string]{1, "-m addrtype " + g.not("--src-type LOCAL --limit-iface-out")})
	}
	if c.name == "PREROUTING" || c.name == "INPUT" {
		list = append(list, weighted[string]{2, "-m addrtype " + g.not("--dst-type LOCAL --limit-iface-in")})
	}
	if c.name == "PREROUTING" && c.table != "nat" {
		list = append(list, weighted[string]{2, "-m rpfilter" + pick(g, " --accept-local", " --validmark", " --loose --invert", " --accept-local --invert")})
	}
	if c.v6 {
		list = append(list, weighted[string]{2, "-m rt --rt-type 0" + pick(g, "", " --rt-segsleft 0:1", " ! --rt-len 8")},
			weighted[string]{2, "-m hbh --hbh-opts " + pick(g, "1:4", "5:2", "194")}, weighted[string]{1, "-m dst ! --dst-len 16"},
			weighted[string]{2, "-m ipv6header --header " + pick(g, "hop,dst", "frag", "route", "prot", "dst --soft")})
	} else {
		list = append(list, weighted[string]{2, "-m ecn " + g.not("--ecn-ip-ect "+fmt.Sprint(n%4))})
	}
	if g.timed {
		list = append(list, weighted[string]{12, "-m limit --limit " + pick(g, "1/second", "30/minute", "2/second") + " --limit-burst " + fmt.Sprint(1+n%3)},
			weighted[string]{12, "-m hashlimit " + pick(g, "--hashlimit-upto", "--hashlimit-above") + " " + pick(g, "1/second", "30/minute") + " --hashlimit-burst " + fmt.Sprint(1+n%2) +
				" --hashlimit-mode " + pick(g, "srcip", "dstip", "dstport") + " --hashlimit-htable-expire " + pick(g, "1000", "3000") + " --hashlimit-name t"},
			weighted[string]{12, "-m recent " + pick(g, "--update --seconds 2", "--rcheck --seconds 1", "! --update --seconds 3 --hitcount 2", "--set", "--rcheck --seconds 2 --reap") + " --name r --rsource"},
			weighted[string]{6, "-m connlimit " + pick(g, "--connlimit-above ", "--connlimit-upto ") + fmt.Sprint(1+n%3) + pick(g, "", " --connlimit-mask 24", " --connlimit-daddr")},
			weighted[string]{5, "-m conntrack --ctexpire 27:29"})
	}
	return list
}

func mask(v6 bool) string {
	if v6 {
		return "ffff:ffff:ffff:ffff::"
	}
	return "255.255.255.0"
}

// logTarget writes a line and goes on.
func (g *gen) logTarget(c *chain) string {
	if c.table == "raw" && g.chance(20) {
		return "-j TRACE"
	}
	return "-j LOG" + pick(g, "", " --log-level "+pick(g, "0", "3", "6", "debug")) + pick(g, "", " --log-prefix \""+pick(g, "drop: ", "a b ", "x")+"\"") +
		pick(g, "", "", " --log-tcp-sequence", " --log-tcp-options", " --log-ip-options", " --log-uid", " --log-macdecode", " --log-tcp-sequence --log-tcp-options --log-ip-options")
}

// tee sends a copy to a host on one of the links.
func (g *gen) tee(c *chain) string {
	d := pick(g, g.devs...)
	return "-j TEE --gateway " + pick(g, d.hosts[fam(c.v6)]...) + pick(g, "", "", " --oif "+d.name)
}

// prefixes are the targets of RFC 6296, which know no connections.
func (g *gen) prefixes(c *chain) []weighted[string] {
	var list []weighted[string]
	in, out := pick(g, "fd00:1::/64", "fd00:d::/48"), pick(g, "2001:db8:77::/48", "fd00:f::/64")
	if c.name == "POSTROUTING" || c.name == "INPUT" {
		list = append(list, weighted[string]{6, "-j SNPT --src-pfx " + in + " --dst-pfx " + out})
	}
	if c.name == "PREROUTING" || c.name == "OUTPUT" {
		list = append(list, weighted[string]{6, "-j DNPT --src-pfx " + out + " --dst-pfx " + in})
	}
	return list
}
