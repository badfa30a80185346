package router

import (
	_ "embed"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

//go:embed testdata/bench.rules.v4
var benchRules string

// hole is a link that takes everything and keeps nothing.
type hole struct{ sent int }

func (h *hole) Name() string { return "hole" }
func (h *hole) MTU() int     { return 1500 }
func (h *hole) Queues() int  { return 1 }
func (h *hole) Offloads() link.Offloads {
	return link.Offloads{Csum: true, TSO4: true, TSO6: true, USO: true}
}
func (h *hole) Serve(int, func([]*packet.Packet)) error     { return link.ErrClosed }
func (h *hole) Close() error                                { return nil }
func (h *hole) Send(_ int, b []*packet.Packet) (int, error) { h.sent += len(b); return len(b), nil }

// walker is a router of two interfaces, lan and wan, with the benchmark's rules, and one worker to drive.
type walker struct {
	r        *Router
	w        *worker
	lan, wan *device
	toLan    *hole
	toWan    *hole
	in       *packet.Packet
}

func newWalker(tb testing.TB) *walker { return newWalkerWith(tb, func(*Config) {}) }

func newWalkerWith(tb testing.TB, change func(*Config)) *walker {
	tb.Helper()
	k := &walker{toLan: &hole{}, toWan: &hole{}, in: packet.New()}
	cfg := Config{
		Seed: 1,
		Devices: []Device{
			{Name: "lan", Addrs: [][2]string{{"192.168.1.1/24", ""}}, Link: k.toLan},
			{Name: "wan", Addrs: [][2]string{{"203.0.113.1/24", ""}}, Link: k.toWan},
		},
		Routes:  []string{"default via 203.0.113.254 dev wan"},
		RulesV4: Rules{Name: "bench.rules.v4", Text: benchRules},
	}
	change(&cfg)
	r, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(r.Close)
	k.r, k.w, k.lan, k.wan = r, r.workers[0], r.byName["lan"], r.byName["wan"]
	k.w.enter(r.Time())
	return k
}

func build(tb testing.TB, text string) []byte {
	tb.Helper()
	b, err := packet.Build(text)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// push lets a datagram arrive as a link would: copied into a reused buffer.
func (k *walker) push(in *device, b []byte) {
	k.in.Load(b)
	k.w.arrivals(in, k.in)
}

// must pushes and checks that a packet left by the other side.
func (k *walker) must(tb testing.TB, in *device, b []byte) {
	tb.Helper()
	before := k.toLan.sent + k.toWan.sent
	k.push(in, b)
	if k.toLan.sent+k.toWan.sent == before {
		tb.Fatalf("nothing left for %s", packet.Text(b))
	}
}

// walks are the packets of the data path that every benchmark and the allocation test drive: prepare brings the router
// into the state, packet is what then arrives again and again.
var walks = []struct {
	name    string
	prepare []string // alternately from lan, unless it begins with "wan: "
	in      string
	packet  string
	dies    bool
}{
	{"established",
		[]string{
			"lan: ip4 192.168.1.20>198.51.100.9 df / tcp 5000>80 S seq=100 win=65535 mss=1460",
			"wan: ip4 198.51.100.9>203.0.113.1 df / tcp 80>5000 SA seq=900 ack=101 win=65535 mss=1460",
			"lan: ip4 192.168.1.20>198.51.100.9 df / tcp 5000>80 A seq=101 ack=901 win=65535"},
		"lan", "ip4 192.168.1.20>198.51.100.9 df / tcp 5000>80 A seq=101 ack=901 win=65535", false},
	{"snat",
		[]string{"lan: ip4 192.168.1.20>198.51.100.9 / udp 5000>53 len=32", "wan: ip4 198.51.100.9>203.0.113.1 / udp 53>5000 len=32"},
		"lan", "ip4 192.168.1.20>198.51.100.9 / udp 5000>53 len=32", false},
	{"dnat",
		[]string{"wan: ip4 198.51.100.9>203.0.113.10 / udp 5000>53 len=32", "lan: ip4 192.168.1.10>198.51.100.9 / udp 53>5000 len=32"},
		"wan", "ip4 198.51.100.9>203.0.113.10 / udp 5000>53 len=32", false},
	{"related",
		[]string{"lan: ip4 192.168.1.20>198.51.100.9 / udp 5000>53 len=32"},
		"wan", "ip4 198.51.100.9>203.0.113.1 / icmp 3/3 / ip4 203.0.113.1>198.51.100.9 ttl=60 / udp 5000>53 len=32", false},
	{"drop", nil, "lan", "ip4 192.168.1.20>198.51.100.9 / udp 5000>9 len=32", true},
}

func (k *walker) side(name string) *device { return k.r.byName[name] }

func (k *walker) prepare(tb testing.TB, lines []string) {
	for _, l := range lines {
		k.must(tb, k.side(l[:3]), build(tb, l[5:]))
	}
}

// BenchmarkWalk is the cost of one packet from its arrival to its link, copying it in included.
func BenchmarkWalk(b *testing.B) {
	for _, w := range walks {
		b.Run(w.name, func(b *testing.B) {
			k := newWalker(b)
			k.prepare(b, w.prepare)
			p, in := build(b, w.packet), k.side(w.in)
			if !w.dies {
				k.must(b, in, p)
			}
			b.ReportAllocs()
			for b.Loop() {
				k.push(in, p)
			}
		})
	}
	b.Run("new", func(b *testing.B) {
		benchNewFlow(b, 1_000)
	})
}

// flowMaker makes the first packet of one flow after the other: 250 hosts of the lan ask port 53 of the world.
type flowMaker struct {
	b []byte
	n uint64
}

func newFlowMaker(tb testing.TB) *flowMaker {
	return &flowMaker{b: build(tb, "ip4 192.168.1.20>198.18.0.1 / udp 5000>53 sum=none len=32")}
}

func (m *flowMaker) next() []byte {
	d, i := m.b, m.n
	m.n++
	d[15] = byte(2 + i%250)
	port := 1024 + i/250%60000
	d[20], d[21] = byte(port>>8), byte(port)
	far := uint32(i*0x9e3779b97f4a7c15>>40) & 0x1ffff
	d[17], d[18], d[19] = 18+byte(far>>16), byte(far>>8), byte(far)
	packet.SetIPv4Checksum(d)
	return d
}

// BenchmarkNewFlow is the whole life of a flow of one packet, from the first look-up over rules, NAT and confirm to the
// expiry of another one, in a router that holds so many flows all the time. fill-ns/flow is what a flow cost while the table
// filled up and none ended.
func BenchmarkNewFlow(b *testing.B) {
	for _, n := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchNewFlow(b, n) })
	}
}

// benchNewFlow keeps n flows in the router, and lets a new one come as an old one goes.
func benchNewFlow(b *testing.B, n int) {
	var now packet.Time
	k := newWalkerWith(b, func(c *Config) {
		c.Clock = func() packet.Time { return now }
		c.Sysctls = [][2]string{{"net.netfilter.nf_conntrack_max", "0"}}
	})
	m := newFlowMaker(b)
	step := packet.Time(30*time.Second) / packet.Time(n) // the timeout of UDP
	arrive := func() {
		now += step
		k.w.enter(now)
		k.push(k.lan, m.next())
		if m.n%256 == 0 {
			k.r.ct.Tick(now, 1<<20)
		}
	}
	begin := time.Now()
	for range n {
		arrive()
	}
	fill := time.Since(begin)
	for range n / 4 {
		arrive()
	}
	runtime.GC()
	b.ReportAllocs()
	for b.Loop() {
		arrive()
	}
	b.StopTimer()
	b.ReportMetric(float64(fill.Nanoseconds())/float64(n), "fill-ns/flow")
	b.ReportMetric(float64(k.r.ct.Count()), "flows")
	b.ReportMetric(1e3/float64(b.Elapsed().Nanoseconds())*float64(b.N), "Mflows/s")
}

// TestWalkAllocatesNothing holds for every packet of a flow that is known, and for one that dies: the collector never
// sees the data path.
func TestWalkAllocatesNothing(t *testing.T) {
	for _, w := range walks {
		k := newWalker(t)
		k.prepare(t, w.prepare)
		p, in := build(t, w.packet), k.side(w.in)
		before := k.toLan.sent + k.toWan.sent
		const runs = 200
		if n := testing.AllocsPerRun(runs, func() { k.push(in, p) }); n != 0 {
			t.Errorf("%s: %v allocations per packet", w.name, n)
		}
		sent := k.toLan.sent + k.toWan.sent - before
		if want := map[bool]int{false: runs + 1, true: 0}[w.dies]; sent != want {
			t.Errorf("%s: %d packets left, want %d", w.name, sent, want)
		}
	}
}
