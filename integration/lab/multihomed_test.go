package lab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moat-router/moat/integration/lab"
	"github.com/moat-router/moat/integration/lab/topology"
	"github.com/moat-router/moat/integration/lab/wire"
	"github.com/moat-router/moat/stack/netns/netnstest"
)

// bothKinds runs a test with virtual hosts, and with those of the kernel where there can be any.
func bothKinds(t *testing.T, f func(t *testing.T, n *lab.Net)) {
	t.Run("virtual", func(t *testing.T) {
		t.Parallel()
		f(t, lab.New(t))
	})
	t.Run("kernel", func(t *testing.T) {
		t.Parallel()
		netnstest.Need(t)
		f(t, lab.New(t).Kernel())
	})
}

// twoUplinks is a phone in a wireless network at home and in that of a carrier, each with a NAT to the internet.
func twoUplinks(n *lab.Net) (phone, server *lab.HostConf) {
	n.Network("wifi").Network("lte").Network("internet")
	for i, uplink := range []string{"wifi", "lte"} {
		n.Router("nat-"+uplink, "*nat\n-A POSTROUTING -o internet -j MASQUERADE\nCOMMIT\n").
			On(uplink, fmt.Sprintf("10.0.%d.1/24", i)).On("internet", fmt.Sprintf("198.51.100.%d/24", 1+i))
	}
	phone = n.Host("phone", "wifi", "10.0.0.20/24").On("lte", "10.0.1.20/24")
	server = n.Host("server", "internet", "198.51.100.9/24").Serve("echo", "udp", 7).Serve("echo", "tcp", 7)
	return phone, server
}

// asked talks to the server by UDP, from an address of the host's or from any, and tells whom the server saw.
func asked(t *testing.T, h, server *lab.Host, from string) string {
	t.Helper()
	src := netip.AddrPort{}
	if from != "" {
		src = netip.AddrPortFrom(netip.MustParseAddr(from), 0)
	}
	c, err := h.DialFrom(context.Background(), "udp", src, "server:7")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "?")
	c.SetReadDeadline(time.Now().Add(time.Second))
	if _, err := c.Read(make([]byte, 9)); err != nil {
		t.Error(err)
	}
	got := server.Received()
	who, _, _ := strings.Cut(strings.TrimPrefix(got[len(got)-1].Text(), "ip4 "), ">")
	return who
}

func TestHostWithTwoUplinksRoutesAsLinuxDoes(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, n *lab.Net) {
		phone, server := twoUplinks(n)
		phone.Route("default via 10.0.0.1 metric 100", "default via 10.0.1.1 metric 200")
		h, s := phone.Get(), server.Get()
		if got := asked(t, h, s, ""); got != "198.51.100.1" {
			t.Errorf("the better metric is wifi's; the server sees %s", got)
		}
		var mu sync.Mutex
		var over []string
		stop := n.Lab().Watch(func(s wire.Sighting) {
			if strings.HasPrefix(s.Text(), "ip4 10.0.1.20>") {
				mu.Lock()
				defer mu.Unlock()
				over = append(over, s.Segment)
			}
		})
		c, err := h.DialFrom(context.Background(), "udp", netip.MustParseAddrPort("10.0.1.20:0"), "server:7")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, "?")
		n.Lab().Wait(func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(over) > 0
		}, time.Second)
		c.Close()
		stop()
		if len(over) == 0 || over[0] != "wifi" {
			t.Errorf("a source address does not choose the way (the weak end system model): it went over %v, want wifi", over)
		}
		if err := h.IP("route add default via 10.0.1.1 table 7; rule add from 10.0.1.20 lookup 7"); err != nil {
			t.Fatal(err)
		}
		if got := asked(t, h, s, "10.0.1.20"); got != "198.51.100.2" {
			t.Errorf("a rule chooses by source; the server sees %s", got)
		}
		if got := asked(t, h, s, ""); got != "198.51.100.1" {
			t.Errorf("without a source nothing has changed; the server sees %s", got)
		}
		if err := h.IP("link set wifi down"); err != nil {
			t.Fatal(err)
		}
		if got := asked(t, h, s, ""); got != "198.51.100.2" {
			t.Errorf("with wifi its routes are gone; the server sees %s", got)
		}
	})
}

func TestHostAnswersForAllItsAddressesOnAnyInterface(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, n *lab.Net) {
		n.Network("a").Network("b")
		both := n.Host("both", "a", "10.0.0.1/24", "fd00:a::1/64").On("b", "10.0.1.1/24", "fd00:b::1/64").Serve("echo", "tcp", 7)
		one := n.Host("one", "a", "10.0.0.2/24", "fd00:a::2/64").Route("default via 10.0.0.1", "default via fd00:a::1")
		both.Get()
		for _, far := range []string{"10.0.1.1", "fd00:b::1"} {
			a, err := one.Get().Ping(netip.MustParseAddr(far), lab.Probe{})
			if err != nil || !a.Reply || a.From.String() != far {
				t.Errorf("ping %s: %v, %v", far, a, err)
			}
			c, err := one.Get().Dial("tcp", netip.AddrPortFrom(netip.MustParseAddr(far), 7).String())
			if err != nil {
				t.Errorf("tcp to %s: %v", far, err)
				continue
			}
			fmt.Fprint(c, "hello")
			c.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
				t.Errorf("tcp to %s: %v", far, err)
			}
			c.Close()
		}
	})
}

func TestHostWithoutARouteSaysSo(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, n *lab.Net) {
		n.Network("lan")
		h := n.Host("alone", "lan", "10.0.0.1/24").Get()
		if _, err := h.Dial("udp", "192.0.2.1:7"); !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("udp: %v, want network is unreachable", err)
		}
		if _, err := h.Dial("tcp", "192.0.2.1:7"); !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("tcp: %v, want network is unreachable", err)
		}
		if err := h.Send(datagram("ip4 10.0.0.1>192.0.2.1 / udp 1>2")); !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("raw: %v, want network is unreachable", err)
		}
	})
}

func TestHostTalksToItself(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, n *lab.Net) {
		n.Network("lan")
		h := n.Host("self", "lan", "10.0.0.1/24", "fd00::1/64").Serve("echo", "udp", 7).Serve("echo", "tcp", 7).Get()
		for _, to := range []string{"127.0.0.1:7", "[::1]:7", "10.0.0.1:7", "[fd00::1]:7"} {
			for _, network := range []string{"udp", "tcp"} {
				c, err := h.Dial(network, to)
				if err != nil {
					t.Errorf("%s %s: %v", network, to, err)
					continue
				}
				fmt.Fprint(c, "hello")
				b := make([]byte, 5)
				c.SetReadDeadline(time.Now().Add(time.Second))
				if _, err := io.ReadFull(c, b); err != nil || string(b) != "hello" {
					t.Errorf("%s %s: %q, %v", network, to, b, err)
				}
				c.Close()
			}
		}
		for _, s := range n.Lab().Sightings() {
			if strings.HasPrefix(s.Text(), "ip4") {
				t.Errorf("the network carried %s", s.Text())
			}
		}
	})
}

// One socket without an address of its own, as QUIC has it.
func TestAddressOfAHostChangesWhileItTalks(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, n *lab.Net) {
		n.Network("lan").Network("wan")
		gw := n.Router("gw", masquerade).On("lan", "192.168.1.1/24", "192.168.2.1/24").On("wan", "203.0.113.1/24")
		client := n.Host("client", "lan", "192.168.1.10/24").Route("default via 192.168.1.1")
		server := n.Host("server", "wan", "203.0.113.9/24").Serve("echo", "udp", 7)
		h := client.Get()
		c, err := h.ListenPacket("udp", ":4000")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ask := func() error {
			if _, err := c.WriteTo([]byte("?"), udpAddr("203.0.113.9:7")); err != nil {
				return err
			}
			c.SetReadDeadline(time.Now().Add(time.Second))
			_, _, err := c.ReadFrom(make([]byte, 9))
			return err
		}
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		old, err := h.DialFrom(context.Background(), "udp", netip.AddrPort{}, "server:7")
		if err != nil {
			t.Fatal(err)
		}
		defer old.Close()
		if err := h.SetAddr("eth0", []string{"192.168.2.20/24"}, "default via 192.168.2.1"); err != nil {
			t.Fatal(err)
		}
		if got := h.Addrs(); len(got) != 1 || got[0].String() != "192.168.2.20" {
			t.Errorf("addresses %v", got)
		}
		if err := ask(); err != nil {
			t.Errorf("the socket does not survive the new address: %v", err)
		}
		if a, err := server.Get().Ping(netip.MustParseAddr("203.0.113.1"), lab.Probe{}); err != nil || !a.Reply {
			t.Error(a, err)
		}
		lines := strings.Join(gw.Get().ConntrackLines(), "\n")
		for _, want := range []string{
			"src=192.168.1.10 dst=203.0.113.9 sport=4000 dport=7 src=203.0.113.9 dst=203.0.113.1 sport=7 dport=4000",
			"src=192.168.2.20 dst=203.0.113.9 sport=4000 dport=7 src=203.0.113.9 dst=203.0.113.1 sport=7 dport=",
		} {
			if !strings.Contains(lines, want) {
				t.Errorf("no connection %s in\n%s", want, lines)
			}
		}
		if strings.Count(lines, "dport=4000") != 1 {
			t.Errorf("the port of the old connection is taken: the new one has another in\n%s", lines)
		}
		if err := h.IP("addr add 192.168.2.20/24 dev eth0"); err == nil {
			t.Error("an address that it has was added again")
		}
		if err := h.IP("addr add 192.168.2.21/24 dev eth9"); err == nil || !strings.Contains(err.Error(), "host client: ip: ") {
			t.Errorf("an interface that it does not have: %v", err)
		}
	})
}

func TestVirtualAndKernelHostsShareALab(t *testing.T) {
	t.Parallel()
	netnstest.Need(t)
	n := lab.New(t).Kernel().Network("lan").Network("wan", lab.Link{Delay: time.Millisecond})
	n.Router("gw", masquerade).On("lan", "192.168.1.1/24").On("wan", "203.0.113.1/24")
	inside := n.Host("inside", "lan", "192.168.1.10/24").Virtual().Serve("echo", "tcp", 7)
	kernel := n.Host("kernel", "lan", "192.168.1.11/24").Serve("echo", "tcp", 7)
	n.Host("outside", "wan", "203.0.113.9/24").Virtual().Serve("echo", "udp", 7).Serve("echo", "tcp", 7)
	for _, h := range []*lab.HostConf{inside, kernel} {
		for _, to := range []string{"udp outside:7", "tcp outside:7", "tcp inside:7", "tcp kernel:7", "tcp 127.0.0.1:7"} {
			network, address, _ := strings.Cut(to, " ")
			c, err := h.Get().Dial(network, address)
			if err != nil {
				t.Errorf("%s to %s: %v", h.Get().Name, to, err)
				continue
			}
			if err := exchange(c, 1000); err != nil {
				t.Errorf("%s to %s: %v", h.Get().Name, to, err)
			}
			c.Close()
		}
	}
}

func TestAHostOfTheKernelHasNoVirtualTime(t *testing.T) {
	t.Parallel()
	top, err := topology.Parse("mixed.yaml", []byte("networks: [{name: lan}]\nhosts:\n  - {name: a, kind: kernel, network: lan, addresses: [10.0.0.1/24]}\n"), ".")
	if err != nil {
		t.Fatal(err)
	}
	l, err := lab.Open(top, lab.Options{Mode: lab.Virtual})
	var m *topology.Mistake
	if !errors.As(err, &m) || m.Position != "mixed.yaml:3" {
		t.Errorf("%v, want the writer's mistake with its line", err)
	}
	if l != nil {
		l.Close()
	}
}

// A connection belongs to its addresses: without them nothing of it moves, and when they come back in time it goes on.
func TestTCPWaitsForTheAddressOfItsConnection(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, n *lab.Net) {
		n.Network("lan")
		h := n.Host("client", "lan", "10.0.0.1/24")
		n.Host("server", "lan", "10.0.0.9/24").Serve("echo", "tcp", 7)
		c, err := h.Get().Dial("tcp", "server:7")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := exchange(c, 100); err != nil {
			t.Fatal(err)
		}
		if err := h.Get().SetAddr("eth0", []string{"10.0.0.2/24"}); err != nil {
			t.Fatal(err)
		}
		before := len(n.Lab().Host("server").Received())
		if err := exchange(c, 100); err == nil {
			t.Error("a connection from an address that is gone goes on")
		}
		for _, got := range n.Lab().Host("server").Received()[before:] {
			if !strings.HasSuffix(got.Text(), "len=0") { // a last acknowledgement may have been on its way
				t.Errorf("the server got %s", got.Text())
			}
		}
		if err := h.Get().SetAddr("eth0", []string{"10.0.0.1/24"}); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.ReadFull(c, make([]byte, 100)); err != nil {
			t.Errorf("with its address back: %v", err)
		}
	})
}
