package difftest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moat-router/moat/integration/scenario"
)

// ipset is a set that a scenario begins with.
type ipset struct {
	name, kind string
	v6         bool // of a set that holds addresses
	both       bool // rules of both families may name it
	full       bool // it has room for few elements
	options    string
}

// parts is how many directions a rule about the set gives.
func (s *ipset) parts() int {
	if s.kind == "list:set" {
		return 2
	}
	_, of, _ := strings.Cut(s.kind, ":")
	return 1 + strings.Count(of, ",")
}

// someSets draws sets and what is in them, as lines of setup.
func (g *gen) someSets() (lines []string) {
	kinds := []string{"hash:ip", "hash:ip", "hash:net", "hash:net", "hash:ip,port", "hash:net,port", "hash:net,iface", "hash:ip,port,ip", "hash:ip,port,net",
		"bitmap:ip", "bitmap:port", "list:set"}
	for i := range 1 + g.r.IntN(4) {
		s := &ipset{name: fmt.Sprintf("s%d", i), kind: pick(g, kinds...), v6: g.family()}
		s.both = s.kind == "bitmap:port" || s.kind == "list:set"
		if s.kind == "bitmap:ip" {
			s.v6 = false
		}
		words := []string{"ipset create", s.name, s.kind}
		switch {
		case s.kind == "bitmap:ip":
			words = append(words, "range", pick(g, "192.168.0.0/16", "192.168.1.0-192.168.1.100"))
		case s.kind == "bitmap:port":
			words = append(words, "range", pick(g, "0-1023", "53-8080", "0-65535"))
		case s.kind != "list:set":
			words = append(words, "family", map[bool]string{false: "inet", true: "inet6"}[s.v6])
			if g.chance(10) {
				words = append(words, "maxelem", pick(g, "1", "2", "4"))
				s.full = true
			}
		}
		if (s.kind == "hash:ip" || s.kind == "bitmap:ip" && strings.HasSuffix(words[len(words)-1], "/16")) && g.chance(15) {
			words = append(words, "netmask", map[bool]string{false: pick(g, "24", "30"), true: pick(g, "64", "120")}[s.v6])
		}
		if g.chance(40) {
			s.options += " counters"
		}
		if g.chance(15) {
			s.options += " comment"
		}
		if g.chance(25) {
			s.options += " skbinfo"
		}
		if g.timed && !s.full && g.chance(60) {
			s.options += " timeout " + pick(g, "0", "1", "3", "600")
		} else if g.chance(10) {
			s.options += " timeout " + pick(g, "0", "600")
		}
		lines = append(lines, strings.Join(words, " ")+s.options)
		g.sets = append(g.sets, s)
		elements := g.r.IntN(6)
		if s.full {
			elements = 0 // packets are to fill it
		}
		for range elements {
			if e := g.element(s); e != "" {
				lines = append(lines, "ipset add -exist "+s.name+" "+e+g.extensions(s))
			}
		}
	}
	return lines
}

// element draws an element of a set; "" where it has none to draw.
func (g *gen) element(s *ipset) string {
	if s.kind == "list:set" {
		for _, m := range g.sets {
			if m.kind != "list:set" && g.chance(50) {
				return m.name
			}
		}
		return ""
	}
	if s.kind == "bitmap:port" {
		return pick(g, "53", "80", "443", "600", "100", "53-100", "600-1000")
	}
	host := func() string {
		d := pick(g, g.devs...)
		if s.kind == "bitmap:ip" {
			d = g.devs[0] // what its range has
		}
		return pick(g, append([]string{d.own[fam(s.v6)]}, d.hosts[fam(s.v6)]...)...)
	}
	_, of, _ := strings.Cut(s.kind, ":")
	var parts []string
	for _, part := range strings.Split(of, ",") {
		switch part {
		case "ip":
			a := host()
			if g.chance(10) && !s.v6 && len(parts) == 0 {
				a += pick(g, "/30", "/29")
			}
			parts = append(parts, a)
		case "net":
			parts = append(parts, host()+map[bool]string{false: pick(g, "", "/24", "/16", "/30", "/31"), true: pick(g, "", "/64", "/48", "/127", "/16")}[s.v6])
		case "port":
			p := pick(g, ports...)
			parts = append(parts, pick(g, fmt.Sprintf("udp:%d", p), fmt.Sprintf("tcp:%d", p), fmt.Sprintf("udp:%d-%d", p, p+20), fmt.Sprint(p),
				map[bool]string{false: "icmp:8/0", true: "icmpv6:128/0"}[s.v6], map[bool]string{false: "icmp:echo-reply", true: "icmpv6:echo-reply"}[s.v6], "gre:0", "sctp:53", "udplite:1000"))
		case "iface":
			parts = append(parts, pick(g, g.devs...).name)
		}
	}
	return strings.Join(parts, ",")
}

// extensions is what may stand behind an element.
func (g *gen) extensions(s *ipset) (text string) {
	if strings.Contains(s.kind, "net") && g.chance(20) {
		text += " nomatch"
	}
	if strings.Contains(s.options, "counters") && g.chance(30) {
		text += pick(g, " packets 5 bytes 100", " packets 0 bytes 0")
	}
	if strings.Contains(s.options, "timeout") && g.chance(40) {
		text += " timeout " + g.lifetime(s)
	}
	if strings.Contains(s.options, "comment") && g.chance(40) {
		text += ` comment "some words"`
	}
	if strings.Contains(s.options, "skbinfo") && g.chance(70) {
		text += pick(g, " skbmark 0x1", " skbmark 0x2/0xff", " skbmark 0x0/0xf", " skbprio 1:2", " skbmark 0x5/0xf skbprio 1:10 skbqueue 3")
	}
	return text
}

// lifetime is how many seconds an element lives: few only where steps sleep.
func (g *gen) lifetime(s *ipset) string {
	if g.timed && !s.full {
		return pick(g, "0", "1", "2", "500")
	}
	return pick(g, "0", "500", "700")
}

// setsFor are the sets that a rule of this family may name.
func (g *gen) setsFor(v6 bool) []*ipset {
	return slices.DeleteFunc(slices.Clone(g.sets), func(s *ipset) bool { return !s.both && s.v6 != v6 })
}

// directions are what a rule says behind a set's name.
func (g *gen) directions(s *ipset) string {
	n := s.parts()
	if g.chance(6) {
		n = 1 + g.r.IntN(3)
	}
	var d []string
	for range n {
		d = append(d, pick(g, "src", "dst"))
	}
	return strings.Join(d, ",")
}

// setMatch draws a match about one of the sets.
func (g *gen) setMatch(sets []*ipset) string {
	s := pick(g, sets...)
	m := "-m set " + g.not("--match-set "+s.name+" "+g.directions(s))
	if g.chance(15) {
		m += " --return-nomatch"
	}
	if g.chance(12) {
		m += " ! --update-counters"
	}
	if s.kind == "list:set" && g.chance(30) {
		m += " ! --update-subcounters"
	}
	if strings.Contains(s.options, "counters") && g.chance(35) {
		m += pick(g, " --packets-gt 1", " --packets-lt 3", " --packets-eq 1", " ! --packets-eq 6", " --bytes-gt 150", " --bytes-lt 300", " ! --bytes-eq 48", " --packets-gt 0 --bytes-lt 1000")
	}
	return m
}

// setTarget draws a target that changes one of the sets, or takes a mark from it.
func (g *gen) setTarget(c *chain, sets []*ipset) string {
	s := pick(g, sets...)
	name := s.name + " " + g.directions(s)
	switch n := g.r.IntN(10); {
	case n < 6:
		t := "-j SET --add-set " + name + pick(g, "", " --exist")
		if strings.Contains(s.options, "timeout") && g.chance(40) {
			t += " --timeout " + g.lifetime(s)
		}
		if g.chance(15) {
			o := pick(g, sets...)
			t += " --del-set " + o.name + " " + g.directions(o)
		}
		return t
	case n < 8 || c.table != "mangle":
		return "-j SET --del-set " + name
	}
	if !strings.Contains("FORWARD OUTPUT POSTROUTING", c.name) {
		return "-j SET --map-set " + name + " --map-mark"
	}
	return "-j SET --map-set " + name + pick(g, " --map-mark", " --map-mark --map-prio", " --map-prio", " --map-mark --map-queue")
}

// changeSet changes a set while packets go by.
func (g *gen) changeSet(x *session) error {
	s := pick(g, g.sets...)
	cmd := ""
	switch e := g.element(s); {
	case e == "" || g.chance(10):
		cmd = "ipset flush " + s.name
	case g.chance(8):
		cmd = "ipset swap " + s.name + " " + pick(g, g.sets...).name
	case g.chance(35):
		cmd = "ipset del " + pick(g, "", "-exist ") + s.name + " " + e
	default:
		cmd = "ipset add " + pick(g, "", "-exist ") + s.name + " " + e + g.extensions(s)
	}
	if g.avoids(cmd) {
		return nil
	}
	_, err := x.do(scenario.Step{Op: "host", Cmd: cmd})
	if _, refused := err.(*scenario.Refused); refused {
		return nil
	}
	return err
}
