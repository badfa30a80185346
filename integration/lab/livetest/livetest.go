// Package livetest is virtual hosts in real time for benchmarks of several packages: how fast is a lab's data path?
package livetest

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/moat-router/moat/router"
	"github.com/moat-router/moat/router/sysctl"
	"github.com/moat-router/moat/stack/host"
	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

// Offloads is what virtual hosts leave to their links.
var Offloads = link.Offloads{Csum: true, TSO4: true, TSO6: true}

// NAT is two virtual hosts and a masquerading router in real time, 192.168.1.10 and 203.0.113.9, with
// pipes that take super-segments or not.
func NAT(tb testing.TB, o link.Offloads) (inside, outside *host.Host) {
	tb.Helper()
	lan, wan := netip.MustParsePrefix("192.168.1.10/24"), netip.MustParsePrefix("203.0.113.9/24")
	pipe := func(name string) (near, far *link.End) { return link.Pipe(name, name, link.PipeOptions{Offloads: o}) }
	lanNear, lanFar := pipe("lan")
	wanNear, wanFar := pipe("wan")
	start := time.Now()
	r, err := router.New(router.Config{
		SysctlBase: sysctl.Gateway(), RulesV4: router.Rules{Name: "v4", Text: "*nat\n-A POSTROUTING -o wan -j MASQUERADE\nCOMMIT\n"}, Workers: 2,
		Clock: func() packet.Time { return packet.Time(time.Since(start)) },
		Devices: []router.Device{
			{Name: "lan", MTU: 1500, Link: lanNear, Addrs: [][2]string{{"192.168.1.1/24", ""}}},
			{Name: "wan", MTU: 1500, Link: wanNear, Addrs: [][2]string{{"203.0.113.1/24", ""}}},
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- r.Serve(ctx) }()
	tb.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			tb.Error(err)
		}
		r.Close()
	})
	for _, h := range []struct {
		host **host.Host
		end  *link.End
		addr netip.Prefix
	}{{&inside, lanFar, lan}, {&outside, wanFar, wan}} {
		if *h.host, err = host.NewHost(h.end, host.HostConfig{Addresses: []netip.Prefix{h.addr}}); err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { (*h.host).Close() })
	}
	return inside, outside
}

// Flood sends for as long as it takes until b.N datagrams have arrived.
func Flood(b *testing.B, write func([]byte) (int, error), read func([]byte) (int, net.Addr, error)) {
	stop := make(chan struct{})
	sent := make(chan int)
	go func() {
		n, payload := 0, make([]byte, 64)
		for {
			select {
			case <-stop:
				sent <- n
				return
			default:
			}
			write(payload)
			n++
		}
	}()
	buf := make([]byte, 1500)
	if _, _, err := read(buf); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, _, err := read(buf); err != nil {
			b.Fatal(err)
		}
	}
	close(stop)
	n := <-sent
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
	b.ReportMetric(float64(n)/float64(b.N+1), "sent/received")
}
