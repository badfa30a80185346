package router

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

// someTraffic makes a packet of some kind between few enough hosts and ports that connections meet, clash and come back.
func someTraffic(rnd *rand.Rand, from string) []byte {
	hosts := map[string][]string{
		"lan":   {"192.168.1.10", "192.168.1.11"},
		"wan":   {"203.0.113.50", "203.0.113.51"},
		"small": {"10.2.0.7", "10.2.0.8"},
	}
	to := []string{"192.168.1.10", "203.0.113.50", "10.2.0.7", "1.2.3.10", "203.0.113.1", "203.0.113.9", "192.168.1.1", "10.66.0.1"}
	src := hosts[from][rnd.IntN(2)]
	dst := to[rnd.IntN(len(to))]
	a, b := 1024+rnd.IntN(8), []int{21, 53, 80, 8080, 4001, 4010, 4011, 4021, 4023, 6000, 6001, 6003}[rnd.IntN(12)]
	if rnd.IntN(2) == 0 {
		a, b = b, a // an answer, perhaps
	}
	var text string
	switch rnd.IntN(7) {
	case 0:
		text = fmt.Sprintf("ip4 %s>%s / tcp %d>%d %s seq=1 ack=1", src, dst, a, b, []string{"S", "SA", "A", "FA", "R"}[rnd.IntN(5)])
	case 1:
		text = fmt.Sprintf("ip4 %s>%s / icmp 3/3 / ip4 %s>%s / udp %d>%d len=8", src, dst, dst, src, b, a)
	case 2:
		text = fmt.Sprintf("ip4 %s>%s / icmp %d/0 id=%d seq=1 len=8", src, dst, rnd.IntN(2)*8, a)
	case 3:
		text = fmt.Sprintf("ip4 %s>%s id=%d / udp %d>%d len=2000 || frag 1000 idx=%d", src, dst, 1+rnd.IntN(3), a, b, rnd.IntN(3))
	case 4:
		text = fmt.Sprintf("ip6 fd00:1::%d>%s / udp %d>%d len=40", 10+rnd.IntN(2), []string{"2001:db8:9::50", "fd00:1::1", "2001:db8::10"}[rnd.IntN(3)], a, b)
	default:
		text = fmt.Sprintf("ip4 %s>%s ttl=%d / udp %d>%d len=30", src, dst, 1+rnd.IntN(64), a, b)
	}
	p, err := packet.Build(text)
	if err != nil {
		panic(text + ": " + err.Error())
	}
	return p
}

// TestEverythingAtOnce runs traffic through several workers while everything that may change is changed and
// everything that can be asked is asked. The race detector is its judge, and that it comes to an end.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	names := []string{"lan", "wan", "small"}
	far := map[string]*link.End{}
	devices := []Device{
		{Name: "lan", Addrs: [][2]string{{"192.168.1.1/24", ""}, {"fd00:1::1/64", ""}}},
		{Name: "wan", Addrs: [][2]string{{"203.0.113.1/24", ""}, {"203.0.113.9/24", ""}, {"2001:db8:9::1/64", ""}}},
		{Name: "small", Addrs: [][2]string{{"10.2.0.1/24", ""}, {"fd00:2::1/64", ""}}},
	}
	for i := range devices {
		near, end := link.Pipe(devices[i].Name, devices[i].Name, link.PipeOptions{})
		devices[i].Link, far[devices[i].Name] = near, end
	}
	start := time.Now()
	r, err := New(Config{
		Seed: 1, Devices: devices, Workers: len(devices),
		Clock:   func() packet.Time { return packet.Time(time.Since(start)) },
		Log:     func(packet.Time, uint8, []byte) {},
		Routes:  []string{"default via 203.0.113.2 dev wan"},
		Sysctls: [][2]string{{"net.netfilter.nf_conntrack_max", "300"}},
		RulesV4: Rules{"fuzz.rules.v4", fuzzRulesV4}, RulesV6: Rules{"fuzz.rules.v6", fuzzRulesV6}, Sets: Rules{"sets", fuzzSets},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Listen("udp", "192.168.1.1", 53); err != nil {
		t.Fatal(err)
	}
	cancelEvents := r.Conntrack().Subscribe(func(conntrack.Event) {})

	ctx, stop := context.WithCancel(context.Background())
	var traffic, control sync.WaitGroup
	traffic.Go(func() {
		if err := r.Serve(ctx); err != nil {
			t.Error(err)
		}
	})
	for i, name := range names {
		traffic.Go(func() { far[name].Serve(0, func([]*packet.Packet) {}) })
		traffic.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(i)))
			p := packet.New()
			for ctx.Err() == nil {
				p.Load(someTraffic(rnd, name))
				far[name].Send(0, []*packet.Packet{p})
			}
		})
	}
	must := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	rounds := 40
	if testing.Short() {
		rounds = 10
	}
	for _, do := range []func(i int){
		func(i int) {
			must(r.Restore(Rules{"a", []string{fuzzRulesV4, benchRules}[i%2]}, Rules{"b", fuzzRulesV6}, i%3 == 0))
		},
		func(i int) {
			must(r.Sysctl("net.netfilter.nf_conntrack_udp_timeout", fmt.Sprint(1+i%3)))
			must(r.Sysctl("net.ipv4.ipfrag_time", fmt.Sprint(1+i%3)))
			must(r.Sysctl("net.netfilter.nf_conntrack_max", fmt.Sprint(100+i)))
			must(r.Sysctl("net.netfilter.nf_conntrack_acct", fmt.Sprint(i%2)))
			must(r.Sysctl("net.ipv4.conf.all.rp_filter", fmt.Sprint(i%3)))
		},
		func(i int) {
			must(r.IP("ip route add 10.99.0.0/16 via 203.0.113.3 dev wan"))
			must(r.IP("ip addr add 192.168.1.99/24 dev lan"))
			must(r.IP(fmt.Sprintf("ip link set small mtu %d", 1280+i)))
			must(r.IP("ip link set small down"))
			must(r.IP("ip link set small up"))
			must(r.IP("ip addr del 192.168.1.99/24 dev lan"))
			must(r.IP("ip route del 10.99.0.0/16"))
		},
		func(i int) {
			_, err := r.EditRules(policy.V4, []string{"-A", "FORWARD", "-p", "udp", "--dport", fmt.Sprint(1000 + i), "-j", "ACCEPT"})
			must(err)
			_, err = r.EditRules(policy.V4, []string{"-L", "-v", "-n"})
			must(err)
			_, err = r.EditRules(policy.V4, []string{"-t", "nat", "-Z"})
			must(err)
		},
		func(i int) {
			r.ConntrackLines()
			r.ExpectLines()
			r.Conntrack().Range(func(c *conntrack.Conn) bool { _ = c.Snapshot(r.Time()); return true })
			r.Conntrack().Stats()
			if i%10 == 9 {
				r.FlushConntrack()
			}
		},
		func(int) {
			r.Links()
			r.Counters()
			for why := range packet.NumReasons {
				r.Drops(why)
			}
			r.FragmentQueues()
			_, err := r.SaveRules(policy.V4, "", true)
			must(err)
			_, err = r.Show("route get 198.51.100.1")
			must(err)
		},
		func(i int) {
			all, done := r.Conntrack().Sorted()
			defer done()
			for j, c := range all {
				if j%4 == i%4 {
					r.Conntrack().Kill(r.Time(), c)
				}
			}
		},
		func(i int) { r.Conntrack().Subscribe(func(conntrack.Event) {})() },
	} {
		control.Go(func() {
			for i := range rounds {
				do(i)
			}
		})
	}
	control.Wait()
	cancelEvents()
	stop()
	for _, e := range far {
		e.Close()
	}
	traffic.Wait()
	moved := uint64(0)
	for _, l := range r.Links() {
		moved += l.Tx.Packets
	}
	if moved == 0 {
		t.Error("no packet left while all this happened")
	}
}
