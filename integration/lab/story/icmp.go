package story

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/moat-router/moat/integration/lab"
	"github.com/moat-router/moat/integration/lab/topology"
	"github.com/moat-router/moat/integration/lab/wire"
	"github.com/moat-router/moat/stack/packet"
)

// patience is how long a story waits for a packet, in the time of the lab.
const (
	patience = 2 * time.Second
	silence  = 200 * time.Millisecond // where none is expected
)

// snatRule is what people try against the firewall's address in the outer source of ICMP errors.
const snatRule = "-A POSTROUTING -s 192.168.42.1/32 -p icmp -j SNAT --to-source 1.2.3.1\n"

func rejecting(snat string) string {
	return `*nat
-A PREROUTING -d 1.2.3.10/32 -j DNAT --to-destination 192.168.1.10
-A POSTROUTING -s 192.168.1.10/32 -o wan -j SNAT --to-source 1.2.3.10
` + snat + `COMMIT
*filter
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i wan -j REJECT --reject-with icmp-port-unreachable
COMMIT
`
}

var icmpLeak = Story{
	Name:     "icmp-leak",
	Question: "The firewall rejects what comes from outside. Which addresses does its ICMP error tell?",
	play: func(p *player) error {
		variants := []struct {
			suffix, heading, rules, translation string
		}{
			{"", "FORWARD -i wan -j REJECT", rejecting(""), "on"},
			{"+snat", "the same, and POSTROUTING -p icmp -s 192.168.42.1 -j SNAT --to 1.2.3.1", rejecting(snatRule), "on"},
			{" untranslated", "the first rules again, by a NAT that does not translate RELATED errors (icmp_translation: off)", rejecting(""), "off"},
		}
		found := map[string]*Case{}
		for _, v := range variants {
			t := topology.DMZ().WithRules("fw", v.rules, "")
			t.Router("fw").ICMPTranslation = v.translation
			l, err := lab.Open(t, p.options(cmp.Or(strings.TrimSpace(v.suffix), "plain")))
			if err != nil {
				return err
			}
			for _, target := range []struct{ host, addr string }{{"X", topology.XPublic}, {"Y", topology.YPrivate}} {
				c, err := reject(l, target.host+v.suffix, target.addr)
				if err != nil {
					l.Close()
					return err
				}
				c.heading = v.heading
				found[c.Name] = c
			}
			if err := l.Close(); err != nil {
				return err
			}
		}
		order := []string{"X", "X+snat", "Y", "Y+snat", "X untranslated", "Y untranslated"}
		for _, name := range order {
			p.result.Cases = append(p.result.Cases, *found[name])
		}
		return nil
	},
}

// reject sends a datagram to a closed door from a socket of the outside host and reads the error off the wire.
func reject(l *lab.Lab, name, to string) (c *Case, err error) {
	outside := l.Host("outside")
	from := netip.AddrPortFrom(netip.MustParseAddr(topology.OutsideAddr), 4000)
	seen := newRecord(l)
	defer seen.stop()
	conn, err := outside.DialFrom(context.Background(), "udp", from, to+":99")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("anybody?")); err != nil {
		return nil, err
	}
	l.Wait(func() bool { return len(seen.received("outside")) > 0 }, patience)
	if err := l.Err(); err != nil {
		return nil, err
	}
	c = &Case{Name: name}
	c.fill(seen.sent("outside"), seen.received("outside"))
	if c.OuterSource == "" {
		return nil, fmt.Errorf("case %s: no ICMP error reached the outside host; the network carried:\n%s", name, l.Timeline())
	}
	c.remark = saw(l, seen)
	if n, ok := counted(l, "v4", "nat", "-s "+topology.FirewallAddr); ok {
		c.remark += fmt.Sprintf("; the SNAT rule counted %d packets: an error is RELATED, and nat rules see only NEW ones", n)
	}
	return c, nil
}

// fill writes down what was sent and received, and decides whether something leaked.
func (c *Case) fill(sent, received []wire.Sighting) {
	c.Sent, c.Received = texts(sent), texts(received)
	var used []netip.Addr
	p := packet.New()
	for _, s := range sent {
		if p.Load(s.Data); p.Parse() == packet.ReasonNone {
			used = append(used, p.Src().IP(), p.Dst().IP())
		}
	}
	for _, s := range received {
		p.Load(s.Data)
		if p.Parse() != packet.ReasonNone || !p.IsICMPError() {
			continue
		}
		told := []netip.Addr{p.Src().IP()}
		if c.OuterSource == "" {
			c.OuterSource = p.Src().IP().String()
		}
		if q, ok := p.Quote(); ok {
			told = append(told, q.Src().IP(), q.Dst().IP())
			if c.QuotedDestination == "" {
				c.QuotedDestination = q.Dst().IP().String()
			}
		}
		for _, a := range told {
			c.Leak = c.Leak || !slices.Contains(used, a)
		}
	}
}
