package difftest

import (
	"fmt"
	"slices"
	"strings"
)

// chain is where a rule stands.
type chain struct {
	table, name string
	v6          bool
	user        []string // chains that can be called from here
	in, out     bool     // -i, -o make sense
}

var hooks = map[string][]string{
	"raw":    {"PREROUTING", "OUTPUT"},
	"mangle": {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"},
	"nat":    {"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"},
	"filter": {"INPUT", "FORWARD", "OUTPUT"},
}

// how many rules of a hundred go to a chain.
var busy = map[string]int{"PREROUTING": 45, "POSTROUTING": 45, "FORWARD": 60, "INPUT": 25, "OUTPUT": 15}

// rules draws an iptables-save text.
func (g *gen) rules(v6 bool) string {
	var b strings.Builder
	for _, t := range []struct {
		name string
		use  int
	}{{"raw", 15}, {"mangle", 30}, {"nat", 60}, {"filter", 80}} {
		if g.chance(t.use) {
			g.table(&b, t.name, v6)
		}
	}
	if b.Len() == 0 {
		g.table(&b, "filter", v6)
	}
	return b.String()
}

func (g *gen) table(b *strings.Builder, table string, v6 bool) {
	fmt.Fprintln(b, "*"+table)
	for _, h := range hooks[table] {
		policy := "ACCEPT"
		if table == "filter" && g.chance(12) {
			policy = "DROP"
		}
		fmt.Fprintf(b, ":%s %s [0:0]\n", h, policy)
	}
	var user []string
	if table != "raw" && g.chance(30) {
		user = []string{"one", "two"}[:1+g.r.IntN(2)]
	}
	for _, u := range user {
		fmt.Fprintf(b, ":%s - [0:0]\n", u)
	}
	if table == "filter" && g.chance(55) {
		// What most rulesets begin with.
		fmt.Fprintln(b, "-A FORWARD "+pick(g, "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-m state --state ESTABLISHED -j ACCEPT",
			"-m conntrack --ctstate INVALID -j DROP", "-m conntrack --ctstate RELATED -j ACCEPT", "-m conntrack --ctstate INVALID"))
	}
	for _, h := range hooks[table] {
		for n := 0; n < 4 && g.chance(busy[h]); n++ {
			c := chain{table: table, name: h, v6: v6, user: user, in: h != "OUTPUT" && h != "POSTROUTING", out: h == "OUTPUT" || h == "POSTROUTING" || h == "FORWARD"}
			g.rule(b, &c)
		}
	}
	for i, u := range user {
		for n := 1 + g.r.IntN(3); n > 0; n-- {
			// A user chain may only do what every hook that can reach it allows, and calls no chain before itself.
			g.rule(b, &chain{table: table, name: u, v6: v6, user: user[i+1:]})
		}
	}
	fmt.Fprintln(b, "COMMIT")
}

func (g *gen) rule(b *strings.Builder, c *chain) {
	proto := choose(g, []weighted[string]{{35, ""}, {28, "udp"}, {24, "tcp"}, {13, map[bool]string{false: "icmp", true: "ipv6-icmp"}[c.v6]},
		{3, "sctp"}, {1, "udplite"}, {1, "dccp"}, {1, "gre"}, {1, "esp"}, {1, "253"}, {1, "ipencap"}})
	words := []string{"-A " + c.name}
	if c.in && g.chance(25) {
		words = append(words, g.not("-i "+pick(g, g.devs...).name))
	}
	if c.out && g.chance(25) {
		words = append(words, g.not("-o "+pick(g, g.devs...).name))
	}
	if g.chance(18) {
		words = append(words, g.not("-s "+g.network(c.v6)))
	}
	if g.chance(22) {
		words = append(words, g.not("-d "+g.network(c.v6)))
	}
	if proto != "" {
		words = append(words, "-p "+proto)
		if m := g.protoMatch(c, proto); m != "" {
			words = append(words, m)
		}
	}
	if proto == "" && g.chance(6) {
		words = append(words, "! -p "+pick(g, "tcp", "udp", "132"))
	}
	for n := 0; n < 2 && g.chance(35); n++ {
		if m := g.match(c, proto); !slices.Contains(words, m) {
			words = append(words, m)
		}
	}
	sets := g.setsFor(c.v6)
	if len(sets) > 0 && g.chance(40) {
		words = append(words, g.setMatch(sets))
	}
	target := g.target(c, proto)
	if len(sets) > 0 && g.chance(25) {
		target = g.setTarget(c, sets)
	}
	words = append(words, target)
	if rule := strings.Join(words, " "); !g.avoids(rule) {
		fmt.Fprintln(b, rule)
	}
}

func (g *gen) not(s string) string {
	if g.chance(15) {
		return "! " + s
	}
	return s
}

func (g *gen) network(v6 bool) string {
	d := pick(g, g.devs...)
	a := pick(g, append([]string{d.own[fam(v6)]}, d.hosts[fam(v6)]...)...)
	if v6 {
		return pick(g, a, a+"/64", a+"/48", "2001:db8::/32", "fd00::/16")
	}
	return pick(g, a, a+"/24", a+"/16", "198.51.100.0/24", "0.0.0.0/0")
}

func (g *gen) port() string {
	return pick(g, fmt.Sprint(pick(g, ports...)), fmt.Sprint(pick(g, ports...)), "1:1023", "1024:", "40000:40001", "53:443")
}

// protoMatch is what stands behind -p.
func (g *gen) protoMatch(c *chain, proto string) string {
	switch proto {
	case "udp", "tcp":
		switch g.r.IntN(10) {
		case 0, 1, 2, 3:
			return "-m " + proto + " " + g.not("--dport "+g.port())
		case 4:
			return "-m " + proto + " " + g.not("--sport "+g.port())
		case 5:
			return "-m multiport " + g.not(pick(g, "--dports", "--sports", "--ports")+" "+pick(g, "53,80,443", "53,1000:8080", "600,100,5000,33434"))
		case 6:
			if proto == "tcp" {
				return "-m tcp " + g.not(pick(g, "--syn", "--tcp-flags SYN,ACK,FIN,RST SYN", "--tcp-flags ALL NONE", "--tcp-flags RST RST", "--tcp-flags SYN,ACK SYN,ACK"))
			}
		case 7:
			if proto == "tcp" {
				return "-m tcp " + g.not("--tcp-option "+pick(g, "2", "3", "8"))
			}
		}
	case "sctp":
		switch g.r.IntN(4) {
		case 0:
			return "-m sctp " + g.not(pick(g, "--dport ", "--sport ")+g.port())
		case 1, 2:
			return "-m sctp " + g.not("--chunk-types "+pick(g, "any INIT", "all DATA", "only INIT", "any DATA:bE,ABORT", "all INIT_ACK,SACK", "only DATA,SACK,HEARTBEAT", "any ABORT:T", "any ALL"))
		}
		return "-m multiport " + g.not("--ports 53,600:8080")
	case "dccp":
		return pick(g, "", "-m dccp --dport 53", "-m dccp ! --sport 1:1023", "-m dccp --dccp-types REQUEST,DATA")
	case "udplite":
		return pick(g, "", "-m multiport --dports 53,600:8080")
	case "esp":
		return pick(g, "", "-m esp "+g.not("--espspi "+pick(g, "1122867", "0:1000", "256:")))
	case "icmp":
		if g.chance(50) {
			return "-m icmp " + g.not("--icmp-type "+pick(g, "8", "0", "3", "3/4", "11", "echo-request", "port-unreachable"))
		}
	case "ipv6-icmp":
		if g.chance(50) {
			return "-m icmp6 " + g.not("--icmpv6-type "+pick(g, "128", "129", "1", "2", "1/4", "3", "packet-too-big"))
		}
	}
	return ""
}
