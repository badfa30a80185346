package lab_test

import (
	"fmt"
	"time"

	"github.com/moat-router/moat/integration/lab"
	"github.com/moat-router/moat/integration/lab/topology"
)

// A topology from a file or a constant, made to run, and asked what happened on the wire.
func Example() {
	top, err := topology.Parse("example", []byte(`
networks: [{name: lan}, {name: wan, delay: 10ms}]
routers:
  - name: gw
    interfaces:
      - {name: lan, addresses: [192.168.1.1/24]}
      - {name: wan, addresses: [203.0.113.1/24]}
    rules:
      v4: |
        *nat
        -A POSTROUTING -o wan -j MASQUERADE
        COMMIT
hosts:
  - {name: laptop, network: lan, addresses: [192.168.1.10/24], routes: [default via 192.168.1.1]}
  - {name: server, network: wan, addresses: [203.0.113.9/24]}
`), ".")
	if err != nil {
		panic(err)
	}
	l, err := lab.Open(top, lab.Options{Mode: lab.Virtual})
	if err != nil {
		panic(err)
	}
	defer l.Close()
	if err := l.Host("laptop").Send(datagram("ip4 192.168.1.10>203.0.113.9 / udp 4000>53 len=8")); err != nil {
		panic(err)
	}
	l.Advance(time.Second)
	for _, s := range l.Host("server").Received() {
		fmt.Println(time.Duration(s.At), s.Text())
	}
	// Output:
	// 10ms ip4 203.0.113.1>203.0.113.9 ttl=63 id=0x1234 / udp 4000>53 len=8
}

// In a test New takes *testing.T; anything with its methods will do.
func ExampleNew() {
	t := new(tb) // a *testing.T
	defer t.end()

	n := lab.New(t).Network("lan").Network("wan")
	n.Router("gw", "*nat\n-A POSTROUTING -o wan -j MASQUERADE\nCOMMIT\n").On("lan", "192.168.1.1/24").On("wan", "203.0.113.1/24")
	laptop := n.Host("laptop", "lan", "192.168.1.10/24")
	server := n.Host("server", "wan", "203.0.113.9/24").Serve("echo", "udp", 7)
	n.Never("wan", "ip4 192.168.0.0/16>")

	c, err := laptop.Get().Dial("udp", "server:7")
	if err != nil {
		t.Fatalf("%v", err)
	}
	fmt.Fprint(c, "hello")
	reply := make([]byte, 16)
	k, err := c.Read(reply)
	fmt.Println(string(reply[:k]), err)

	pong, err := laptop.Get().Ping(server.Get().Addrs()[0], lab.Probe{})
	fmt.Println(pong, err)
	// Output:
	// hello <nil>
	// reply from 203.0.113.9 <nil>
}
