package conntrack_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// flows enters n UDP flows with one packet each and returns the packet, whose source tells the flow.
func flows(b *testing.B, t *conntrack.Table, rng *rand.Rand, n int) *packet.Packet {
	p := parsed(b, ask)
	for i := range n {
		flow(p, i)
		var ref conntrack.Ref
		t.In(0, p, &ref, conntrack.HookInfo{Local: true}, rng)
		if why := t.Confirm(0, p, &ref, rng); why != packet.ReasonNone {
			b.Fatal(why)
		}
		t.Release(&ref)
	}
	return p
}

func flow(p *packet.Packet, i int) {
	binary.BigEndian.PutUint32(p.Data[12:], 10<<24+uint32(i>>15))
	binary.BigEndian.PutUint16(p.Data[20:], uint16(1024+i&0x7fff))
}

func unlimited() *conntrack.Table {
	p := conntrack.DefaultParams()
	p.Max = 0
	return conntrack.New(conntrack.Options{Params: p, Seed: 1})
}

// sizes are how many flows a table holds; the largest takes a gigabyte and is left out of -short.
func sizes() []int {
	all := []int{1_000, 100_000, 1_000_000, 4_000_000}
	if testing.Short() {
		return all[:2]
	}
	return all
}

func BenchmarkInsert(b *testing.B) {
	for _, n := range sizes() {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 1))
			for range b.N {
				flows(b, unlimited(), rng, n)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/flow")
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range sizes() {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 1))
			t := unlimited()
			p := flows(b, t, rng, n)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				flow(p, int(uint32(i)*2654435761)%n)
				var ref conntrack.Ref
				t.In(1, p, &ref, conntrack.HookInfo{Local: true}, rng)
				t.Release(&ref)
			}
		})
	}
}

func BenchmarkExpire(b *testing.B) {
	for _, n := range sizes() {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 1))
			for range b.N {
				b.StopTimer()
				t := unlimited()
				flows(b, t, rng, n)
				b.StartTimer()
				t.Advance(packet.Time(time.Hour))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/flow")
		})
	}
}

// BenchmarkCollect is a garbage collection while a million flows are there: connections have no pointers, so it costs what
// it costs without them. pause-ns is for how long the world stood still.
func BenchmarkCollect(b *testing.B) {
	t := unlimited()
	flows(b, t, rand.New(rand.NewPCG(1, 1)), 1_000_000)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.ResetTimer()
	for range b.N {
		runtime.GC()
	}
	b.StopTimer()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.PauseTotalNs-before.PauseTotalNs)/float64(after.NumGC-before.NumGC), "pause-ns")
	runtime.KeepAlive(t)
}

// BenchmarkTCPEstablished is a look-up and the whole window check for a segment of an established connection.
func BenchmarkTCPEstablished(b *testing.B) {
	w := newWorld(b, nil)
	w.pass(syn)
	w.pass("ip4 198.51.100.9>192.168.1.10 / tcp 80>5000 SA seq=900 ack=101")
	p := parsed(b, "ip4 192.168.1.10>198.51.100.9 / tcp 5000>80 A seq=101 ack=901")
	b.ReportAllocs()
	for range b.N {
		var ref conntrack.Ref
		w.t.In(w.now, p, &ref, conntrack.HookInfo{Local: true}, w.rng)
		w.t.Confirm(w.now, p, &ref, w.rng)
		w.t.Release(&ref)
	}
}

// BenchmarkMemory reports the bytes that a flow costs, hash and timers included.
func BenchmarkMemory(b *testing.B) {
	const n = 1_000_000
	var before, after runtime.MemStats
	for range b.N {
		runtime.GC()
		runtime.ReadMemStats(&before)
		t := unlimited()
		flows(b, t, rand.New(rand.NewPCG(1, 1)), n)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/flow")
		runtime.KeepAlive(t)
	}
}
