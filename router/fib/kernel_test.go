package fib

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/moat-router/moat/stack/packet"
)

var rounds = flag.Int("fib.rounds", 12, "rounds of TestSameAsKernel")
var seed = flag.Uint64("fib.seed", 1, "first seed of TestSameAsKernel")

// TestSameAsKernel gives the same random ip commands to a Builder and to the kernel of this machine, in a network
// namespace of their own, and compares which commands were refused, the tables, rules and addresses that came out, and
// the answers to random look-ups.
func TestSameAsKernel(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: a network namespace of its own")
	}
	for _, tool := range []string{"unshare", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s(8)", tool)
		}
	}
	if out, err := exec.Command("unshare", "-n", "ip", "link", "add", "d0", "type", "veth", "peer", "name", "p0").CombinedOutput(); err != nil {
		t.Skipf("needs veth interfaces: %s", out)
	}
	for i := range *rounds {
		t.Run(fmt.Sprint(*seed+uint64(i)), func(t *testing.T) {
			t.Parallel()
			g := newGenerator(*seed + uint64(i))
			g.source.RPFilter, g.source.AcceptLocal, g.source.SrcValidMark = g.IntN(3), g.chance(20), g.chance(30)
			var cmds, queries []string
			for range 25 {
				cmds = append(cmds, g.command())
			}
			for range 60 {
				queries = append(queries, g.query())
			}
			// The kernel does some things later, in a worker: a busy machine gets a second chance with more patience.
			if compareWithKernel(t, g.source, cmds, queries, 1) != "" {
				if problem := compareWithKernel(t, g.source, cmds, queries, 5); problem != "" {
					t.Error(problem)
				}
			}
		})
	}
}

// compareWithKernel says what differs, or "".
func compareWithKernel(t *testing.T, source Source, cmds, queries []string, patience int) (problem string) {
	kernel := runKernel(t, source, cmds, queries, patience)

	b := NewBuilder()
	for _, n := range links {
		if _, err := b.AddLink(n, 1500); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range cmds {
		err := b.Command(c)
		if strings.Contains(c, "flush") {
			continue // ip complains of tables that do not exist
		}
		if (err == nil) != (kernel.rc[i] == "0") {
			return fmt.Sprintf("%s\n%s\nkernel: exit code %s %s\nmoat: %v", strings.Join(cmds[:i], "\n"), c, kernel.rc[i], kernel.stderr[i], err)
		}
	}
	f := b.Build()
	same := func(what string, kernel, ours []string) {
		t.Helper()
		if slices.Equal(kernel, ours) {
			return
		}
		var diff []string
		for _, l := range kernel {
			if !slices.Contains(ours, l) {
				diff = append(diff, "kernel: "+l)
			}
		}
		for _, l := range ours {
			if !slices.Contains(kernel, l) {
				diff = append(diff, "moat:   "+l)
			}
		}
		if diff == nil {
			diff = append(append([]string{"other order; kernel:"}, kernel...), append([]string{"moat:"}, ours...)...)
		}
		problem += fmt.Sprintf("%s differ after\n%s\n%s\n", what, strings.Join(cmds, "\n"), strings.Join(diff, "\n"))
	}
	for _, v6 := range []bool{false, true} {
		for _, table := range []string{"main", "local", "100", "default"} {
			ours, err := f.RouteLines(v6, table)
			if err != nil {
				t.Fatal(err)
			}
			theirs := kernel.list[fmt.Sprint(v6, table)]
			// The order of a dump between prefixes is that of a hash; at one prefix it matters and is compared by look-ups.
			slices.Sort(ours)
			slices.Sort(theirs)
			same(fmt.Sprintf("routes (IPv6 %v, table %s)", v6, table), theirs, ours)
		}
		same("rules", kernel.list[fmt.Sprint(v6, "rules")], f.RuleLines(v6))
	}
	for _, n := range links {
		lines, _ := f.AddrLines(n)
		for i, l := range lines {
			lines[i] = strings.TrimSpace(l)
		}
		same("addresses of "+n, kernel.list["addr "+n], lines[1:])
	}
	if problem != "" {
		return problem
	}
	for i, q := range queries {
		c := &command{s: f.state, words: strings.Fields(q)[2:]}
		if strings.Contains(q, "-6") {
			c.words, c.family = strings.Fields(q)[3:], family6
		}
		k, err := c.key()
		if err != nil {
			t.Fatal(err)
		}
		if got := answer(f, k, source); got != kernel.answers[i] {
			return fmt.Sprintf("ip %s\nkernel: %s\nmoat:   %s\nafter\n%s", q, kernel.answers[i], got, strings.Join(cmds, "\n"))
		}
	}
	return ""
}

// answer is our answer in the form to which normal brings the kernel's.
func answer(f *FIB, k Key, source Source) string {
	r := f.Lookup(k)
	if k.IIF == 0 {
		r = f.Output(k)
	}
	switch r.Type {
	case None:
		return "Network is unreachable"
	case Unreachable:
		return "No route to host"
	case Prohibit:
		return "Permission denied"
	case Blackhole:
		return "Invalid argument"
	}
	if k.IIF != 0 {
		oif := 0
		if r.Type == Unicast {
			oif = r.Dev
		}
		if _, why := f.Validate(k, oif, source); why != packet.ReasonNone {
			return "Invalid argument"
		}
	}
	src := r.PrefSrc.String()
	if r.PrefSrc.IsZero() || !k.Src.IsZero() {
		src = ""
	}
	if r.Type == Local || r.Type == Anycast {
		return r.Type.String() + " src=" + src
	}
	if r.Type == Broadcast {
		if k.IIF != 0 {
			return "broadcast src="
		}
		r.Table = TableMain // the kernel tells only while local and main are two tries
	} else if r.Table == 0 {
		r.Table = TableMain
	}
	gw := ""
	if !r.Gateway.IsZero() {
		gw = r.Gateway.String()
	}
	return fmt.Sprintf("%s via=%s dev=%s table=%s src=%s", r.Type, gw, f.Dev(r.Dev).Name, tableName(r.Table), src)
}

// normal brings an answer of "ip route get" to type, gateway, interface, table and source.
func normal(line string, hasSrc bool) string {
	if _, msg, ok := strings.Cut(line, "RTNETLINK answers: "); ok {
		// Which of both says that the source is refused depends on whether the packet would have been forwarded.
		return strings.Replace(strings.TrimSpace(msg), "Invalid cross-device link", "Invalid argument", 1)
	}
	w := strings.Fields(line)
	typ := "unicast"
	if len(w) > 0 && slices.Contains(typeNames[:], w[0]) {
		typ, w = w[0], w[1:]
	}
	get := func(key string) string {
		if i := slices.Index(w, key); i >= 0 && i+1 < len(w) {
			return w[i+1]
		}
		return ""
	}
	src := get("src")
	if hasSrc {
		src = ""
	}
	if typ == "local" || typ == "anycast" || typ == "broadcast" && get("dev") == "lo" {
		return typ + " src=" + src
	}
	table := get("table")
	if table == "" || typ == "broadcast" {
		table = "main"
	}
	return fmt.Sprintf("%s via=%s dev=%s table=%s src=%s", typ, get("via"), get("dev"), table, src)
}

var links = []string{"d0", "d1", "d2"}

type kernelState struct {
	rc, stderr, answers []string
	list                map[string][]string
}

// runKernel does it all in one shell in one fresh namespace.
func runKernel(t *testing.T, src Source, cmds, queries []string, patience int) kernelState {
	t.Helper()
	var s strings.Builder
	s.WriteString("cd /proc/sys/net; echo 1 >ipv6/conf/default/addr_gen_mode; echo 0 >ipv6/conf/default/accept_dad; echo 0 >ipv6/conf/all/accept_dad\n" +
		"echo 1 >ipv6/conf/all/forwarding; echo 1 >ipv4/ip_forward; echo 0 >ipv4/conf/default/rp_filter; echo 0 >ipv4/conf/all/promote_secondaries\n" +
		"echo 0 >ipv4/conf/default/promote_secondaries; echo 0 >ipv4/conf/all/send_redirects; echo 0 >ipv4/conf/default/send_redirects\n")
	fmt.Fprintf(&s, "echo %d >ipv4/conf/all/rp_filter; echo %d >ipv4/conf/all/accept_local; echo %d >ipv4/conf/all/src_valid_mark\n",
		src.RPFilter, fam(src.AcceptLocal), fam(src.SrcValidMark))
	s.WriteString("ip link set lo up\n")
	for _, n := range links {
		fmt.Fprintf(&s, "ip link add %s type veth peer name p%s; ip link set p%s up; ip link set %s arp off up\n", n, n, n, n)
	}
	for _, c := range cmds {
		wait := ""
		if strings.Contains(c, "addr add") && strings.Contains(c, ":") {
			c += " nodad"
			wait = fmt.Sprintf("; sleep %.2f", 0.03*float64(patience))
		}
		fmt.Fprintf(&s, "e=$(ip %s 2>&1); echo \"rc $? $(echo $e)\"%s\n", strings.TrimPrefix(c, "ip "), wait)
	}
	fmt.Fprintf(&s, "sleep %.1f\n", 0.2*float64(patience))
	for _, v6 := range []bool{false, true} {
		o := "-4"
		if v6 {
			o = "-6"
		}
		for _, table := range []string{"main", "local", "100", "default"} {
			fmt.Fprintf(&s, "ip %s route show table %s 2>/dev/null | sed 's/^/list %v%s /'\n", o, table, v6, table)
		}
		fmt.Fprintf(&s, "ip %s rule show | sed 's/^/list %vrules /'\n", o, v6)
	}
	for _, n := range links {
		fmt.Fprintf(&s, "ip addr show dev %s | grep inet | sed 's/^/list addr_%s /'\n", n, n)
	}
	for _, q := range queries {
		fmt.Fprintf(&s, "echo \"get \" $(ip %s 2>&1)\n", q)
	}
	cmd := exec.Command("unshare", "-n", "sh")
	cmd.Stdin = strings.NewReader(s.String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	k := kernelState{list: map[string][]string{}}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "rc":
			rc, e, _ := strings.Cut(rest, " ")
			k.rc, k.stderr = append(k.rc, rc), append(k.stderr, e)
		case "get":
			q := queries[len(k.answers)]
			k.answers = append(k.answers, normal(rest, strings.Contains(q, " from ")))
		case "list":
			name, l, _ := strings.Cut(rest, " ")
			l = strings.Join(strings.Fields(strings.ReplaceAll(l, " nodad", "")), " ")
			if strings.Contains(l, " dev p") {
				continue // the far ends
			}
			name = strings.ReplaceAll(name, "_", " ")
			if strings.HasSuffix(name, "rules") {
				l = strings.Replace(l, ": ", ":\t", 1)
			}
			k.list[name] = append(k.list[name], l)
		default:
			t.Fatalf("unexpected line %q", line)
		}
	}
	return k
}

// generator makes random ip commands over few addresses, so that they meet.
type generator struct {
	*rand.Rand
	source Source // the check of source addresses in this round
}

func newGenerator(seed uint64) *generator {
	return &generator{Rand: rand.New(rand.NewPCG(seed, 7))}
}

func (g *generator) pick(words ...string) string { return words[g.IntN(len(words))] }

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func (g *generator) link() string { return g.pick(links...) }

func (g *generator) host(v6 bool) string {
	if v6 {
		return fmt.Sprintf("fd00:%d::%x", g.IntN(3), 1+g.IntN(6))
	}
	return fmt.Sprintf("10.%d.0.%d", g.IntN(3), 1+g.IntN(6))
}

func (g *generator) prefix(v6 bool) string {
	if v6 {
		return g.pick("default", "fd00::/16", "fd00:1::/32", "fd00:1::/64", "fd00:2::/64", "fd00:2::/96", "fd00::4", "fd00:2::3", "2001:db8::/32")
	}
	return g.pick("default", "10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/24", "10.2.0.0/24", "10.2.0.0/30", "10.0.0.4", "10.2.0.3", "198.51.100.0/24", "10.1.0.0/25")
}

func (g *generator) command() string {
	v6 := g.chance(50)
	ip := "ip "
	if v6 {
		ip = "ip -6 "
	}
	switch n := g.IntN(100); {
	case n < 28:
		return ip + g.addr(v6)
	case n < 36:
		return ip + fmt.Sprintf("addr del %s/%s dev %s", g.host(v6), g.bits(v6), g.link())
	case n < 78:
		return ip + "route " + g.pick("add", "add", "add", "replace", "append", "prepend", "change", "del") + " " + g.route(v6)
	case n < 80:
		return ip + "route flush " + g.pick("table 100", "dev "+g.link(), "scope link", "proto kernel", "root 10.0.0.0/8")
	case n < 92:
		return ip + "rule " + g.pick("add", "add", "add", "del") + " " + g.rule(v6)
	case n < 95:
		return "ip link set " + g.link() + " down"
	case n < 98:
		return "ip link set " + g.link() + " up"
	}
	return ip + "addr flush dev " + g.link()
}

func (g *generator) bits(v6 bool) string {
	if v6 {
		return g.pick("64", "64", "64", "96", "128", "127", "48")
	}
	return g.pick("24", "24", "24", "30", "32", "31", "16", "25")
}

func (g *generator) addr(v6 bool) string {
	s := "addr add " + g.host(v6)
	if g.chance(10) {
		s += " peer " + g.host(v6)
	}
	s += "/" + g.bits(v6) + " dev " + g.link()
	if !v6 && g.chance(15) {
		s += " scope " + g.pick("link", "host", "site")
	}
	if !v6 && g.chance(10) {
		s += " brd +"
	}
	if g.chance(5) {
		s += " noprefixroute"
	}
	return s
}

func (g *generator) route(v6 bool) string {
	s := ""
	plain := !g.chance(15)
	if !plain {
		s = g.pick("unreachable", "prohibit", "blackhole", "throw") + " "
	} else if g.chance(4) {
		s = "local "
	}
	s += g.prefix(v6)
	if plain {
		via := g.chance(60) && !strings.HasPrefix(s, "local")
		if via {
			s += " via " + g.host(v6)
		}
		if !via || g.chance(40) {
			s += " dev " + g.link()
		}
		if via && g.chance(10) {
			s += " onlink"
		}
		if g.chance(10) {
			s += " src " + g.host(v6)
		}
		if g.chance(8) {
			s += " mtu 1400"
		}
	}
	if g.chance(40) {
		s += " metric " + g.pick("1", "5", "1024")
	}
	if g.chance(25) {
		s += " table 100"
	}
	if !v6 && g.chance(8) {
		s += " tos " + g.pick("0x10", "0x04")
	}
	return s
}

func (g *generator) rule(v6 bool) string {
	var s []string
	if g.chance(10) {
		s = append(s, "not")
	}
	if g.chance(40) {
		s = append(s, "from", g.pick("all", strings.Replace(g.prefix(v6), "default", "all", 1)))
	}
	if g.chance(20) {
		s = append(s, "to", strings.Replace(g.prefix(v6), "default", "all", 1))
	}
	if g.chance(40) {
		s = append(s, "fwmark", g.pick("1", "2", "1/1", "0x2/0xff"))
	}
	if g.chance(15) {
		s = append(s, "iif", g.pick("lo", g.link()))
	}
	if g.chance(8) {
		s = append(s, "oif", g.link())
	}
	if g.chance(10) {
		s = append(s, "tos", g.pick("0x10", "0x04"))
	}
	if g.chance(30) {
		s = append(s, "pref", g.pick("100", "200", "40000"))
	}
	if g.chance(80) {
		s = append(s, "lookup", g.pick("100", "100", "main"))
		if g.chance(15) {
			s = append(s, "suppress_prefixlength", g.pick("0", "16"))
		}
	} else {
		s = append(s, g.pick("unreachable", "prohibit", "blackhole"))
	}
	return strings.Join(s, " ")
}

// query is an "ip route get" of a packet of the router's own or of one that came in.
func (g *generator) query() string {
	v6 := g.chance(50)
	dst, stranger := g.host(v6), "203.0.113.9"
	s := "route get "
	if v6 {
		s, stranger = "-6 route get ", "2001:db8:9::9"
	}
	if g.chance(30) {
		dst = g.pick("198.51.100.7", "203.0.113.1", "10.1.0.255", "10.1.0.200", "127.0.0.5")
		if v6 {
			dst = g.pick("2001:db8::1", "2001:db9::1", "fd00:1::ffff", "fd00:2::1:1:1", "fd00:1::", "fd00::77")
		}
	}
	s += dst
	if g.chance(40) && dst != "127.0.0.5" {
		s += " from " + g.pick(stranger, g.host(v6)) + " iif " + g.link()
	} else if g.chance(15) {
		s += " oif " + g.link()
	}
	if g.chance(40) {
		s += " mark " + g.pick("1", "2", "3")
	}
	if g.chance(15) {
		s += " tos " + g.pick("0x10", "0x04")
	}
	return s
}
