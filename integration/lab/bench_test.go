package lab_test

import (
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/moat-router/moat/integration/lab"
	"github.com/moat-router/moat/integration/lab/livetest"
	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/netns/netnstest"
)

const chunk = 1 << 20

func BenchmarkTCPBetweenLiveHosts(b *testing.B) {
	for _, way := range []struct {
		name string
		o    link.Offloads
	}{{"offload", livetest.Offloads}, {"plain", link.Offloads{}}} {
		b.Run(way.name, func(b *testing.B) {
			inside, outside := livetest.NAT(b, way.o)
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
	inside, outside := livetest.NAT(b, livetest.Offloads)
	to := netip.MustParseAddrPort("203.0.113.9:9")
	server, err := outside.ListenUDP(to)
	if err != nil {
		b.Fatal(err)
	}
	c, err := inside.DialUDP(netip.AddrPort{}, to)
	if err != nil {
		b.Fatal(err)
	}
	livetest.Flood(b, c.Write, server.ReadFrom)
}

// grow is so many routers in a row, from a core network outwards, and hosts behind the last of them.
func grow(t lab.TB, routers, hosts int) *lab.Net {
	n := lab.New(t).Network("net0")
	for i := range routers {
		inner := fmt.Sprintf("net%d", i+1)
		n.Network(inner)
		r := n.Router(fmt.Sprintf("r%d", i), strings.ReplaceAll(masquerade, "wan", fmt.Sprintf("net%d", i))).
			On(fmt.Sprintf("net%d", i), fmt.Sprintf("10.%d.0.2/16", i)).On(inner, fmt.Sprintf("10.%d.0.1/16", i+1))
		if i > 0 {
			r.Route(fmt.Sprintf("default via 10.%d.0.1", i))
		}
	}
	for i := range hosts {
		n.Host(fmt.Sprintf("h%d", i), fmt.Sprintf("net%d", routers), fmt.Sprintf("10.%d.%d.%d/16", routers, 1+i/200, 1+i%200))
	}
	return n
}

// BenchmarkLabOfThreeRoutersAndTwentyHosts is how long a lab takes to be up, and down.
func BenchmarkLabOfThreeRoutersAndTwentyHosts(b *testing.B) {
	for _, mode := range []lab.Mode{lab.Virtual, lab.Kernel} {
		b.Run(string(mode), func(b *testing.B) {
			if mode == lab.Kernel {
				netnstest.Need(b)
			}
			var up, down time.Duration
			for b.Loop() {
				n := grow(b, 3, 20)
				if mode == lab.Kernel {
					n.Kernel()
				}
				start := time.Now()
				l := n.Lab()
				up += time.Since(start)
				start = time.Now()
				if err := l.Close(); err != nil {
					b.Fatal(err)
				}
				down += time.Since(start)
			}
			b.ReportMetric(up.Seconds()*1000/float64(b.N), "ms-up")
			b.ReportMetric(down.Seconds()*1000/float64(b.N), "ms-down")
		})
	}
}

// BenchmarkMemoryOf200Hosts counts what 200 hosts hold once each has pinged, and once each has moved a megabyte by TCP
// and keeps its connection.
func BenchmarkMemoryOf200Hosts(b *testing.B) {
	for b.Loop() {
		var m runtime.MemStats
		heap := func() float64 {
			runtime.GC()
			runtime.ReadMemStats(&m)
			return float64(m.HeapAlloc+m.StackInuse) / (1 << 20)
		}
		before := heap()
		n := grow(b, 1, 200)
		n.Host("server", "net0", "10.0.0.9/16").Serve("discard", "tcp", 9)
		l := n.Lab()
		hosts := l.Hosts()[:200]
		for _, h := range hosts {
			if _, err := h.Ping(netip.MustParseAddr("10.0.0.2"), lab.Probe{}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(heap()-before, "MiB")
		data := make([]byte, chunk)
		for _, h := range hosts {
			c, err := h.Dial("tcp", "server:9")
			if err != nil {
				b.Fatal(err)
			}
			if _, err := c.Write(data); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(heap()-before, "MiB-busy")
		b.ReportMetric(float64(m.Sys)/(1<<20), "MiB-sys")
		l.Close()
	}
}
