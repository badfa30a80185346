package router

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// tally is a link that counts what it is given by the flow's tuple; any worker may send.
type tally struct {
	hole
	mu  sync.Mutex
	got map[string]int
	bad []string
}

func (l *tally) Queues() int { return 4 }

func (l *tally) Send(_ int, b []*packet.Packet) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range b {
		q := packet.New()
		q.Load(p.Data)
		if q.Parse() != packet.ReasonNone || !q.TransportSumOK() {
			l.bad = append(l.bad, packet.Text(p.Data))
		}
		src, dst, _ := q.Ports()
		l.got[fmt.Sprintf("%d %s:%d>%s:%d", q.Proto, q.Src(), src, q.Dst(), dst)]++
	}
	return len(b), nil
}

func (l *tally) sum() (n int) {
	for _, k := range l.got {
		n += k
	}
	return n
}

// TestFlowsMayCrossWorkers: nothing guarantees that a flow's packets meet one worker. Four workers share all flows, most of them
// from the first packet on, which each worker takes for a new one: every flow has one entry and one translation all the same, no
// packet is lost without a name, and rules and connections count each of them.
func TestFlowsMayCrossWorkers(t *testing.T) {
	t.Parallel()
	const workers, flows, each = 4, 60, 40
	lan, wan := &tally{got: map[string]int{}}, &tally{got: map[string]int{}}
	r, err := New(Config{
		Seed: 1, Workers: workers,
		Devices: []Device{
			{Name: "lan", Addrs: [][2]string{{"192.168.1.1/24", ""}}, Link: lan},
			{Name: "wan", Addrs: [][2]string{{"203.0.113.1/24", ""}}, Link: wan},
		},
		Routes:  []string{"default via 203.0.113.254 dev wan"},
		Sysctls: [][2]string{{"net.netfilter.nf_conntrack_acct", "1"}, {"net.netfilter.nf_conntrack_tcp_be_liberal", "1"}},
		RulesV4: Rules{"rules", "*nat\n-A PREROUTING -d 203.0.113.10/32 -j DNAT --to-destination 192.168.1.10\n-A POSTROUTING -o wan -j MASQUERADE\nCOMMIT\n" +
			"*filter\n-A FORWARD\nCOMMIT\n"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()

	type arrival struct {
		dev *device
		b   []byte
	}
	sent := 0
	// together lets every worker carry its list, all at once.
	together := func(lists [workers][]arrival) {
		var wg sync.WaitGroup
		for i, list := range lists {
			sent += len(list)
			wg.Go(func() {
				w, p := r.workers[i], packet.New()
				w.enter(r.Time())
				for _, a := range list {
					p.Load(a.b)
					w.arrivals(a.dev, p)
				}
			})
		}
		wg.Wait()
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	var lists [workers][]arrival
	in, out := r.byName["lan"], r.byName["wan"]
	there, back := make([]arrival, flows), make([]arrival, flows)
	for f := range flows {
		client := fmt.Sprintf("192.168.1.%d", 20+f%7)
		switch f % 3 {
		case 0:
			there[f] = arrival{in, build(t, fmt.Sprintf("ip4 %s>198.51.100.9 / udp 5000>%d len=32", client, 1000+f))}
		case 1: // one keeps its port, others get ports by chance: of two such choices at once the kernel keeps both (NAT_CLASH)
			there[f] = arrival{in, build(t, fmt.Sprintf("ip4 192.168.1.%d>198.51.100.9 / udp 6000>53 len=32", 20+f))}
		default:
			there[f] = arrival{out, build(t, fmt.Sprintf("ip4 198.51.100.9>203.0.113.10 / udp %d>53 len=32", 7000+f))}
		}
		if f%3 == 1 {
			together([workers][]arrival{{there[f]}})
			continue
		}
		for i := range lists {
			lists[i] = append(lists[i], there[f])
		}
	}
	for _, l := range lists {
		rnd.Shuffle(len(l), func(a, b int) { l[a], l[b] = l[b], l[a] })
	}
	together(lists)
	if n := r.ct.Count(); n != flows {
		t.Fatalf("%d connections for %d flows", n, flows)
	}
	if len(wan.got)+len(lan.got) != flows {
		t.Fatalf("%d flows left as %d: %v %v", flows, len(wan.got)+len(lan.got), wan.got, lan.got)
	}

	// Answers are for what the connections say.
	n := 0
	r.ct.Range(func(c *conntrack.Conn) bool {
		o, a := c.Tuple(conntrack.Original), c.Tuple(conntrack.Reply)
		dev, from := out, in
		if o.Src.String() == "198.51.100.9" {
			dev, from = in, out
		}
		back[n] = arrival{dev, build(t, fmt.Sprintf("ip4 %s>%s / udp %d>%d len=32", a.Src, a.Dst, a.SrcPort, a.DstPort))}
		there[n] = arrival{from, build(t, fmt.Sprintf("ip4 %s>%s / udp %d>%d len=32", o.Src, o.Dst, o.SrcPort, o.DstPort))}
		n++
		return true
	})
	lists = [workers][]arrival{}
	for range each {
		for f := range flows {
			i, j := rnd.IntN(workers), rnd.IntN(workers)
			lists[i] = append(lists[i], there[f])
			lists[j] = append(lists[j], back[f])
		}
	}
	for _, l := range lists {
		rnd.Shuffle(len(l), func(a, b int) { l[a], l[b] = l[b], l[a] })
	}
	together(lists)

	died := 0
	for why := range packet.NumReasons {
		died += int(r.Drops(why))
	}
	if got := lan.sum() + wan.sum(); got+died != sent || got < sent-workers*flows {
		t.Errorf("%d packets came, %d left, %d died for a reason", sent, got, died)
	}
	if len(lan.got)+len(wan.got) != 2*flows || r.ct.Count() != flows {
		t.Errorf("%d flows left as %d there and back, and are %d connections", flows, len(lan.got)+len(wan.got), r.ct.Count())
	}
	for _, text := range append(lan.bad, wan.bad...) {
		t.Errorf("left with a wrong checksum: %s", text)
	}
	counted := uint64(0)
	r.ct.Range(func(c *conntrack.Conn) bool {
		a, _ := c.Counters(conntrack.Original)
		b, _ := c.Counters(conntrack.Reply)
		if b != each || a < each || a > each+workers {
			t.Errorf("%v counts %d packets there and %d back, %d were sent in each direction", c.Tuple(conntrack.Original), a, b, each)
		}
		counted += a + b
		return true
	})
	if int(counted) > sent || int(counted) < lan.sum()+wan.sum() {
		t.Errorf("connections count %d packets, %d came and %d left", counted, sent, lan.sum()+wan.sum())
	}
	rule := r.Counters()["v4"]["filter"][0]
	if want := fmt.Sprintf("[%d:%d] -A FORWARD", sent, 60*sent); rule != want {
		t.Errorf("the rule says %s, want %s", rule, want)
	}
}
