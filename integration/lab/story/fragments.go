package story

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/moat-router/moat/integration/lab"
	"github.com/moat-router/moat/integration/lab/topology"
	"github.com/moat-router/moat/integration/lab/wire"
	"github.com/moat-router/moat/stack/packet"
)

// ikeSize is the payload of an IKE_AUTH message with a certificate in it: more than one packet of 1500 bytes.
const ikeSize = 1800

const ikePort = 500

func ikeRules(proto string, tracked bool) string {
	states, state := "", ""
	if tracked {
		states = "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
		state = " -m conntrack --ctstate NEW"
	}
	return "*filter\n" + states +
		"-A FORWARD -p udp -m udp --dport 500" + state + " -j ACCEPT\n" +
		"-A FORWARD -j REJECT --reject-with " + proto + "-port-unreachable\nCOMMIT\n"
}

var fragments = Story{
	Name:     "fragments",
	Question: "A VPN server is behind the firewall. Port 500 is open; why does IKE with certificates fail?",
	play: func(p *player) error {
		variants := []struct {
			name, heading, conntrack string
			tracked                  bool
		}{
			{"stateless", "stateless rules, conntrack: when-used — as Linux: nobody asked for reassembly", "when-used", false},
			{"conntrack rules", "rules with --ctstate, conntrack: when-used", "when-used", true},
			{"stateless, always", "the stateless rules again, conntrack: always (moat's default)", "always", false},
		}
		for _, v := range variants {
			t := topology.DMZ().WithRules("fw", ikeRules("icmp", v.tracked), ikeRules("icmp6", v.tracked))
			t.Router("fw").Conntrack = v.conntrack
			l, err := lab.Open(t, p.options(v.name))
			if err != nil {
				return err
			}
			for _, family := range []struct{ name, to, from string }{
				{"IPv6", topology.XPrivate6, topology.OutsideAddr6}, {"IPv4", topology.XPrivate, topology.OutsideAddr},
			} {
				c, err := ike(l, family.name+" "+v.name, family.from, family.to)
				if err != nil {
					l.Close()
					return err
				}
				c.heading = v.heading
				p.result.Cases = append(p.result.Cases, *c)
			}
			if err := l.Close(); err != nil {
				return err
			}
		}
		return nil
	},
}

// ike sends one large datagram from a socket outside to a socket of X.
func ike(l *lab.Lab, name, from, to string) (*Case, error) {
	outside, x := l.Host("outside"), l.Host("X")
	server, err := x.ListenUDP(netip.AddrPortFrom(netip.MustParseAddr(to), ikePort))
	if err != nil {
		return nil, err
	}
	defer server.Close()
	client, err := outside.DialFrom(context.Background(), "udp", netip.AddrPortFrom(netip.MustParseAddr(from), ikePort), netip.AddrPortFrom(netip.MustParseAddr(to), ikePort).String())
	if err != nil {
		return nil, err
	}
	defer client.Close()
	seen := newRecord(l)
	defer seen.stop()
	atX := func() []wire.Sighting { return seen.received("X") }
	atOutside := func() []wire.Sighting { return seen.received("outside") }
	if _, err := client.Write(make([]byte, ikeSize)); err != nil {
		return nil, err
	}
	// All fragments have arrived, or the second one was answered, or the rule was counted: then nothing more will come.
	settled := func() bool {
		return len(atX()) >= 2 || len(atX()) > 0 && (len(atOutside()) > 0 || rejected(l, to) > 0)
	}
	l.Wait(settled, patience)
	wait := silence
	if len(atX()) >= 2 {
		wait = patience // it is there, and the socket gets it
	}
	server.SetReadDeadline(time.Now().Add(wait))
	n, _, err := server.ReadFrom(make([]byte, 2*ikeSize))
	delivered := err == nil && n == ikeSize
	if err := l.Err(); err != nil {
		return nil, err
	}
	count := rejected(l, to)
	c := &Case{Name: name, Delivered: &delivered, Rejected: &count, Server: texts(atX())}
	c.fill(seen.sent("outside"), atOutside())
	if len(atX()) == 0 {
		return nil, fmt.Errorf("case %s: nothing reached the server; the network carried:\n%s", name, l.Timeline())
	}
	c.remark = verdict(c, atOutside())
	return c, nil
}

// rejected is what the firewall's rule REJECT has counted, in the family of the address.
func rejected(l *lab.Lab, to string) (n uint64) {
	family := "v4"
	if strings.Contains(to, ":") {
		family = "v6"
	}
	n, _ = counted(l, family, "filter", "-j REJECT")
	return n
}

// counted is how many packets the firewall's rule with these words has counted; false if there is no such rule.
func counted(l *lab.Lab, family, table, words string) (n uint64, ok bool) {
	for _, line := range l.Router("fw").Counters()[family][table] {
		if strings.Contains(line, words) {
			var bytes uint64
			fmt.Sscanf(line, "[%d:%d]", &n, &bytes)
			return n, true
		}
	}
	return 0, false
}

func verdict(c *Case, answers []wire.Sighting) string {
	if *c.Delivered {
		return "the whole datagram passed"
	}
	for _, s := range answers {
		p := packet.New()
		p.Load(s.Data)
		if p.Parse() == packet.ReasonNone && p.IsICMPError() {
			return fmt.Sprintf("the second fragment has no port: REJECT counted it and answered %d/%d", p.L4Bytes()[0], p.L4Bytes()[1])
		}
	}
	return fmt.Sprintf("the second fragment has no port: REJECT counted it (%d) and said nothing", *c.Rejected)
}
