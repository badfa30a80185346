package lab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/moat-router/moat/integration/lab"
	"github.com/moat-router/moat/integration/lab/topology"
	"github.com/moat-router/moat/integration/lab/wire"
	"github.com/moat-router/moat/stack/netns/netnstest"
)

const masquerade = `*nat
-A POSTROUTING -o wan -j MASQUERADE
COMMIT
`

// home is a laptop behind a masquerading router, and a server outside that knows no way to private addresses.
func home(t lab.TB) (n *lab.Net, laptop, server *lab.HostConf, gw *lab.RouterConf) {
	n = lab.New(t).Network("lan").Network("wan")
	gw = n.Router("gw", masquerade).On("lan", "192.168.1.1/24").On("wan", "203.0.113.1/24")
	laptop = n.Host("laptop", "lan", "192.168.1.10/24")
	server = n.Host("server", "wan", "203.0.113.9/24").Route("10.0.0.0/8 via 203.0.113.1")
	return n, laptop, server, gw
}

func TestSocketsWorkThroughNAT(t *testing.T) {
	t.Parallel()
	n, laptop, server, gw := home(t)
	n.Never("wan", "ip4 192.168.0.0/16>")
	server.Serve("echo", "udp", 7).Serve("echo", "tcp", 7)
	for _, network := range []string{"udp", "tcp"} {
		c, err := laptop.Get().Dial(network, "server:7")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, "hello")
		b := make([]byte, 5)
		c.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := io.ReadFull(c, b); err != nil || string(b) != "hello" {
			t.Errorf("%s: %q, %v", network, b, err)
		}
		c.Close()
	}
	if lines := gw.Get().ConntrackLines(); len(lines) != 2 {
		t.Errorf("connections: %v", lines)
	}
	if got := server.Get().Received(); len(got) == 0 || !strings.HasPrefix(got[0].Text(), "ip4 203.0.113.1>203.0.113.9") {
		t.Errorf("the server sees %v", got)
	}
}

func TestHTTPOfTheStandardLibraryRunsInALab(t *testing.T) {
	t.Parallel()
	_, laptop, server, _ := home(t)
	l, err := server.Get().Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "you are ", r.RemoteAddr) })}
	go s.Serve(l)
	defer s.Close()
	r, err := laptop.Get().HTTPClient().Get("http://server/")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if b, _ := io.ReadAll(r.Body); !strings.HasPrefix(string(b), "you are 203.0.113.1:") {
		t.Errorf("body %q, want the router's public address", b)
	}
}

// answer is a name server that knows one name.
func answer(c net.PacketConn) {
	b := make([]byte, 1500)
	for {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(b[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		m.Response = true
		m.Additionals = nil
		if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60},
				Body:   &dnsmessage.AResource{A: [4]byte{198, 51, 100, 7}},
			}}
		}
		if reply, err := m.Pack(); err == nil {
			c.WriteTo(reply, from)
		}
	}
}

func TestResolverAsksInsideTheLab(t *testing.T) {
	t.Parallel()
	_, laptop, server, _ := home(t)
	c, err := server.Get().ListenPacket("udp", ":53")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go answer(c)
	got, err := laptop.Get().Resolver(netip.MustParseAddrPort("203.0.113.9:53")).LookupHost(context.Background(), "www.example.org.")
	if err != nil || len(got) != 1 || got[0] != "198.51.100.7" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestVirtualTimeEndsBindings(t *testing.T) {
	t.Parallel()
	n, laptop, server, gw := home(t)
	server.Serve("echo", "udp", 7)
	c, err := laptop.Get().Dial("udp", "server:7")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "?")
	n.Advance(29 * time.Second)
	if len(gw.Get().ConntrackLines()) != 1 {
		t.Error("a UDP binding lives for 30 s (nf_conntrack_udp_timeout)")
	}
	n.Advance(2 * time.Second)
	if lines := gw.Get().ConntrackLines(); len(lines) != 0 {
		t.Errorf("after 31 s: %v", lines)
	}
	n.Advance(24 * time.Hour) // a day passes as fast as a second
}

// run is a conversation over a bad line, as a timeline.
func run(t *testing.T, seed uint64) string {
	n := lab.New(t).Seed(seed).Network("line", lab.Link{Delay: 10 * time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.1, Duplicate: 0.05, Reorder: 0.05})
	a := n.Host("a", "line", "10.0.0.1/24")
	b := n.Host("b", "line", "10.0.0.2/24").Serve("echo", "udp", 7)
	c, err := a.Get().Dial("udp", "b:7")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 100 {
		c.Write([]byte("x"))
		n.Advance(time.Millisecond)
	}
	n.Advance(time.Second)
	lines := n.Lab().Timeline()
	if got := len(b.Get().Received()); got < 70 || got > 110 {
		t.Errorf("of 100 datagrams %d arrived", got)
	}
	// Which port the socket took is gVisor's choice.
	_, port, _ := net.SplitHostPort(c.LocalAddr().String())
	return strings.ReplaceAll(lines, port, "PORT")
}

func TestSameSeedIsTheSameRun(t *testing.T) {
	t.Parallel()
	if a, b := run(t, 3), run(t, 3); a != b {
		t.Errorf("two runs with seed 3 differ:\n%s\n%s", a, b)
	}
	if a, b := run(t, 3), run(t, 4); a == b {
		t.Error("seeds 3 and 4 give the same run")
	}
}

func TestPingReadsErrorsOffTheWire(t *testing.T) {
	t.Parallel()
	_, laptop, server, _ := home(t)
	h := laptop.Get()
	dst := server.Get().Addrs()[0]
	if a, err := h.Ping(dst, lab.Probe{}); err != nil || !a.Reply || a.From != dst {
		t.Errorf("%v, %v", a, err)
	}
	if a, err := h.Ping(dst, lab.Probe{TTL: 1}); err != nil || a.Reply || a.String() != "icmp 11/0 from 192.168.1.1" {
		t.Errorf("TTL 1: %v, %v", a, err)
	}
	if a, err := h.Ping(dst, lab.Probe{UDP: 33434}); err != nil || a.String() != "icmp 3/3 from 203.0.113.9" {
		t.Errorf("UDP: %v, %v", a, err)
	}
	if _, err := h.Ping(netip.MustParseAddr("203.0.113.77"), lab.Probe{}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("nobody: %v", err)
	}
	if _, err := h.Ping(netip.MustParseAddr("fd00::1"), lab.Probe{}); err == nil {
		t.Error("a host without an IPv6 address pinged one")
	}
}

// witness is a TB that keeps what it is told.
type witness struct {
	t      *testing.T
	failed bool
	said   strings.Builder
	end    []func()
}

func (w *witness) Helper()                   {}
func (w *witness) Name() string              { return w.t.Name() }
func (w *witness) Failed() bool              { return w.failed }
func (w *witness) Cleanup(f func())          { w.end = append(w.end, f) }
func (w *witness) Logf(f string, a ...any)   { fmt.Fprintf(&w.said, f+"\n", a...) }
func (w *witness) Errorf(f string, a ...any) { w.failed = true; w.Logf(f, a...) }
func (w *witness) Fatalf(f string, a ...any) { w.Errorf(f, a...); panic(w) }
func (w *witness) run(f func(lab.TB)) (s string) {
	defer func() {
		if r := recover(); r != nil && r != any(w) {
			panic(r)
		}
		for _, f := range w.end {
			f()
		}
		s = w.said.String()
	}()
	f(w)
	return ""
}

func TestFailureComesWithTimelineAndCaptures(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("MOAT_LAB_PCAP", dir)
	w := &witness{t: t}
	said := w.run(func(tb lab.TB) {
		n, laptop, server, _ := home(tb)
		n.Never("wan", "ip4 203.0.113.1> / icmp 8")
		laptop.Get().Ping(server.Get().Addrs()[0], lab.Probe{})
	})
	for _, want := range []string{"never ip4 203.0.113.1> / icmp 8", "it happened 1 times", "laptop → gw  (lan)  ip4 192.168.1.10>203.0.113.9", "captures: " + dir} {
		if !strings.Contains(said, want) {
			t.Errorf("the log does not say %q:\n%s", want, said)
		}
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*", "*.pcapng"))
	if len(files) != 4 {
		t.Errorf("captures: %v, want one for each of four interfaces", files)
	}
	for _, f := range files {
		if s, err := os.Stat(f); err != nil || s.Size() < 200 {
			t.Errorf("%s: no packets in it", f)
		}
	}
}

func TestMistakesEndTheTestWithASentence(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		use  func(lab.TB)
		want string
	}{
		"no network":       {func(tb lab.TB) { lab.New(tb).Host("a", "lan", "10.0.0.1/24").Get() }, `no network "lan"`},
		"no prefix length": {func(tb lab.TB) { lab.New(tb).Network("lan").Host("a", "lan", "10.0.0.1").Get() }, "prefix length"},
		"rules": {func(tb lab.TB) {
			lab.New(tb).Network("lan").Router("gw", "*filter\n-A FORWARD -j FLY\nCOMMIT\n").On("lan", "10.0.0.1/24").Get()
		}, "gw.rules.v4"},
		"too late": {func(tb lab.TB) {
			n := lab.New(tb).Network("lan")
			n.Lab()
			n.Network("wan")
		}, "before the first use"},
		"pattern": {func(tb lab.TB) { lab.New(tb).Network("lan").Never("lan", "ipx").Lab() }, `"ipx"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &witness{t: t}
			if said := w.run(tt.use); !w.failed || !strings.Contains(said, tt.want) {
				t.Errorf("said %q, want %q", said, tt.want)
			}
		})
	}
}

func TestClosedKernelLabLeavesNoDescriptor(t *testing.T) {
	netnstest.Need(t) // not parallel: descriptors are counted
	count := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	use := func() {
		l, err := lab.Open(topology.DMZ().WithRules("fw", topology.DMZRulesV4, topology.DMZRulesV6), lab.Options{Mode: lab.Kernel})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if _, err := l.Host("X").Serve(0, "udp", netip.MustParseAddrPort("192.168.1.10:53")); err != nil {
			t.Error(err)
		}
		if a, err := l.Host("X").Ping(netip.MustParseAddr(topology.OutsideAddr), lab.Probe{}); err != nil || !a.Reply {
			t.Errorf("%v, %v\n%s", a, err, l.Timeline())
		}
	}
	use() // the runtime keeps what its poller needs
	before := count()
	use()
	if after := count(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestWatchersSeeEveryFate(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Network("wire")
	a := n.Host("a", "wire", "10.0.0.1/24")
	n.Host("b", "wire", "10.0.0.2/24")
	var fates []wire.Fate
	defer n.Lab().Watch(func(s wire.Sighting) { fates = append(fates, s.Fate) })()
	n.Lab().Network("wire").SetUp(false)
	a.Get().Ping(netip.MustParseAddr("10.0.0.2"), lab.Probe{})
	n.Lab().Network("wire").SetUp(true)
	a.Get().Ping(netip.MustParseAddr("10.0.0.3"), lab.Probe{})
	if len(fates) != 2 || fates[0] != wire.Down || fates[1] != wire.NoNeighbour {
		t.Errorf("fates %v, want link down and no neighbour", fates)
	}
}
