package lab_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moat-router/moat/integration/lab"
)

// split is a house with a web server behind port forwarding: its own name server tells the private address, that of
// the internet the public one.
func split(n *lab.Net) (laptop, far *lab.HostConf) {
	n.Network("home").Network("internet", lab.Link{Delay: time.Millisecond})
	n.Router("gw", "*nat\n-A PREROUTING -i internet -p tcp --dport 80 -j DNAT --to 192.168.1.80\n-A POSTROUTING -o internet -j MASQUERADE\nCOMMIT\n").
		On("home", "192.168.1.1/24").On("internet", "203.0.113.1/24")
	n.Host("web", "home", "192.168.1.80/24", "fd00:1::80/64").Serve("http", "tcp", 80)
	n.Host("inner", "home", "192.168.1.53/24").NameServer("example.org", "www CNAME web", "@ MX 10 mail.example.com.")
	n.Host("outer", "internet", "203.0.113.53/24").NameServer("example.org", "www A 203.0.113.1", "web A 203.0.113.1").Tells("internet")
	laptop = n.Host("laptop", "home", "192.168.1.10/24")
	far = n.Host("far", "internet", "203.0.113.9/24")
	return laptop, far
}

func TestNamesAreAskedForByPackets(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, n *lab.Net) {
		laptop, far := split(n)
		ctx := context.Background()
		for _, tt := range []struct {
			host         *lab.HostConf
			family, name string
			want         string
		}{
			{laptop, "4", "www.example.org", "192.168.1.80"},
			{laptop, "4", "www", "192.168.1.80"},
			{laptop, "6", "web", "fd00:1::80"},
			{far, "4", "www.example.org", "203.0.113.1"},
			{far, "4", "web.example.org.", "203.0.113.1"},
			{far, "", "outer", "203.0.113.53"},
		} {
			if got, err := tt.host.Get().Lookup(ctx, tt.family, tt.name); err != nil || got.String() != tt.want {
				t.Errorf("%s for %s: %v %v, want %s", tt.name, tt.host.Get().Name, got, err, tt.want)
			}
		}
		var none *net.DNSError
		if _, err := far.Get().Lookup(ctx, "", "laptop"); !errors.As(err, &none) || !none.IsNotFound {
			t.Errorf("the internet knows a private name: %v", err)
		}
		if got, err := laptop.Get().LookupRecords(ctx, "MX", "example.org"); err != nil || !slices.Equal(got, []string{"10 mail.example.com."}) {
			t.Errorf("MX: %v, %v", got, err)
		}
		if got, err := laptop.Get().LookupRecords(ctx, "PTR", "80.1.168.192.in-addr.arpa"); err != nil || !slices.Equal(got, []string{"web.example.org."}) {
			t.Errorf("PTR: %v, %v", got, err)
		}
		for _, h := range []*lab.HostConf{laptop, far} {
			r, err := h.Get().HTTPClient().Get("http://www.example.org/")
			if err != nil {
				t.Fatal(err)
			}
			if b, _ := io.ReadAll(r.Body); !strings.HasPrefix(string(b), "hello") {
				t.Errorf("the page is %q", b)
			}
			r.Body.Close()
		}
		if got, err := n.Lab().Host("inner").Lookup(ctx, "4", "www"); err != nil || got.String() != "192.168.1.80" {
			t.Errorf("a name server asks itself: %v %v", got, err)
		}
		asked := false
		for _, s := range n.Lab().Host("inner").Received() {
			asked = asked || strings.HasPrefix(s.Text(), "ip4 192.168.1.10>192.168.1.53") && strings.Contains(s.Text(), ">53")
		}
		if !asked {
			t.Error("the name server was not asked")
		}
	})
}

func TestResolverOfAHostAsksItsNameServer(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, n *lab.Net) {
		laptop, _ := split(n)
		got, err := laptop.Get().Resolver().LookupHost(context.Background(), "web.example.org.")
		slices.Sort(got)
		if err != nil || !slices.Equal(got, []string{"192.168.1.80", "fd00:1::80"}) {
			t.Errorf("%v, %v", got, err)
		}
		got, err = laptop.Get().Resolver(netip.MustParseAddrPort("203.0.113.53:53")).LookupHost(context.Background(), "web.example.org.")
		if err != nil || !slices.Equal(got, []string{"203.0.113.1"}) {
			t.Errorf("another name server: %v, %v", got, err)
		}
	})
}

func TestNameServerBehindAForwardedPort(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, n *lab.Net) {
		n.Network("lan").Network("wan")
		n.Router("gw", "*nat\n-A PREROUTING -i lan -d 192.168.1.1 -p udp --dport 53 -j DNAT --to 203.0.113.53\n"+
			"-A PREROUTING -i lan -d 192.168.1.1 -p tcp --dport 53 -j DNAT --to 203.0.113.53\n-A POSTROUTING -o wan -j MASQUERADE\nCOMMIT\n").
			On("lan", "192.168.1.1/24").On("wan", "203.0.113.1/24")
		big := slices.Repeat([]string{`big TXT "` + strings.Repeat("x", 200) + `"`}, 9)
		n.Host("ns", "wan", "203.0.113.53/24").NameServer("", append(big, "www A 203.0.113.80")...)
		laptop := n.Host("laptop", "lan", "192.168.1.10/24").Asks("192.168.1.1").Get()
		if got, err := laptop.Lookup(context.Background(), "", "www"); err != nil || got.String() != "203.0.113.80" {
			t.Errorf("%v, %v", got, err)
		}
		if got, err := laptop.LookupRecords(context.Background(), "TXT", "big"); err != nil || len(got) != 9 {
			t.Errorf("an answer that needs TCP: %d records, %v", len(got), err)
		}
	})
}

func TestNameServerThatIsGoneIsATimeout(t *testing.T) {
	t.Parallel()
	n := lab.New(t)
	laptop, _ := split(n)
	h := laptop.Get()
	n.Lab().Host("inner").Link("eth0").SetUp(false)
	start := n.Lab().Time()
	_, err := h.Dial("tcp", "www.example.org:80")
	var e *net.DNSError
	if !errors.As(err, &e) || !e.IsTimeout {
		t.Errorf("%v, want a timeout", err)
	}
	if took := n.Lab().Time().Sub(start); took < 3900*time.Millisecond || took > 4100*time.Millisecond {
		t.Errorf("it took %v of the lab's time, want two attempts of 2 s", took)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	start = n.Lab().Time()
	if _, err := h.Lookup(ctx, "", "www"); !errors.As(err, &e) || !e.IsTimeout {
		t.Errorf("%v, want a timeout", err)
	}
	if took := n.Lab().Time().Sub(start); took > 500*time.Millisecond {
		t.Errorf("with 500 ms to go it took %v", took)
	}
}

func TestNameServerKeepsAnsweringAtItsNewAddress(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, n *lab.Net) {
		n.Network("lan")
		ns := n.Host("ns", "lan", "10.0.0.53/24", "10.0.0.54/24").NameServer("", "www A 10.0.0.80")
		client := n.Host("client", "lan", "10.0.0.1/24").Asks("10.0.0.55", "10.0.0.54").Get()
		if err := ns.Get().SetAddr("eth0", []string{"10.0.0.55/24"}); err != nil {
			t.Fatal(err)
		}
		if got, err := client.Lookup(context.Background(), "", "www"); err != nil || got.String() != "10.0.0.80" {
			t.Errorf("%v, %v", got, err)
		}
	})
}

func TestSameSeedAsksWithTheSameDatagrams(t *testing.T) {
	t.Parallel()
	run := func() string {
		n := lab.New(t)
		laptop, far := split(n)
		for _, h := range []*lab.HostConf{laptop, far} {
			h.Get().Lookup(context.Background(), "", "www")
			h.Get().Lookup(context.Background(), "", "nobody")
		}
		return n.Lab().Timeline()
	}
	if a, b := run(), run(); a != b || !strings.Contains(a, ">53") {
		t.Errorf("two runs differ:\n%s\n%s", a, b)
	}
}

func TestNameOfADualStackHostIsReachedByTheFamilyThatWorks(t *testing.T) {
	t.Parallel()
	for _, servers := range []bool{false, true} {
		bothKinds(t, func(t *testing.T, n *lab.Net) {
			n.Network("lan")
			both := n.Host("both", "lan", "10.0.0.2/24", "fd00::2/64").Serve("echo", "tcp", 7)
			if servers {
				both.NameServer("")
			}
			for name, address := range map[string]string{"four": "10.0.0.4/24", "six": "fd00::6/64"} {
				h := n.Host(name, "lan", address)
				if servers && name == "six" {
					h.Asks("fd00::2")
				}
			}
			for _, name := range []string{"four", "six"} {
				c, err := n.Lab().Host(name).Dial("tcp", "both:7")
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				if err := exchange(c, 5); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				c.Close()
			}
		})
	}
}
