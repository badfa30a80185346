package lab_test

import (
	"context"
	"fmt"
	"io"
	"os"
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

// A line whose directions differ, and a phone that leaves it for another network while it talks.
func ExampleHost_IP() {
	t := new(tb) // a *testing.T
	defer t.end()

	n := lab.New(t).Network("wifi").Network("lte", lab.Link{Delay: 20 * time.Millisecond}).Network("internet")
	for i, uplink := range []string{"wifi", "lte"} {
		n.Router("nat-"+uplink, "*nat\n-A POSTROUTING -o internet -j MASQUERADE\nCOMMIT\n").
			On(uplink, fmt.Sprintf("10.0.%d.1/24", i)).On("internet", fmt.Sprintf("198.51.100.%d/24", 1+i))
	}
	phone := n.Host("phone", "wifi", "10.0.0.20/24").Out(lab.Link{Rate: 1e6}).In(lab.Link{Rate: 16e6}).
		On("lte", "10.0.1.20/24").
		Route("default via 10.0.0.1 metric 100", "default via 10.0.1.1 metric 600")
	server := n.Host("server", "internet", "198.51.100.9/24").Serve("echo", "udp", 7)

	c, err := phone.Get().ListenPacket("udp", ":4000")
	if err != nil {
		t.Fatalf("%v", err)
	}
	ask := func() {
		c.WriteTo([]byte("hello"), udpAddr("198.51.100.9:7"))
		c.ReadFrom(make([]byte, 16))
		seen := server.Get().Received()
		fmt.Println(seen[len(seen)-1].Text())
	}
	ask()
	if err := phone.Get().IP("link set wifi down"); err != nil {
		t.Fatalf("%v", err)
	}
	ask()
	// Output:
	// ip4 198.51.100.1>198.51.100.9 ttl=63 id=0x1 df / udp 4000>7 len=5
	// ip4 198.51.100.2>198.51.100.9 ttl=63 id=0x1 df / udp 4000>7 len=5
}

// A split horizon: who asks inside is told another address than who asks outside.
func ExampleHostConf_NameServer() {
	t := new(tb) // a *testing.T
	defer t.end()

	n := lab.New(t).Network("home").Network("internet")
	n.Router("gw", "*nat\n-A PREROUTING -i internet -p tcp --dport 80 -j DNAT --to 192.168.1.80\n-A POSTROUTING -o internet -j MASQUERADE\nCOMMIT\n").
		On("home", "192.168.1.1/24").On("internet", "203.0.113.1/24")
	n.Host("www", "home", "192.168.1.80/24").Serve("http", "tcp", 80)
	n.Host("inner", "home", "192.168.1.53/24").NameServer("example.org")
	n.Host("outer", "internet", "203.0.113.53/24").NameServer("example.org", "www A 203.0.113.1").Tells("internet")
	laptop := n.Host("laptop", "home", "192.168.1.10/24")
	far := n.Host("far", "internet", "203.0.113.9/24")
	for _, h := range []*lab.HostConf{laptop, far} {
		fmt.Println(h.Get().Lookup(context.Background(), "", "www.example.org"))
		r, err := h.Get().HTTPClient().Get("http://www.example.org/")
		if err != nil {
			t.Fatalf("%v", err)
		}
		io.Copy(os.Stdout, r.Body)
		r.Body.Close()
	}
	// Output:
	// 192.168.1.80 <nil>
	// hello from moat
	// 203.0.113.1 <nil>
	// hello from moat
}
