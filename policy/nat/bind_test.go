package nat_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/policy/nat"
	"github.com/moat-router/moat/stack/packet"
)

// Four workers make bindings for the same few hosts in a small range, call at them, and let them end, all at once.
// An external endpoint belongs to one internal endpoint at any time, and nothing is left in the end.
func TestWorkersShareBindings(t *testing.T) {
	t.Parallel()
	table := conntrack.New(conntrack.Options{Seed: 1, Shards: 4})
	bindings := &nat.Bindings{}
	public, err := packet.Build("ip4 203.0.113.1>203.0.113.1 / udp 1>1")
	if err != nil {
		t.Fatal(err)
	}
	addr := packet.Addr4(public[12:])
	var clock, seen, admitted atomic.Int64
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(7, uint64(worker)))
			p := packet.New()
			how := nat.Behaviour{Filtering: nat.Dependence(worker % 3), Assignment: nat.Assignment(worker)}
			r := nat.Range{Flags: nat.MapIPs | nat.ProtoSpecified, MinAddr: addr, MaxAddr: addr, MinPort: 2000, MaxPort: 2099}
			for i := range 3000 {
				now := packet.Time(clock.Add(int64(20 * time.Millisecond)))
				from, to := fmt.Sprintf("192.168.1.%d", 10+rng.IntN(4)), "198.51.100.9"
				ports := fmt.Sprintf("%d>%d", 5000+rng.IntN(20), 53+rng.IntN(3))
				inward := rng.IntN(3) == 0
				if inward {
					from, to, ports = "198.51.100.9", "203.0.113.1", fmt.Sprintf("%d>%d", 53+rng.IntN(3), 2000+rng.IntN(100))
				}
				b, err := packet.Build("ip4 " + from + ">" + to + " / udp " + ports + " len=4")
				if err != nil {
					t.Error(err)
					return
				}
				p.Load(b)
				p.Parse()
				var ref conntrack.Ref
				if why := table.In(now, p, &ref, conntrack.HookInfo{}, rng); why != packet.ReasonNone {
					continue
				}
				w := nat.Walk{CT: table, B: bindings, Now: now, Conn: ref.Conn, In: 1, Rng: rng}
				why := packet.ReasonNone
				if ref.Info == conntrack.NewConn && ref.Conn.Status()&conntrack.StatusConfirmed == 0 {
					if inward {
						w.In = 2
						if why = nat.Inbound(&w); why == packet.ReasonNone && nat.Initialized(ref.Conn, nat.ManipDst) {
							admitted.Add(1)
						}
					} else if why = nat.Bind(&w, &r, &how); why == packet.ReasonNone {
						seen.Add(1)
					}
				}
				if why == packet.ReasonNone {
					nat.Renew(now, ref)
					table.Confirm(now, p, &ref, rng)
				}
				table.Release(&ref)
				if i%16 == 0 && worker == 0 {
					table.Advance(now)
					bindings.Sweep(now)
					if i%512 == 0 {
						table.Flush(now)
						bindings.Flush()
					}
				}
			}
		})
	}
	wg.Wait()
	now := packet.Time(clock.Load())
	owner := map[nat.Endpoint]nat.Endpoint{}
	bindings.Range(now, func(b *nat.Binding) bool {
		if other, taken := owner[b.Outside()]; taken {
			t.Errorf("%v belongs to %v and to %v", b.Outside(), other, b.Inside())
		}
		owner[b.Outside()] = b.Inside()
		return true
	})
	if seen.Load() == 0 || admitted.Load() == 0 || len(owner) == 0 {
		t.Errorf("%d bound, %d admitted, %d bindings: the test has looked at nothing", seen.Load(), admitted.Load(), len(owner))
	}
	now = now.Add(time.Hour)
	table.Advance(now)
	for range 64 {
		now = now.Add(time.Second)
		bindings.Sweep(now)
	}
	if n := bindings.Len(); n != 0 {
		t.Errorf("%d bindings are left when all have ended", n)
	}
}

// A new connection with a new binding allocates no more than one without, once there is memory for it.
func TestBindAllocatesNoMoreThanSetup(t *testing.T) {
	table, bindings := conntrack.New(conntrack.Options{Seed: 1}), &nat.Bindings{}
	rng := rand.New(rand.NewPCG(1, 2))
	a := packet.Addr4([]byte{203, 0, 113, 1})
	r := nat.Range{Flags: nat.MapIPs, MinAddr: a, MaxAddr: a}
	how := nat.Behaviour{Filtering: nat.AddressDependent}
	p, now := packet.New(), packet.Time(0)
	b := build(t, udp(10, 5000, "198.51.100.9"))
	allocations := func(decide func(w *nat.Walk) packet.Reason) float64 {
		once := func() {
			now = now.Add(time.Hour) // connection and binding have ended
			table.Advance(now)
			bindings.Sweep(now)
			p.Load(b)
			p.Parse()
			var ref conntrack.Ref
			table.In(now, p, &ref, conntrack.HookInfo{}, rng)
			w := nat.Walk{CT: table, B: bindings, Now: now, Conn: ref.Conn, In: 1, Rng: rng}
			if why := decide(&w); why != packet.ReasonNone {
				t.Fatal(why)
			}
			table.Confirm(now, p, &ref, rng)
			table.Release(&ref)
		}
		once()
		return testing.AllocsPerRun(100, once)
	}
	linux := allocations(func(w *nat.Walk) packet.Reason { return nat.Setup(w.CT, w.Now, w.Conn, &r, nat.ManipSrc, w.Rng) })
	if n := allocations(func(w *nat.Walk) packet.Reason { return nat.Bind(w, &r, &how) }); n > linux {
		t.Errorf("%v allocations for a new connection with a binding, %v without", n, linux)
	}
}

// A full table refuses a new binding and goes on with those that it has.
func TestBindingsAreBounded(t *testing.T) {
	t.Parallel()
	table, bindings := conntrack.New(conntrack.Options{Seed: 1}), &nat.Bindings{Max: 3}
	rng := rand.New(rand.NewPCG(1, 2))
	a := packet.Addr4([]byte{203, 0, 113, 1})
	r := nat.Range{Flags: nat.MapIPs, MinAddr: a, MaxAddr: a}
	bind := func(now packet.Time, port int) packet.Reason {
		p := packet.New()
		p.Load(build(t, udp(10, port, "198.51.100.9")))
		p.Parse()
		var ref conntrack.Ref
		defer table.Release(&ref)
		table.In(now, p, &ref, conntrack.HookInfo{}, rng)
		w := nat.Walk{CT: table, B: bindings, Now: now, Conn: ref.Conn, In: 1, Rng: rng}
		return nat.Bind(&w, &r, &nat.Behaviour{})
	}
	for i := range 5 {
		if got := bind(0, 5000+i); (got == packet.ReasonNone) != (i < 3) {
			t.Errorf("binding %d: %v", i+1, got)
		}
	}
	if got := bind(0, 5001); got != packet.ReasonNone {
		t.Errorf("a binding that is there: %v", got)
	}
	if got := bind(packet.Time(time.Hour), 6000); got != packet.ReasonNone {
		t.Errorf("when the others have ended: %v", got)
	}
}
