package host_test

import (
	"context"
	"fmt"
	"io"
	"net/netip"

	"github.com/moat-router/moat/stack/host"
	"github.com/moat-router/moat/stack/link"
)

// Two computers on one cable. No time passes but what the network needs, and no goroutine is involved.
func Example() {
	clock := host.NewClock()
	network := host.NewNetwork(clock)
	a, b := link.Pipe("a", "b", link.PipeOptions{})
	join := func(l link.Link, addr string) *host.Host {
		h, err := host.NewHost(l, host.HostConfig{Addresses: []netip.Prefix{netip.MustParsePrefix(addr)}, Clock: clock, Wait: network.Wait})
		if err != nil {
			panic(err)
		}
		network.Add(h.Pump)
		return h
	}
	alice, bob := join(a, "10.0.0.1/24"), join(b, "10.0.0.2/24")
	defer alice.Close()
	defer bob.Close()

	pong, err := alice.Ping(netip.MustParseAddr("10.0.0.2"), host.Probe{Size: 56})
	fmt.Println(pong, err)

	bob.Serve(host.Echo, "tcp", netip.MustParseAddrPort("0.0.0.0:7"))
	c, err := alice.DialTCP(context.Background(), netip.AddrPort{}, netip.MustParseAddrPort("10.0.0.2:7"))
	if err != nil {
		panic(err)
	}
	defer c.Close()
	fmt.Fprint(c, "hello")
	buf := make([]byte, 5)
	io.ReadFull(c, buf)
	fmt.Println(string(buf))
	// Output:
	// reply from 10.0.0.2: ttl=64 time=0s <nil>
	// hello
}
