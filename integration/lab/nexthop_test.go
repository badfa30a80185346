package lab_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/moat-router/moat/integration/lab"
)

// Two routers lead to the same server; routes of the moment decide by which, at hosts and at routers.
func TestWireGoesByTheRoutesOfTheMoment(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, n *lab.Net) {
		n.Network("lan").Network("far")
		for i, name := range []string{"one", "two"} {
			n.Router(name).On("lan", netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + i)}).String()+"/24").On("far", netip.AddrFrom4([4]byte{10, 9, 0, byte(1 + i)}).String()+"/24")
		}
		client := n.Host("client", "lan", "10.0.0.9/24").Route("default via 10.0.0.1")
		server := n.Host("server", "far", "10.9.0.9/24").Route("default via 10.9.0.1")
		h, s := client.Get(), server.Get()
		first := func() string {
			t.Helper()
			path, err := h.Trace(netip.MustParseAddr("10.9.0.9"), 3, lab.Probe{})
			if err != nil || len(path) == 0 {
				t.Fatal(path, err)
			}
			return path[0].From.String()
		}
		back := func() string {
			t.Helper()
			path, err := s.Trace(netip.MustParseAddr("10.0.0.9"), 3, lab.Probe{})
			if err != nil || len(path) == 0 {
				t.Fatal(path, err)
			}
			return path[0].From.String()
		}
		if got := first(); got != "10.0.0.1" {
			t.Errorf("the first hop is %s, want 10.0.0.1", got)
		}
		if err := h.IP("route replace default via 10.0.0.2"); err != nil {
			t.Fatal(err)
		}
		if got := first(); got != "10.0.0.2" {
			t.Errorf("the first hop is %s, want 10.0.0.2", got)
		}
		if got := back(); got != "10.9.0.1" {
			t.Errorf("the first hop of the server is %s, want 10.9.0.1", got)
		}
		// A router that takes over an address is found there at once.
		one, two := n.Lab().Router("one"), n.Lab().Router("two")
		if err := one.IP("ip addr del 10.9.0.1/24 dev far"); err != nil {
			t.Fatal(err)
		}
		if err := two.IP("ip addr add 10.9.0.1/24 dev far"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Ping(netip.MustParseAddr("10.0.0.9"), lab.Probe{}); err != nil {
			t.Error(err)
		}
		got := s.Sent()
		if to := got[len(got)-1].To; to == nil || to.Name != "two" {
			t.Errorf("the server's datagram went to %v, want router two", to)
		}
		// A router's own routes count, too: one hands over to two, which has the network.
		if err := h.IP("route replace default via 10.0.0.1"); err != nil {
			t.Fatal(err)
		}
		if err := one.IP("ip route add 10.9.0.0/24 via 10.0.0.2"); err != nil {
			t.Fatal(err)
		}
		if a, err := h.Ping(netip.MustParseAddr("10.9.0.9"), lab.Probe{}); err != nil || !a.Reply {
			t.Errorf("by way of both: %v, %v", a, err)
		}
	})
}

func TestBroadcastOfASubnetReachesEverybodyOnIt(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, n *lab.Net) {
		n.Network("lan").Network("other")
		a := n.Host("a", "lan", "10.0.0.1/24").On("other", "10.1.0.1/24")
		listeners := []*lab.HostConf{n.Host("b", "lan", "10.0.0.2/24"), n.Host("c", "lan", "10.0.0.3/24")}
		apart := n.Host("d", "other", "10.1.0.4/24")
		var socks []net.PacketConn
		for _, l := range listeners {
			c, err := l.Get().ListenPacket("udp", ":9")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			socks = append(socks, c)
		}
		c, err := a.Get().ListenPacket("udp", ":9")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.WriteTo([]byte("anybody?"), udpAddr("10.0.0.255:9")); err != nil {
			t.Fatal(err)
		}
		for i, s := range socks {
			s.SetReadDeadline(time.Now().Add(time.Second))
			b := make([]byte, 20)
			if k, from, err := s.ReadFrom(b); err != nil || string(b[:k]) != "anybody?" || from.String() != "10.0.0.1:9" {
				t.Errorf("listener %d: %q from %v, %v", i, b[:k], from, err)
			}
		}
		if got := apart.Get().Received(); len(got) != 0 {
			t.Errorf("the other network carried %v", got)
		}
	})
}
