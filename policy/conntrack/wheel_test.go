package conntrack

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/moat-router/moat/stack/packet"
)

// plant enters n confirmed connections with the deadlines that f gives.
func plant(tb testing.TB, t *Table, n int, f func(i int) packet.Time) []*Conn {
	tb.Helper()
	var all []*Conn
	for i := range n {
		k := Tuple{Proto: packet.ProtoUDP, SrcPort: uint16(i), DstPort: uint16(i >> 16)}
		k.Src[15], k.Dst[15] = 1, 2
		x := look{t: t, par: t.Params(), p: &packet.Packet{}}
		c, why := x.begin(k)
		if c == nil {
			tb.Fatal(why)
		}
		c.deadline.Store(int64(f(i)))
		ref := Ref{Conn: c, Info: NewConn}
		if why := t.insert(0, &ref); why != packet.ReasonNone {
			tb.Fatal(why)
		}
		all = append(all, c)
		t.Release(&ref)
	}
	return all
}

// TestExpiryIsInOrderOfDeadlineAndCreation compares the wheel with a sorted list: random deadlines from nothing to
// twenty days, some moved later and some earlier, and a clock that goes in random steps.
func TestExpiryIsInOrderOfDeadlineAndCreation(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		span := []time.Duration{time.Second, time.Minute, time.Hour, 20 * 24 * time.Hour}[seed%4]
		some := func() packet.Time { return packet.Time(rng.Int64N(int64(span))/100*100 + 1) }
		tab := New(Options{Seed: 7, Shards: 4})
		tab.SetParams(&Params{Events: 1})
		var got []string
		now := packet.Time(0)
		tab.Subscribe(func(e Event) { got = append(got, fmt.Sprint(e.Time, e.ID)) })
		type entry struct {
			c   *Conn
			due packet.Time
			id  uint32
		}
		var left []entry
		for _, c := range plant(t, tab, 300, func(int) packet.Time { return some() }) {
			left = append(left, entry{c, c.Expires(), c.ID()})
		}
		for now < packet.Time(span) {
			for range 10 {
				if len(left) == 0 {
					break
				}
				e := &left[rng.IntN(len(left))]
				e.due = now.Add(time.Duration(some()))
				tab.refresh(e.c, e.due)
			}
			now = now.Add(span / time.Duration(1+rng.IntN(50)))
			got = nil
			tab.Advance(now)
			var want []string
			slices.SortFunc(left, func(a, b entry) int {
				if a.due != b.due {
					return int(min(max(a.due-b.due, -1), 1))
				}
				return int(a.id) - int(b.id)
			})
			for len(left) > 0 && left[0].due <= now {
				want = append(want, fmt.Sprint(left[0].due, left[0].id))
				left = left[1:]
			}
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d at %v:\n got %v\nwant %v", seed, time.Duration(now), got, want)
			}
		}
		if tab.Count() != len(left) {
			t.Errorf("seed %d: %d connections, want %d", seed, tab.Count(), len(left))
		}
	}
}

// TestTickKeepsToItsBudget: what is due all at once ends in steps, and all of it ends.
func TestTickKeepsToItsBudget(t *testing.T) {
	t.Parallel()
	tab := New(Options{Seed: 7, Shards: 4})
	plant(t, tab, 1000, func(int) packet.Time { return packet.Time(time.Second) })
	steps := 0
	for more := true; more; steps++ {
		before := tab.Count()
		more = tab.Tick(packet.Time(time.Minute), 100)
		if ended := before - tab.Count(); ended > 100 {
			t.Fatalf("one step ended %d connections, want at most 100", ended)
		}
		if steps > 100 {
			t.Fatal("it does not come to an end")
		}
	}
	if tab.Count() != 0 {
		t.Errorf("%d connections are left", tab.Count())
	}
}

// TestNextIsTheEarliestDeadline for a clock that is moved by hand.
func TestNextIsTheEarliestDeadline(t *testing.T) {
	t.Parallel()
	tab := New(Options{Seed: 7})
	if _, ok := tab.Next(); ok {
		t.Error("an empty table has something due")
	}
	plant(t, tab, 5, func(i int) packet.Time { return packet.Time(10 - i) })
	if next, ok := tab.Next(); !ok || next != 6 {
		t.Errorf("next is %d, want 6", next)
	}
}
