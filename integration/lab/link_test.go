package lab_test

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/moat-router/moat/integration/lab"
)

// dsl is a customer at the end of a line that is slower and farther in one direction.
func dsl(n *lab.Net) (customer, server *lab.HostConf) {
	n.Network("isp")
	customer = n.Host("customer", "isp", "10.0.0.1/24").
		Link(lab.Link{MTU: 1492}).
		Out(lab.Link{Delay: 30 * time.Millisecond, Rate: 1e6}).
		In(lab.Link{Delay: 5 * time.Millisecond, Rate: 16e6})
	return customer, n.Host("server", "isp", "10.0.0.2/24").Serve("echo", "tcp", 7)
}

func TestDirectionsOfALinkDiffer(t *testing.T) {
	t.Parallel()
	n := lab.New(t)
	customer, server := dsl(n)
	h := customer.Get()
	bytes := func(size int) time.Duration { return time.Duration(size+28) * 8 * time.Second }
	a, err := h.Ping(netip.MustParseAddr("10.0.0.2"), lab.Probe{Size: 972})
	if err != nil {
		t.Fatal(err)
	}
	if want := 35*time.Millisecond + bytes(972)/1e6 + bytes(972)/16e6; a.RTT != want {
		t.Errorf("the round trip took %v, want %v: 1000 bytes at 1 Mbit/s and 30 ms out, at 16 Mbit/s and 5 ms in", a.RTT, want)
	}
	sent, got := server.Get().Received()[0], h.Received()[0]
	if out := time.Duration(sent.At); out != 38*time.Millisecond {
		t.Errorf("out: %v, want 38 ms", out)
	}
	if in := got.At.Sub(sent.At); in != 5500*time.Microsecond {
		t.Errorf("in: %v, want 5.5 ms", in)
	}
}

func TestMTUOfALinkIsThatOfTheInterface(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, n *lab.Net) {
		customer, server := dsl(n)
		c, err := customer.Get().Dial("tcp", "server:7")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Write(make([]byte, 20000)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 20000)); err != nil {
			t.Fatal(err)
		}
		largest := 0
		for _, s := range append(server.Get().Received(), customer.Get().Received()...) {
			largest = max(largest, len(s.Data))
		}
		// gVisor leaves room for the largest options that there could be.
		if largest > 1492 || largest < 1492-40 {
			t.Errorf("the largest segment is of %d bytes, want those that fit 1492", largest)
		}
	})
}

func TestBlackHoleSwallowsOneDirectionOnly(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, n *lab.Net) {
		n.Network("wire")
		a := n.Host("a", "wire", "10.0.0.1/24").Out(lab.Link{MTU: 1000})
		b := n.Host("b", "wire", "10.0.0.2/24")
		for _, tt := range []struct {
			from *lab.HostConf
			to   string
			size int
			ok   bool
		}{{a, "10.0.0.2", 972, true}, {a, "10.0.0.2", 973, false}, {b, "10.0.0.1", 972, true}, {b, "10.0.0.1", 973, false}} {
			_, err := tt.from.Get().Ping(netip.MustParseAddr(tt.to), lab.Probe{Size: tt.size, DF: true, Timeout: 100 * time.Millisecond})
			if tt.ok != (err == nil) || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("to %s with %d bytes: %v", tt.to, tt.size, err)
			}
		}
		if got := a.Get().Received(); len(got[len(got)-1].Data) != 1001 {
			t.Error("the other direction carries 1001 bytes")
		}
	})
}

func TestLinkIsDownAtItsTime(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Network("wire")
	n.Host("a", "wire", "10.0.0.1/24").Link(lab.Link{Down: []lab.Down{{At: 5 * time.Second, For: 2 * time.Second}}})
	b := n.Host("b", "wire", "10.0.0.2/24").Get()
	for _, tt := range []struct {
		at time.Duration
		ok bool
	}{{0, true}, {5500 * time.Millisecond, false}, {7500 * time.Millisecond, true}} {
		n.Advance(tt.at - time.Duration(n.Lab().Time()))
		_, err := b.Ping(netip.MustParseAddr("10.0.0.1"), lab.Probe{Timeout: 100 * time.Millisecond})
		if tt.ok != (err == nil) {
			t.Errorf("at %v: %v", tt.at, err)
		}
	}
}
