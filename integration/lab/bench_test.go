package lab_test

import (
	"io"
	"net/netip"
	"testing"

	"github.com/moat-router/moat/integration/lab/livetest"
	"github.com/moat-router/moat/stack/link"
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
