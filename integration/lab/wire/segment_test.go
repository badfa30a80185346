package wire

import (
	"fmt"
	"math"
	"net/netip"
	"sort"
	"testing"
	"time"

	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

// handClock runs what is due when it is moved.
type handClock struct {
	now packet.Time
	due []timer
}

type timer struct {
	at packet.Time
	f  func()
}

func (c *handClock) Time() packet.Time { return c.now }

func (c *handClock) At(t packet.Time, f func()) {
	c.due = append(c.due, timer{t, f})
	sort.SliceStable(c.due, func(i, j int) bool { return c.due[i].at < c.due[j].at })
}

func (c *handClock) runAll() {
	for len(c.due) > 0 {
		t := c.due[0]
		c.due = c.due[1:]
		c.now = max(c.now, t.at)
		t.f()
	}
}

// bench is a segment with members a to d at 10.0.0.1 to .4; c and d are routers.
type bench struct {
	clock *handClock
	s     *Segment
	ends  map[string]*link.End
	seen  []Sighting
}

func newBench(c Conditions, nextHop map[string]func(src, dst netip.Addr) netip.Addr) *bench {
	o := Options{Seed: 1, Conditions: c}
	b := &bench{clock: &handClock{}, ends: map[string]*link.End{}}
	o.Clock = b.clock
	book := new(Book)
	book.Watch(func(s Sighting) { b.seen = append(b.seen, s) })
	b.s = New("wire", o, book)
	for i, name := range []string{"a", "b", "c", "d"} {
		near, far := link.Pipe(name, name, link.PipeOptions{Slots: 4000})
		b.ends[name] = near
		b.s.Plug(Port{Name: name, Interface: "eth0", Link: far, Router: i > 1, NextHop: nextHop[name],
			Owns: func(a netip.Addr) bool { return a == netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}) }})
	}
	return b
}

func (b *bench) send(from, dst string, id int) {
	p := packet.New()
	p.Load(packet.MustBuild(fmt.Sprintf("ip4 10.0.0.1>%s id=%d / udp 1>2 len=100", dst, id)))
	b.ends[from].Send(0, []*packet.Packet{p})
	b.s.Pump()
}

// delivered are those that arrived, in order.
func (b *bench) delivered() (out []Sighting) {
	for _, s := range b.seen {
		if s.Fate == Delivered {
			out = append(out, s)
		}
	}
	return out
}

func id(s Sighting) int { return int(s.Data[4])<<8 | int(s.Data[5]) }

func TestNeighbourIsOwnerThenRouteThenTheOnlyRouter(t *testing.T) {
	t.Parallel()
	gateways := map[string]string{"1.1.1.1": "10.0.0.3", "9.9.9.9": "10.0.0.4", "8.8.8.8": "10.9.9.9"}
	b := newBench(Conditions{}, map[string]func(src, dst netip.Addr) netip.Addr{
		"a": func(_, dst netip.Addr) netip.Addr {
			gw, _ := netip.ParseAddr(gateways[dst.String()])
			return gw
		},
	})
	for _, tt := range []struct{ from, dst, want string }{
		{"a", "10.0.0.2", "b"},      // its own address
		{"a", "1.1.1.1", "c"},       // as its routes say
		{"a", "9.9.9.9", "d"},       // likewise
		{"a", "8.8.8.8", "nobody"},  // a gateway that is not here does not count
		{"b", "1.1.1.1", "nobody"},  // two routers, and no route says which
		{"c", "1.1.1.1", "d"},       // the only router beside the sender
		{"b", "10.0.0.2", "nobody"}, // not back to the sender
	} {
		b.seen = nil
		b.send(tt.from, tt.dst, 1)
		got := "nobody"
		if b.seen[0].To != nil {
			got = b.seen[0].To.Name
		}
		if got != tt.want || (got == "nobody") != (b.seen[0].Fate == NoNeighbour) {
			t.Errorf("%s to %s: %s (%v), want %s", tt.from, tt.dst, got, b.seen[0].Fate, tt.want)
		}
	}
	b.seen = nil
	b.send("a", "224.0.0.9", 1)
	if len(b.delivered()) != 3 {
		t.Errorf("multicast reached %d members, want 3", len(b.delivered()))
	}
}

func TestImpairmentsHappenAsOftenAsAsked(t *testing.T) {
	t.Parallel()
	const n = 3000
	for _, tt := range []struct {
		name string
		o    Conditions
		want float64 // deliveries for each datagram
	}{
		{"none", Conditions{}, 1},
		{"loss", Conditions{Loss: 0.1}, 0.9},
		{"duplicate", Conditions{Duplicate: 0.2}, 1.2},
		{"all lost", Conditions{Loss: 1}, 0},
	} {
		b := newBench(tt.o, nil)
		for i := range n {
			b.send("a", "10.0.0.2", i)
		}
		got := float64(len(b.delivered())) / n
		if math.Abs(got-tt.want) > 0.025 {
			t.Errorf("%s: %.3f deliveries for each datagram, want %.2f", tt.name, got, tt.want)
		}
	}
}

func TestJitterKeepsOrderAndReorderBreaksIt(t *testing.T) {
	t.Parallel()
	overtaken := func(o Conditions) (n int) {
		o.Delay, o.Jitter = 20*time.Millisecond, 10*time.Millisecond
		b := newBench(o, nil)
		for i := range 500 {
			b.clock.At(packet.Time(i)*packet.Time(time.Millisecond), func() { b.send("a", "10.0.0.2", i) })
		}
		b.clock.runAll()
		last := -1
		for _, s := range b.delivered() {
			if d := s.At.Sub(packet.Time(id(s)) * packet.Time(time.Millisecond)); o.Reorder == 0 && (d < 10*time.Millisecond || d > 40*time.Millisecond) {
				t.Errorf("datagram %d took %v", id(s), d)
			}
			if id(s) < last {
				n++
			}
			last = max(last, id(s))
		}
		return n
	}
	if n := overtaken(Conditions{}); n != 0 {
		t.Errorf("%d were overtaken by jitter alone", n)
	}
	if n := overtaken(Conditions{Reorder: 0.1}); n < 100 {
		t.Errorf("%d were overtaken with 10%% reordering over some twenty in flight", n)
	}
}

func TestRateSpacesDatagramsAndDropsTheTail(t *testing.T) {
	t.Parallel()
	// 128 bytes at 102.4 kbit/s are 10 ms each; a second of them may wait.
	b := newBench(Conditions{Rate: 102400}, nil)
	for i := range 150 {
		b.send("a", "10.0.0.2", i)
	}
	b.clock.runAll()
	got := b.delivered()
	if len(got) != 101 {
		t.Errorf("%d arrived, want 101: one on the wire and a second's worth behind it", len(got))
	}
	for i, s := range got {
		if want := packet.Time(i+1) * packet.Time(10*time.Millisecond); s.At != want {
			t.Fatalf("datagram %d arrived at %v, want %v", i, time.Duration(s.At), time.Duration(want))
		}
	}
	if n := len(b.seen) - len(got); n != 49 || b.seen[0].Fate != QueueFull {
		t.Errorf("%d dropped as %v", n, b.seen[0].Fate)
	}
}

func TestDownCarriesNothing(t *testing.T) {
	t.Parallel()
	second := packet.Time(time.Second)
	b := newBench(Conditions{Down: func(t packet.Time) bool { return t >= second && t < 2*second }}, nil)
	for i := range 3 {
		b.clock.now = packet.Time(i) * second
		b.send("a", "10.0.0.2", i)
	}
	if b.seen[0].Fate != Delivered || b.seen[1].Fate != Down || b.seen[2].Fate != Delivered {
		t.Errorf("fates %v %v %v", b.seen[0].Fate, b.seen[1].Fate, b.seen[2].Fate)
	}
}

func TestBookKeepsTheLatestAndForgetsWatchers(t *testing.T) {
	t.Parallel()
	b := &Book{Keep: 10}
	n := 0
	stop := b.Watch(func(Sighting) { n++ })
	for i := range 95 {
		if i == 50 {
			stop()
		}
		b.Add(Sighting{At: packet.Time(i)})
	}
	got := b.Sightings()
	if len(got) != 10 || got[len(got)-1].At != 94 {
		t.Errorf("%d kept, the last is %v", len(got), got[len(got)-1].At)
	}
	if n != 50 {
		t.Errorf("the watcher saw %d, want 50", n)
	}
	for range 2000 {
		b.Add(Sighting{Data: make([]byte, 60000)})
	}
	if b.bytes > keepBytes || len(b.list) == 0 || b.bytes != 60000*len(b.Sightings()) {
		t.Errorf("large datagrams: %d kept, %d bytes", len(b.Sightings()), b.bytes)
	}
}
