package router

import (
	_ "embed"
	"testing"

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

func newWalker(tb testing.TB) *walker {
	k := &walker{toLan: &hole{}, toWan: &hole{}, in: packet.New()}
	r, err := New(Config{
		Seed: 1,
		Devices: []Device{
			{Name: "lan", Addrs: [][2]string{{"192.168.1.1/24", ""}}, Link: k.toLan},
			{Name: "wan", Addrs: [][2]string{{"203.0.113.1/24", ""}}, Link: k.toWan},
		},
		Routes:  []string{"default via 203.0.113.254 dev wan"},
		RulesV4: Rules{Name: "bench.rules.v4", Text: benchRules},
	})
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
		k := newWalker(b)
		p := build(b, "ip4 192.168.1.20>198.51.100.9 / udp 5000>53 sum=none len=32")
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			k.in.Load(p)
			d := k.in.Data
			// another source port and another destination each time; no UDP checksum, and the header's is kept right
			d[20], d[21] = byte(i>>8), byte(i)
			d[17], d[18] = byte(i>>16), byte(i>>24)
			packet.SetIPv4Checksum(d)
			k.w.arrivals(k.lan, k.in)
		}
	})
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
