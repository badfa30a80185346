package lab_test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/moat-router/moat/router"
	"github.com/moat-router/moat/router/sysctl"
	"github.com/moat-router/moat/stack/host"
	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

// live is two virtual hosts and a masquerading router in real time, with pipes that take super-segments or not.
func live(tb testing.TB, o link.Offloads) (inside, outside *host.Host) {
	tb.Helper()
	lan, wan := netip.MustParsePrefix("192.168.1.10/24"), netip.MustParsePrefix("203.0.113.9/24")
	pipe := func(name string) (near, far *link.End) { return link.Pipe(name, name, link.PipeOptions{Offloads: o}) }
	lanNear, lanFar := pipe("lan")
	wanNear, wanFar := pipe("wan")
	start := time.Now()
	r, err := router.New(router.Config{
		SysctlBase: sysctl.Gateway(), RulesV4: router.Rules{Name: "v4", Text: masquerade}, Workers: 2,
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

var offloads = link.Offloads{Csum: true, TSO4: true, TSO6: true}

const chunk = 1 << 20

func BenchmarkTCPBetweenLiveHosts(b *testing.B) {
	for _, way := range []struct {
		name string
		o    link.Offloads
	}{{"offload", offloads}, {"plain", link.Offloads{}}} {
		b.Run(way.name, func(b *testing.B) {
			inside, outside := live(b, way.o)
			l, err := outside.ListenTCP(netip.MustParseAddrPort("203.0.113.9:5001"))
			if err != nil {
				b.Fatal(err)
			}
			done := make(chan int64)
			go func() {
				c, err := l.Accept()
				if err != nil {
					done <- 0
					return
				}
				n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, make([]byte, chunk))
				done <- n
			}()
			c, err := inside.DialTCP(b.Context(), netip.AddrPort{}, netip.MustParseAddrPort("203.0.113.9:5001"))
			if err != nil {
				b.Fatal(err)
			}
			buf := make([]byte, chunk)
			b.SetBytes(chunk)
			b.ResetTimer()
			for b.Loop() {
				if _, err := c.Write(buf); err != nil {
					b.Fatal(err)
				}
			}
			c.Close()
			if n := <-done; n != int64(b.N)*chunk {
				b.Errorf("%d of %d bytes arrived", n, int64(b.N)*chunk)
			}
			b.ReportMetric(float64(b.N)*chunk*8/b.Elapsed().Seconds()/1e9, "Gb/s")
		})
	}
}

var _ = runtime.NumCPU
var _ net.Conn

func BenchmarkTCPInVirtualLab(b *testing.B) {
	_, laptop, server, _ := home(b)
	l, err := server.Get().Listen("tcp", ":5001")
	if err != nil {
		b.Fatal(err)
	}
	c, err := laptop.Get().Dial("tcp", "server:5001")
	if err != nil {
		b.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	out, in := make([]byte, chunk), make([]byte, chunk)
	b.SetBytes(chunk)
	for b.Loop() {
		// One goroutine: what fits into the socket's buffer is written, and then read.
		for left := chunk; left > 0; {
			n := min(left, 128<<10)
			if _, err := c.Write(out[:n]); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(s, in[:n]); err != nil {
				b.Fatal(err)
			}
			left -= n
		}
	}
	b.ReportMetric(float64(b.N)*chunk*8/b.Elapsed().Seconds()/1e9, "Gb/s")
}

// BenchmarkUDPBetweenLiveHosts counts what arrives: a sender that is faster than the path loses datagrams.
func BenchmarkUDPBetweenLiveHosts(b *testing.B) {
	inside, outside := live(b, offloads)
	to := netip.MustParseAddrPort("203.0.113.9:9")
	server, err := outside.ListenUDP(to)
	if err != nil {
		b.Fatal(err)
	}
	c, err := inside.DialUDP(netip.AddrPort{}, to)
	if err != nil {
		b.Fatal(err)
	}
	flood(b, c.Write, server.ReadFrom)
}

// flood sends for as long as it takes until b.N datagrams have arrived.
func flood(b *testing.B, write func([]byte) (int, error), read func([]byte) (int, net.Addr, error)) {
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
