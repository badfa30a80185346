package conntrack_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// world is a table and a clock.
type world struct {
	t   *conntrack.Table
	now packet.Time
	rng *rand.Rand
	tb  testing.TB
}

func newWorld(tb testing.TB, change func(*conntrack.Params)) *world {
	p := conntrack.DefaultParams()
	if change != nil {
		change(p)
	}
	return &world{t: conntrack.New(conntrack.Options{Params: p, Seed: 3, Shards: 4}), rng: rand.New(rand.NewPCG(1, 1)), tb: tb}
}

// parsed is a packet from notation.
func parsed(tb testing.TB, text string) *packet.Packet {
	tb.Helper()
	b, err := packet.Build(text)
	if err != nil {
		tb.Fatal(err)
	}
	p := packet.New()
	p.Load(b)
	if why := p.Parse(); why != packet.ReasonNone {
		tb.Fatalf("%s: %v", text, why)
	}
	return p
}

// in lets a packet arrive and gives what it carries then; the caller releases it.
func (w *world) in(text string, tmpl *conntrack.Template) (*packet.Packet, conntrack.Ref) {
	w.tb.Helper()
	p := parsed(w.tb, text)
	ref := conntrack.Ref{Template: tmpl}
	if why := w.t.In(w.now, p, &ref, conntrack.HookInfo{}, w.rng); why != packet.ReasonNone {
		w.tb.Fatalf("%s: %v", text, why)
	}
	return p, ref
}

// pass lets a packet through to the end and gives its state.
func (w *world) pass(text string) conntrack.State {
	w.tb.Helper()
	p, ref := w.in(text, nil)
	s := ref.State()
	if why := w.t.Confirm(w.now, p, &ref, w.rng); why != packet.ReasonNone {
		w.tb.Fatalf("%s: %v", text, why)
	}
	w.t.Release(&ref)
	return s
}

const (
	ask    = "ip4 192.168.1.10>198.51.100.9 / udp 5000>53 len=8"
	answer = "ip4 198.51.100.9>192.168.1.10 / udp 53>5000 len=8"
	syn    = "ip4 192.168.1.10>198.51.100.9 / tcp 5000>80 S seq=100"
)

func TestRejectedPacketLeavesNoEntry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	_, ref := w.in(ask, nil)
	if w.t.Count() != 1 {
		t.Errorf("on its walk the packet's connection counts: %d, want 1", w.t.Count())
	}
	w.t.Release(&ref)
	if n := w.t.Count(); n != 0 || len(w.t.ProcLines(0)) != 0 {
		t.Errorf("%d connections are left", n)
	}
}

// An error that the router makes about the first packet of a flow has that packet's entry, which no look-up would find.
func TestErrorAboutFirstPacketIsRelated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	_, ref := w.in(ask, nil)
	about := ref.ForError()
	if about.Conn != ref.Conn || about.Info != conntrack.RelatedReply {
		t.Errorf("the error is %v of %p, want RELATED in the reply direction of %p", about.Info, about.Conn, ref.Conn)
	}
	w.t.Release(&ref)
	p := parsed(t, "ip4 10.0.0.2>192.168.1.10 / icmp 3/3 / "+ask)
	if why := w.t.Confirm(0, p, &about, w.rng); why != packet.ReasonNone {
		t.Error(why)
	}
	if len(w.t.ProcLines(0)) != 0 {
		t.Error("the error has confirmed the connection")
	}
	w.t.Release(&about)
	if w.t.Count() != 0 {
		t.Errorf("%d connections are left", w.t.Count())
	}
}

func TestClashOfTheSameFlowIsResolvedForUDPAlone(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]packet.Reason{ask: packet.ReasonNone, syn: packet.ReasonConfirmClash} {
		w := newWorld(t, func(p *conntrack.Params) { p.Acct = true })
		p1, ref1 := w.in(text, nil)
		p2, ref2 := w.in(text, nil)
		if ref1.Conn == ref2.Conn {
			t.Fatal("two packets on their walk share an entry that is not confirmed")
		}
		if why := w.t.Confirm(0, p1, &ref1, w.rng); why != packet.ReasonNone {
			t.Fatal(why)
		}
		if why := w.t.Confirm(0, p2, &ref2, w.rng); why != want {
			t.Errorf("%s: the second is %v, want %v", text, why, want)
		}
		if want == packet.ReasonNone {
			if ref2.Conn != ref1.Conn {
				t.Error("the second packet was not taken over by the first one's connection")
			}
			if n, _ := ref1.Conn.Counters(conntrack.Original); n != 2 {
				t.Errorf("%d packets are counted, want both", n)
			}
		}
		w.t.Release(&ref1)
		w.t.Release(&ref2)
		if w.t.Count() != 1 {
			t.Errorf("%s: %d connections, want 1", text, w.t.Count())
		}
	}
}

// A full table ends what is not assured before it refuses; assured connections stay.
func TestFullTableDropsUnassuredFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(p *conntrack.Params) { p.Max = 40 })
	for i := range 20 {
		a, b := udp(i, true), udp(i, false)
		w.pass(a)
		w.pass(b)
		w.now = w.now.Add(3 * time.Second)
		w.pass(a)
		w.now = w.now.Add(-3 * time.Second)
	}
	refused := 0
	for i := 20; i < 400; i++ {
		p := parsed(t, udp(i, true))
		var ref conntrack.Ref
		switch why := w.t.In(w.now, p, &ref, conntrack.HookInfo{}, w.rng); why {
		case packet.ReasonNone:
			w.t.Confirm(w.now, p, &ref, w.rng)
		case packet.ReasonConntrackFull:
			refused++
		default:
			t.Fatal(why)
		}
		w.t.Release(&ref)
		if w.t.Count() > 40 {
			t.Fatalf("%d connections, more than nf_conntrack_max", w.t.Count())
		}
	}
	assured := 0
	w.t.Range(func(c *conntrack.Conn) bool {
		if c.Status()&conntrack.StatusAssured != 0 {
			assured++
		}
		return true
	})
	if s := w.t.Stats(); assured != 20 || s.EarlyDrop == 0 {
		t.Errorf("%d assured connections are left of 20, %d were dropped early, %d refused", assured, s.EarlyDrop, refused)
	}
}

func udp(i int, forth bool) string {
	a, b := "192.168.1.10", "198.51.100."+string(rune('0'+i%10))
	sp, dp := itoa(1024+i), "53"
	if forth {
		return "ip4 " + a + ">" + b + " / udp " + sp + ">" + dp + " len=8"
	}
	return "ip4 " + b + ">" + a + " / udp " + dp + ">" + sp + " len=8"
}

func itoa(n int) string {
	var b []byte
	for ; n > 0; n /= 10 {
		b = append(b, byte('0'+n%10))
	}
	slices.Reverse(b)
	return string(b)
}

// One flow in two zones is two connections; a zone for one direction alone is found from the other without it.
func TestZonesSeparateConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	both, orig := &conntrack.Template{Zone: 5}, &conntrack.Template{Zone: 7, ZoneDir: conntrack.ZoneOrig}
	confirm := func(text string, m *conntrack.Template) conntrack.Info {
		p, ref := w.in(text, m)
		defer w.t.Release(&ref)
		info := ref.Info
		if why := w.t.Confirm(0, p, &ref, w.rng); why != packet.ReasonNone {
			t.Fatal(why)
		}
		return info
	}
	for i, step := range []struct {
		text string
		m    *conntrack.Template
		want conntrack.Info
	}{
		{ask, both, conntrack.NewConn},
		{answer, nil, conntrack.NewConn}, // zone 0 does not know of it
		{answer, both, conntrack.EstablishedReply},
		{"ip4 192.168.1.10>198.51.100.9 / udp 5001>53 len=8", orig, conntrack.NewConn},
		{"ip4 198.51.100.9>192.168.1.10 / udp 53>5001 len=8", nil, conntrack.EstablishedReply},
	} {
		if got := confirm(step.text, step.m); got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
	lines := w.t.ProcLines(0)
	for i, want := range []string{"zone=5 ", "zone=0 ", "zone-orig=7 "} {
		if !slices.ContainsFunc(lines, func(l string) bool { return contains(l, want) }) {
			t.Errorf("%d: no line with %q in %q", i, want, lines)
		}
	}
}

func contains(s, sub string) bool {
	for i := range len(s) - len(sub) + 1 {
		if s[i:i+len(sub)] == sub {
			return true
		}
	}
	return false
}

func TestMarkAndLabelAreToldOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var causes []conntrack.Cause
	cancel := w.t.Subscribe(func(e conntrack.Event) { causes = append(causes, e.Cause) })
	w.pass(ask)
	p, ref := w.in(ask, nil)
	if !ref.Conn.SetMark(7) || ref.Conn.SetMark(7) || !ref.Conn.SetLabel(100) || ref.Conn.SetLabel(100) {
		t.Error("a change is told where there is none, or is not told")
	}
	if l := ref.Conn.Labels(); l[12] != 1<<4 {
		t.Errorf("labels are %x, want bit 100 alone", l)
	}
	w.t.Confirm(0, p, &ref, w.rng)
	w.t.Release(&ref)
	w.pass(ask)
	cancel()
	w.pass(answer)
	if want := []conntrack.Cause{conntrack.CauseNew, conntrack.CauseMark | conntrack.CauseLabel}; !slices.Equal(causes, want) {
		t.Errorf("causes %b, want %b", causes, want)
	}
}

func TestExpectedConnectionIsRelatedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ftp := &conntrack.Helper{Name: "ftp", Proto: packet.ProtoTCP, Classes: []conntrack.ExpectClass{{Max: 1, Timeout: 300 * time.Second}}}
	w.t.SetHelpers([]*conntrack.Helper{ftp})
	var events []string
	w.t.Subscribe(func(e conntrack.Event) { events = append(events, e.Type.String()) })
	p, ref := w.in("ip4 192.168.1.10>198.51.100.9 / tcp 5000>21 S seq=1", &conntrack.Template{Helper: "ftp"})
	defer w.t.Release(&ref)
	w.t.Confirm(0, p, &ref, w.rng)
	ref.Conn.SetMark(9)
	back := ref.Conn.Tuple(conntrack.Reply)
	expect := func(port uint16) {
		e := &conntrack.Expect{Tuple: *back, Helper: nil}
		e.Tuple.SrcPort, e.Tuple.DstPort = 0, port
		for i := range e.Mask.Src {
			e.Mask.Src[i] = 0xff
		}
		if err := w.t.ExpectRelated(0, ref.Conn, e); err != nil {
			t.Fatal(err)
		}
	}
	expect(6000)
	expect(6001) // one too many: the older one goes
	want := "300 l3proto = 2 proto=6 src=198.51.100.9 dst=192.168.1.10 sport=0 dport=6001 ftp"
	if got := w.t.ExpectLines(0); !slices.Equal(got, []string{want}) {
		t.Errorf("expectations\n got %q\nwant %q", got, want)
	}
	for i, want := range []conntrack.State{conntrack.StateRelated, conntrack.StateNew} {
		p, r := w.in("ip4 198.51.100.9>192.168.1.10 / tcp "+[]string{"20>6001", "21>6000"}[i]+" S seq=1", nil)
		if r.State() != want {
			t.Errorf("connection %d is %v, want %v", i, r.State(), want)
		}
		if i == 0 && (r.Conn.Master() != ref.Conn || r.Conn.Mark() != 9 || r.Conn.Status()&conntrack.StatusExpected == 0) {
			t.Error("it does not know its master, or has not its mark")
		}
		w.t.Confirm(0, p, &r, w.rng)
		w.t.Release(&r)
	}
	if want := []string{"NEW", "EXP_NEW", "EXP_DESTROY", "EXP_NEW", "EXP_DESTROY", "NEW", "NEW"}; !slices.Equal(events, want) {
		t.Errorf("events\n got %q\nwant %q", events, want)
	}
}

// Workers meet both directions of the same few flows, while others kill, list and expire. Every reference is given back:
// nothing is left in the end, and no slot is used twice (the race detector watches the rest).
func TestWorkersShareTheTable(t *testing.T) {
	t.Parallel()
	tab := conntrack.New(conntrack.Options{Seed: 5, Shards: 4})
	tab.SetParams(func() *conntrack.Params {
		p := conntrack.DefaultParams()
		p.Max = 300
		p.Acct = true
		p.Events = 1
		return p
	}())
	tab.Subscribe(func(conntrack.Event) {})
	var wg sync.WaitGroup
	for n := range 6 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(n), 9))
			var packets []*packet.Packet
			for i := range 40 {
				packets = append(packets, parsed(t, udp(i, true)), parsed(t, udp(i, false)), parsed(t, syn),
					parsed(t, "ip4 198.51.100.9>192.168.1.10 / tcp 80>5000 SA seq=1 ack=101"), parsed(t, "ip4 192.168.1.10>198.51.100.9 / tcp 5000>80 R seq=101"))
			}
			for i := range 4000 {
				now := packet.Time(i) * packet.Time(50*time.Millisecond)
				p := packets[rng.IntN(len(packets))]
				var ref conntrack.Ref
				tab.In(now, p, &ref, conntrack.HookInfo{}, rng)
				if ref.Conn != nil {
					if rng.IntN(4) == 0 {
						tab.IndexSource(ref.Conn)
					}
					other := ref.ForError()
					if rng.IntN(10) > 0 {
						tab.Confirm(now, p, &ref, rng)
					}
					tab.Release(&other)
				}
				switch rng.IntN(200) {
				case 0:
					if ref.Conn != nil {
						tab.Kill(now, ref.Conn)
					}
				case 1:
					tab.ProcLines(now)
				case 2:
					tab.Advance(now)
				}
				tab.Release(&ref)
			}
		})
	}
	wg.Wait()
	tab.Flush(0)
	if n := tab.Count(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

// Established traffic allocates nothing, with accounting and without.
func TestEstablishedTrafficDoesNotAllocate(t *testing.T) {
	for _, acct := range []bool{false, true} {
		w := newWorld(t, func(p *conntrack.Params) { p.Acct = acct })
		w.pass(syn)
		w.pass("ip4 198.51.100.9>192.168.1.10 / tcp 80>5000 SA seq=900 ack=101")
		p := parsed(t, "ip4 192.168.1.10>198.51.100.9 / tcp 5000>80 A seq=101 ack=901 ts=1:1")
		if n := testing.AllocsPerRun(100, func() {
			var ref conntrack.Ref
			w.t.In(w.now, p, &ref, conntrack.HookInfo{}, w.rng)
			w.t.Confirm(w.now, p, &ref, w.rng)
			w.t.Release(&ref)
		}); n != 0 {
			t.Errorf("accounting %v: %v allocations for a segment", acct, n)
		}
	}
}
