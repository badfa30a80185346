package difftest

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"

	"github.com/moat-router/moat/integration/scenario"
)

// Source is where scenarios come from.
type Source struct {
	Seed uint64
	// Avoid leaves out rules and steps whose text it matches, to see what lies behind a difference that is known; nil
	// for none.
	Avoid *regexp.Regexp
	// Helpers draws conversations of FTP, IRC, TFTP and Amanda through routers that read along.
	Helpers bool
	// Offload draws senders that leave segmentation and checksums to their devices, and devices that take super-segments.
	Offload bool
}

func (s Source) avoids(text string) bool { return s.Avoid != nil && s.Avoid.MatchString(text) }

// Generate makes scenario number n: a random router, then random steps, each chosen in the light of what the
// reference let out before. It returns the scenario with its steps and the reference's run. The same seed and number
// give the same scenario as long as the reference behaves the same. A *scenario.Refused error means that the reference
// refused something; the scenario up to there comes with it.
func (src Source) Generate(ref scenario.Player, n int) (*scenario.Scenario, *scenario.Run, error) {
	g := &gen{Source: src, r: rand.New(rand.NewPCG(src.Seed, uint64(n)))}
	name, test := "random", "TestDifferential"
	switch {
	case src.Helpers:
		name, test = "helpers", "TestHelpersReadAlongAsLinux"
	case src.Offload:
		name, test = "offload", "TestSuperSegmentsCrossAsThroughLinux"
	}
	s := &scenario.Scenario{Name: fmt.Sprintf("%s-%d-%d", name, src.Seed, n), Group: "random",
		Why: fmt.Sprintf("go test ./integration/difftest -run %s -difftest.seed=%d -difftest.only=%d", test, src.Seed, n)}
	router, steps := g.router, g.steps
	if src.Helpers {
		router, steps = g.helperRouter, g.conversations
	}
	router(s)
	if src.Offload {
		for i := range s.Interfaces {
			s.Interfaces[i].Offload = g.chance(60)
		}
	}
	x, err := start(ref, s)
	if err == nil {
		err = steps(x)
	}
	if err == nil {
		err = x.end()
	}
	return s, x.run, err
}

// gen is the state of one generation.
type gen struct {
	Source
	audience
	r        *rand.Rand
	v4, v6   bool
	devs     []*dev
	nat      bool // some rule may translate
	log      bool // log lines are compared
	timed    bool // rules and sysctls may count in seconds, and steps sleep
	listens  []listener
	sets     []*ipset
	out      []seen // what left, latest last
	flows    []flow // what was begun
	vars     int
	ipid     int
	oddities int // percent of packets that are odd on purpose
}

// dev is an interface with the hosts behind it.
type dev struct {
	name   string
	own    [2]string   // addresses of the router, IPv4 and IPv6
	hosts  [2][]string // addresses behind it
	router [2]string   // the next hop
	mtu    int
}

type listener struct {
	proto, addr string
	port        int
}

// flow is a conversation as its initiator sees it.
type flow struct {
	dev          *dev
	v6           bool
	src, dst     string
	proto        string
	sport, dport int
	seq, ack     uint32
}

func (g *gen) chance(percent int) bool { return g.r.IntN(100) < percent }

func pick[T any](g *gen, list ...T) T { return list[g.r.IntN(len(list))] }

// weighted is a choice and how often it is taken in comparison.
type weighted[T any] struct {
	weight int
	value  T
}

func choose[T any](g *gen, list []weighted[T]) T {
	sum := 0
	for _, w := range list {
		sum += w.weight
	}
	n := g.r.IntN(sum)
	for _, w := range list {
		if n -= w.weight; n < 0 {
			return w.value
		}
	}
	panic("difftest: weights that do not add up")
}

func fam(v6 bool) int {
	if v6 {
		return 1
	}
	return 0
}

// steps plays a random number of steps.
func (g *gen) steps(x *session) error {
	list := []weighted[func(*session) error]{
		{30, g.begin}, {34, g.reply}, {14, g.again}, {16, g.icmpError}, {8, g.fragments}, {8, g.strange}, {1, g.flush},
		{2, g.reload}, {3, g.host}, {2, g.sysctl}, {4, g.conversation}, {4, g.crowd}, {6, g.oddError}, {3, g.repeat}, {4, g.headers}, {3, g.association},
	}
	if len(g.sets) > 0 {
		list = append(list, weighted[func(*session) error]{8, g.changeSet})
	}
	if g.timed {
		list = append(list, weighted[func(*session) error]{14, g.sleep}, weighted[func(*session) error]{12, g.repeat})
	}
	for n := 4 + g.r.IntN(14); n > 0; n-- {
		step := choose(g, list)
		if g.timed && x.has("-m connlimit") {
			// Connections that are gone are not collected twice within a jiffy.
			if _, err := x.do(scenario.Step{Op: "sleep", MS: 20}); err != nil {
				return err
			}
		}
		if err := step(x); err != nil {
			return err
		}
	}
	return nil
}

// inject plays one step of packets and remembers what came out.
func (g *gen) inject(x *session, d string, pkts ...string) error {
	if g.avoids(strings.Join(pkts, "\n")) {
		return nil
	}
	o, err := x.do(scenario.Step{Op: "inject", If: d, Pkt: pkts, Offload: g.offload(pkts)})
	if err != nil {
		return err
	}
	sent := map[string]bool{}
	for _, b := range o.Sent {
		if s, ok := look("", b); ok {
			sent[s.sport] = true
		}
	}
	for i, out := range o.Out {
		s, ok := look(out.If, out.Data)
		if !ok {
			continue
		}
		if g.nat && s.sport != "" && !sent[s.sport] && !s.err {
			g.vars++
			name := fmt.Sprintf("p%d", g.vars)
			x.bind(name, i, map[uint8]string{6: "tcp.sport", 17: "udp.sport", 1: "icmp.id", 58: "icmp.id"}[s.proto])
			s.sport = "$" + name
		}
		g.out = append(g.out, s)
	}
	return nil
}

func (g *gen) sleep(x *session) error {
	_, err := x.do(scenario.Step{Op: "sleep", MS: int64(pick(g, 700, 1300, 2300))})
	return err
}

func (g *gen) flush(x *session) error {
	if x.s.Events {
		return nil // the kernel destroys in the order of its hash
	}
	_, err := x.do(scenario.Step{Op: "ct_flush"})
	return err
}

func (g *gen) reload(x *session) error {
	st := scenario.Step{Op: "rules", NoFlush: g.chance(30)}
	if g.v4 && (!g.v6 || g.chance(50)) {
		st.V4 = g.rules(false)
	} else {
		st.V6 = g.rules(true)
	}
	_, err := x.do(st)
	return err
}

func (g *gen) host(x *session) error {
	d, e := pick(g, g.devs...), pick(g, g.devs...)
	f := fam(g.family())
	six := [2]string{"", "-6 "}[f]
	len := [2]string{"/24", "/64"}[f]
	net := [2][]string{{"198.51.100.64/26", "203.0.113.0/24", "192.168.1.10", "10.0.0.0/24", "198.51.100.0/24"}, {"2001:db8:9::/64", "2001:db8:8::/64", "fd00:1::10", "fd00:f::/64", "2001:db8::/32"}}[f]
	cmd := pick(g, "ip "+six+"route add unreachable "+pick(g, net...), "ip "+six+"route replace "+pick(g, "prohibit", "blackhole", "throw", "unreachable")+" "+pick(g, net...),
		"ip "+six+"route replace "+pick(g, net...)+" dev "+d.name, "ip "+six+"route replace "+pick(g, net...)+" via "+d.router[f]+" dev "+d.name+pick(g, "", " mtu 1300"),
		"ip addr add 10.99.0.1/24 dev "+d.name, "ip addr del "+d.own[f]+len+" dev "+d.name, "ip addr add "+d.own[f]+len+" dev "+d.name+[2]string{"", " nodad"}[f],
		"ip "+six+"route del default", "ip "+six+"route add default via "+d.router[f]+" dev "+d.name+" metric 7",
		"ip link set "+d.name+" down", "ip link set "+d.name+" up", "ip link set "+d.name+" mtu "+pick(g, "1280", "1400", "1500"),
		"ip "+six+"rule add fwmark "+pick(g, "1", "2/0xff")+" table 100", "ip "+six+"route replace default via "+d.router[f]+" dev "+d.name+" table 100",
		"ip "+six+"rule add from "+d.hosts[f][0]+" "+pick(g, "unreachable", "prohibit", "blackhole", "lookup 100"), "ip "+six+"rule add iif "+d.name+" table 100",
		"ip "+six+"rule add to "+e.hosts[f][0]+" table 100", "ip "+six+"route flush table 100", "ip "+six+"rule add tos 0x10 prohibit",
		"ip "+six+"rule add oif "+d.name+" table 100", "ip "+six+"rule add not from "+d.hosts[f][0]+" table 100")
	if g.avoids(cmd) {
		return nil
	}
	_, err := x.do(scenario.Step{Op: "host", Cmd: cmd})
	if _, refused := err.(*scenario.Refused); refused {
		return nil // a route that is there already: nothing has changed
	}
	return err
}

func (g *gen) sysctl(x *session) error {
	set := g.randomSysctl()
	if g.avoids(set.Name) {
		return nil
	}
	_, err := x.do(scenario.Step{Op: "sysctl", Set: scenario.Sysctls{set}})
	return err
}
