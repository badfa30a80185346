package host

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

var allOffloads = link.Offloads{Csum: true, TSO4: true, TSO6: true}

// transfer sends n bytes from a to b by TCP and tells of the segments that b received.
func transfer(t *testing.T, p *pair, to netip.AddrPort, n int) (largest, partial int) {
	t.Helper()
	stop := p.b.Watch(func(q *packet.Packet) {
		largest = max(largest, q.Len())
		if q.NeedsCsum {
			partial++
		} else if q.CsumGood = false; !q.TransportSumOK() {
			t.Errorf("a segment that nobody vouches for has a wrong checksum: %s", packet.Text(q.Data))
		}
	})
	defer stop()
	l, err := p.b.ListenTCP(to)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := p.a.DialTCP(t.Context(), netip.AddrPort{}, to)
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i >> 8 * i)
	}
	got := make([]byte, n)
	for at := 0; at < n; at += 64 << 10 {
		end := min(at+64<<10, n)
		if _, err := c.Write(data[at:end]); err != nil {
			t.Fatal(err)
		}
		s.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := io.ReadFull(s, got[at:end]); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got, data) {
		t.Error("what arrived is not what was sent")
	}
	c.Close()
	s.Close()
	return largest, partial
}

func TestSuperSegmentsCrossALinkThatOffloads(t *testing.T) {
	t.Parallel()
	for _, to := range []netip.AddrPort{ap("10.0.0.2:80"), ap("[fd00::2]:80")} {
		largest, partial := transfer(t, newPair(t, link.PipeOptions{Offloads: allOffloads}), to, 2<<20)
		if largest < 30000 || largest > packet.MaxData || partial == 0 {
			t.Errorf("%v: largest %d bytes, %d with a partial checksum; want super-segments", to, largest, partial)
		}
		for _, less := range []link.Offloads{{}, {Csum: true}, {Csum: true, TSO4: true}} {
			largest, partial = transfer(t, newPair(t, link.PipeOptions{Offloads: less}), to, 1<<20)
			if largest > 1500 || partial != 0 {
				t.Errorf("%v over a link with %+v: largest %d bytes, %d partial checksums; want whole segments", to, less, largest, partial)
			}
		}
	}
}

func TestSilentListenerAnswersWholeChecksumsOverALinkThatOffloads(t *testing.T) {
	t.Parallel()
	p := newPair(t, link.PipeOptions{Offloads: allOffloads})
	if _, err := p.b.Serve(Silent, "tcp", ap("10.0.0.2:9")); err != nil {
		t.Fatal(err)
	}
	heard := 0
	defer p.a.Watch(func(q *packet.Packet) {
		heard++
		if q.CsumGood = false; q.NeedsCsum || !q.TransportSumOK() {
			t.Errorf("wrong checksum: %s", packet.Text(q.Data))
		}
	})()
	c, err := p.a.DialTCP(t.Context(), netip.AddrPort{}, ap("10.0.0.2:9"))
	if err != nil {
		t.Fatal(err)
	}
	c.Write([]byte("hello"))
	c.Close()
	p.net.Run(p.clock.Time().Add(time.Second))
	if heard < 2 {
		t.Errorf("%d segments from the listener, want a SYN/ACK and an acknowledgement", heard)
	}
}

func TestIdentitiesCountByFlow(t *testing.T) {
	t.Parallel()
	ids := newIdentities(newChance(1, "a"))
	p := packet.New()
	number := func(text string) uint16 {
		t.Helper()
		b, err := packet.Build(text)
		if err != nil {
			t.Fatal(err)
		}
		p.Load(b)
		ids.renumber(p)
		if !p.IPv4().IsChecksumValid() {
			t.Errorf("%s: header checksum", text)
		}
		return binary.BigEndian.Uint16(p.Data[4:])
	}
	one := number("ip4 10.0.0.1>10.0.0.2 id=900 / udp 1>2 len=8")
	other := number("ip4 10.0.0.1>10.0.0.2 id=901 / udp 3>4 len=8")
	if next := number("ip4 10.0.0.1>10.0.0.2 id=77 / udp 1>2 len=8"); next != one+1 {
		t.Errorf("the flow's next datagram is %d after %d, whatever came between (%d)", next, one, other)
	}
	first := number("ip4 10.0.0.1>10.0.0.2 id=5 mf / udp 1>2 len=16 ulen=48")
	if later := number("ip4 10.0.0.1>10.0.0.2 id=5 off=24 proto=17 / pat 24"); later != first {
		t.Errorf("fragments of one datagram are %d and %d", first, later)
	}
	same := newIdentities(newChance(1, "a"))
	if newIdentities(newChance(1, "b")).key == same.key || newIdentities(newChance(2, "a")).key == same.key {
		t.Error("another name, or another seed, gives the same numbers")
	}
}
