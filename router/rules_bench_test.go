package router

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

// rulesThatMiss are kinds of rules that a UDP packet from 192.168.1.20 to port 53 does not match; %d is the number of the
// rule.
var rulesThatMiss = []struct{ name, rule string }{
	{"port", "-A FORWARD -p udp -m udp --dport %d -j DROP"},
	{"address", "-A FORWARD -s 10.%d.%d.0/24 -j DROP"},
	{"interface", "-A FORWARD -i eth%d -j DROP"},
	{"multiport", "-A FORWARD -p udp -m multiport --dports 1000,2000,3000:3100,%d -j DROP"},
	{"ctstate", "-A FORWARD -m conntrack --ctstate INVALID -m comment --comment %d -j DROP"},
}

func rulesOf(kind string, n int) string {
	var b strings.Builder
	b.WriteString("*filter\n:FORWARD ACCEPT [0:0]\n")
	for i := range n {
		switch strings.Count(kind, "%d") {
		case 2:
			fmt.Fprintf(&b, kind, i>>8, i&255)
		default:
			fmt.Fprintf(&b, kind, 1024+i)
		}
		b.WriteByte('\n')
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// BenchmarkRulesThatMiss is what 10,000 rules cost that do not match; ns/rule is the cost of one.
func BenchmarkRulesThatMiss(b *testing.B) {
	const n = 10_000
	for _, kind := range rulesThatMiss {
		b.Run(kind.name, func(b *testing.B) {
			k := newWalkerWith(b, func(c *Config) { c.RulesV4 = Rules{Name: kind.name, Text: rulesOf(kind.rule, n)} })
			p := build(b, "ip4 192.168.1.20>198.51.100.9 / udp 5000>53 len=32")
			k.must(b, k.lan, p)
			for b.Loop() {
				k.push(k.lan, p)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/rule")
		})
	}
}

// BenchmarkSet is a packet against a set that does not hold its source: the size of the set does not matter.
func BenchmarkSet(b *testing.B) {
	for _, n := range []int{100, 10_000, 60_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var sets strings.Builder
			fmt.Fprintf(&sets, "create bad hash:ip family inet hashsize 65536 maxelem 100000\n")
			for i := range n {
				fmt.Fprintf(&sets, "add bad 10.1.%d.%d\n", i>>8, i&255)
			}
			k := newWalkerWith(b, func(c *Config) {
				c.Sets = Rules{Name: "sets", Text: sets.String()}
				c.RulesV4 = Rules{Name: "v4", Text: "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -m set --match-set bad src -j DROP\nCOMMIT\n"}
			})
			p := build(b, "ip4 192.168.1.20>198.51.100.9 / udp 5000>53 len=32")
			k.must(b, k.lan, p)
			for b.Loop() {
				k.push(k.lan, p)
			}
		})
	}
}

// void is a link that takes everything and counts nothing, so that workers share no memory by it.
type void struct{ hole }

func (*void) Send(_ int, b []*packet.Packet) (int, error) { return len(b), nil }

var _ link.Link = (*void)(nil)

// BenchmarkWorkers is a thousand established flows on each worker, all of them in one table and one set of rules: pps is
// what all workers walk together.
func BenchmarkWorkers(b *testing.B) {
	const flows = 1000
	for _, n := range []int{1, 2, 4} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			k := newWalkerWith(b, func(c *Config) {
				c.Workers = n
				c.Devices[0].Link, c.Devices[1].Link = &void{}, &void{}
			})
			packets := make([][flows][]byte, n)
			for i := range packets {
				w := k.r.workers[i]
				w.enter(k.r.Time())
				for f := range flows {
					there := build(b, fmt.Sprintf("ip4 192.168.1.%d>198.51.100.9 / udp %d>53 len=32", 20+i, 2000+f))
					packets[i][f] = there
					p := packet.New()
					p.Load(there)
					w.arrivals(k.lan, p)
					p.Load(build(b, fmt.Sprintf("ip4 198.51.100.9>203.0.113.1 / udp 53>%d len=32", 2000+f)))
					w.arrivals(k.wan, p)
				}
			}
			b.ResetTimer()
			var wg sync.WaitGroup
			for i := range packets {
				wg.Go(func() {
					w, p := k.r.workers[i], packet.New()
					for j := range b.N {
						p.Load(packets[i][j%flows])
						w.arrivals(k.lan, p)
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mpps")
		})
	}
}
