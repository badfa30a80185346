package wire

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

const millisecond = packet.Time(time.Millisecond)

// pair is a segment with members 10.0.0.1 to .3 whose links are as told; what a sends is seen at once.
func pair(own Conditions, links ...[2]Conditions) *bench {
	b := &bench{clock: &handClock{}, ends: map[string]*link.End{}}
	book := new(Book)
	book.Watch(func(s Sighting) { b.seen = append(b.seen, s) })
	b.s = New("wire", Options{Clock: b.clock, Seed: 1, Conditions: own}, book)
	for i, l := range links {
		name := string(rune('a' + i))
		near, far := link.Pipe(name, name, link.PipeOptions{Slots: 4000})
		b.ends[name] = near
		b.s.Plug(Port{Name: name, Interface: "eth0", Link: far, Out: l[0], In: l[1],
			Owns: func(a netip.Addr) bool { return a == netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}) }})
	}
	return b
}

// arrivals sends n datagrams to a member and tells when they arrived.
func (b *bench) arrivals(from, to string, n int) (at []packet.Time) {
	b.seen = nil
	b.clock.now = 0
	for i := range n {
		b.send(from, to, i)
	}
	b.clock.runAll()
	for _, s := range b.delivered() {
		at = append(at, s.At)
	}
	return at
}

func TestEachStretchOfTheWayAddsItsDelay(t *testing.T) {
	t.Parallel()
	delay := func(d time.Duration) Conditions { return Conditions{Delay: d * time.Millisecond} }
	for _, tt := range []struct {
		from, to string
		want     packet.Time
	}{{"a", "10.0.0.2", 141}, {"b", "10.0.0.1", 123}, {"a", "10.0.0.3", 101}, {"c", "10.0.0.2", 140}} {
		b := pair(delay(100), [2]Conditions{delay(1), delay(20)}, [2]Conditions{delay(3), delay(40)}, [2]Conditions{})
		if at := b.arrivals(tt.from, tt.to, 1); len(at) != 1 || at[0] != tt.want*millisecond {
			t.Errorf("%s to %s: %v, want %d ms", tt.from, tt.to, at, tt.want)
		}
	}
}

func TestRateOfALinkIsThatOfItsDirection(t *testing.T) {
	t.Parallel()
	// 128 bytes take 10 ms at 102.4 kbit/s.
	b := pair(Conditions{}, [2]Conditions{{Rate: 102400}, {}}, [2]Conditions{})
	if at := b.arrivals("a", "10.0.0.2", 3); fmt.Sprint(at) != fmt.Sprint([]packet.Time{10 * millisecond, 20 * millisecond, 30 * millisecond}) {
		t.Errorf("outwards: %v, want one each 10 ms", at)
	}
	if at := b.arrivals("b", "10.0.0.1", 3); fmt.Sprint(at) != fmt.Sprint([]packet.Time{0, 0, 0}) {
		t.Errorf("inwards: %v, want all at once", at)
	}
}

func TestALinksQueueIsFilledInOrderOfArrival(t *testing.T) {
	t.Parallel()
	// What a sends is 100 ms on its way to the slow link of c; what b sends meanwhile does not wait for it.
	b := pair(Conditions{}, [2]Conditions{{Delay: 100 * time.Millisecond}, {}}, [2]Conditions{}, [2]Conditions{{}, {Rate: 102400}})
	b.send("a", "10.0.0.3", 1)
	b.send("b", "10.0.0.3", 2)
	b.clock.runAll()
	got := b.delivered()
	if len(got) != 2 || id(got[0]) != 2 || got[0].At != 10*millisecond || got[1].At != 110*millisecond {
		t.Errorf("%v, want the second after 10 ms and the first after 110", got)
	}
}

func TestConditionsOfOneDirectionSpareTheOther(t *testing.T) {
	t.Parallel()
	always := func(packet.Time) bool { return true }
	for _, tt := range []struct {
		name string
		c    Conditions
		want Fate
	}{
		{"loss", Conditions{Loss: 1}, Lost},
		{"a black hole", Conditions{MTU: 127}, TooBig},
		{"down", Conditions{Down: always}, Down},
	} {
		b := pair(Conditions{}, [2]Conditions{tt.c, {}}, [2]Conditions{})
		b.send("a", "10.0.0.2", 1)
		b.send("b", "10.0.0.1", 1)
		if len(b.seen) != 2 || b.seen[0].Fate != tt.want || b.seen[1].Fate != Delivered {
			t.Errorf("%s: %v", tt.name, b.seen)
		}
	}
	if at := pair(Conditions{}, [2]Conditions{{MTU: 128}, {}}, [2]Conditions{}).arrivals("a", "10.0.0.2", 1); len(at) != 1 {
		t.Error("128 bytes do not fit 128")
	}
}

func TestChanceOfOneLinkDoesNotDependOnAnother(t *testing.T) {
	t.Parallel()
	lost := func(other Conditions) (ids []int) {
		b := pair(Conditions{}, [2]Conditions{{Loss: 0.2}, {}}, [2]Conditions{other, {}}, [2]Conditions{})
		for i := range 200 {
			b.send("b", "10.0.0.3", i)
			b.seen = nil
			b.send("a", "10.0.0.3", i)
			if b.seen[0].Fate == Lost {
				ids = append(ids, i)
			}
		}
		return ids
	}
	if a, b := lost(Conditions{}), lost(Conditions{Loss: 0.5, Duplicate: 0.5}); len(a) < 20 || fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("lost %v\nwith another link that loses, too %v", a, b)
	}
}

func TestCableIsPulledAndChanged(t *testing.T) {
	t.Parallel()
	b := pair(Conditions{}, [2]Conditions{}, [2]Conditions{})
	a := b.s.Ports()[0]
	a.SetUp(false)
	b.send("a", "10.0.0.2", 1)
	b.send("b", "10.0.0.1", 2)
	a.SetUp(true)
	b.send("a", "10.0.0.2", 3)
	a.SetConditions(Conditions{Loss: 1}, Conditions{})
	b.send("a", "10.0.0.2", 4)
	b.send("b", "10.0.0.1", 5)
	b.s.SetConditions(Conditions{Loss: 1})
	b.send("b", "10.0.0.1", 6)
	var got []Fate
	for _, s := range b.seen {
		got = append(got, s.Fate)
	}
	if want := []Fate{Down, Down, Delivered, Lost, Delivered, Lost}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}
