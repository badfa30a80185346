package lab_test

import (
	"strings"
	"testing"
	"time"

	"github.com/moat-router/moat/integration/lab"
)

// RFC 1191 3, RFC 8201 4: who is told that the path is narrower sends what fits it. UDP learns by a loss.
func TestUDPLearnsThePathMTU(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, n *lab.Net) {
		n.Network("lan").Network("tunnel", lab.Link{MTU: 1400}).Network("far")
		n.Router("near").On("lan", "10.0.0.1/24", "fd00:a::1/64").On("tunnel", "10.1.0.1/24", "fd00:b::1/64").Route("10.2.0.0/24 via 10.1.0.2", "fd00:c::/64 via fd00:b::2")
		n.Router("other").On("tunnel", "10.1.0.2/24", "fd00:b::2/64").On("far", "10.2.0.1/24", "fd00:c::1/64").Route("10.0.0.0/24 via 10.1.0.1", "fd00:a::/64 via fd00:b::1")
		client := n.Host("client", "lan", "10.0.0.9/24", "fd00:a::9/64")
		server := n.Host("server", "far", "10.2.0.9/24", "fd00:c::9/64").Serve("discard", "udp", 9)
		h, s := client.Get(), server.Get()
		for _, to := range []string{"10.2.0.9:9", "[fd00:c::9]:9"} {
			c, err := h.ListenPacket("udp", ":0")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			told, arrived := len(h.Received()), len(s.Received())
			c.WriteTo(make([]byte, 1440), udpAddr(to))
			if !n.Lab().Wait(func() bool { return len(h.Received()) > told }, time.Second) {
				t.Fatalf("%s: nobody says that it is too big", to)
			}
			if len(s.Received()) > arrived {
				t.Errorf("%s: it arrived: the path is not narrower", to)
			}
			n.Advance(10 * time.Millisecond) // a kernel reads its ICMP
			c.WriteTo(make([]byte, 1440), udpAddr(to))
			if !n.Lab().Wait(func() bool { return len(s.Received()) == arrived+2 }, time.Second) {
				t.Errorf("%s: %d datagrams arrived, want two fragments", to, len(s.Received())-arrived)
			}
			for _, f := range s.Received()[arrived:] {
				if len(f.Data) > 1400 || strings.Contains(f.Text(), " df") {
					t.Errorf("%s: %s", to, f.Text())
				}
			}
		}
	})
}
