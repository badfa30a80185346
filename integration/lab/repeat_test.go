package lab_test

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/moat-router/moat/integration/lab"
)

// conversation is a bit of everything behind a NAT on networks with jitter and loss; it gives the captures by file name.
func conversation(t *testing.T, seed uint64, tcp bool) map[string][]byte {
	t.Helper()
	n := lab.New(t).Seed(seed).Network("lan", lab.Link{Delay: time.Millisecond, Jitter: time.Millisecond}).Network("wan", lab.Link{Loss: 0.1})
	n.Router("gw", masquerade+"*filter\n-A FORWARD -p udp --dport 99 -j REJECT\nCOMMIT\n").On("lan", "192.168.1.1/24", "fd00:1::1/64").On("wan", "203.0.113.1/24", "fd00:2::1/64")
	n.Host("server", "wan", "203.0.113.9/24", "fd00:2::9/64").Serve("echo", "udp", 7).Serve("echo", "tcp", 7)
	var confs []*lab.HostConf
	for i := range 3 {
		confs = append(confs, n.Host(fmt.Sprint("h", i), "lan", fmt.Sprintf("192.168.1.%d/24", 10+i), fmt.Sprintf("fd00:1::%d/64", 10+i)))
	}
	for i, conf := range confs {
		h := conf.Get()
		for _, to := range []string{"203.0.113.9", "fd00:2::9"} {
			h.Ping(netip.MustParseAddr(to), lab.Probe{Size: 100 * i})
			h.Ping(netip.MustParseAddr(to), lab.Probe{TTL: 1})
			c, err := h.Dial("udp", netip.AddrPortFrom(netip.MustParseAddr(to), 7).String())
			if err != nil {
				t.Fatal(err)
			}
			for size := 1; size < 5000; size *= 7 {
				c.Write(make([]byte, size))
				c.SetReadDeadline(time.Now().Add(time.Hour))
			}
			d, _ := h.Dial("udp", netip.AddrPortFrom(netip.MustParseAddr(to), 99).String())
			d.Write([]byte("refused"))
			if !tcp {
				continue
			}
			s, err := h.Dial("tcp", netip.AddrPortFrom(netip.MustParseAddr(to), 7).String())
			if err != nil {
				t.Fatal(err)
			}
			s.Write(make([]byte, 10000))
			io.ReadFull(s, make([]byte, 10000))
			s.Close()
		}
	}
	n.Advance(time.Minute)
	dir := t.TempDir()
	if err := n.Lab().WriteCaptures(dir); err != nil {
		t.Fatal(err)
	}
	names, _ := filepath.Glob(filepath.Join(dir, "*.pcapng"))
	got := map[string][]byte{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got[filepath.Base(name)] = b
	}
	return got
}

func TestSameSeedGivesTheSameCapture(t *testing.T) {
	t.Parallel()
	for _, tcp := range []bool{false, true} {
		a, b, other := conversation(t, 7, tcp), conversation(t, 7, tcp), conversation(t, 8, tcp)
		if len(a) != 6 || len(a) != len(b) {
			t.Fatalf("captures of %d and %d interfaces, want 6", len(a), len(b))
		}
		differ := false
		for name := range a {
			if !bytes.Equal(a[name], b[name]) {
				t.Errorf("tcp %v: %s: two runs with one seed differ: %d and %d bytes", tcp, name, len(a[name]), len(b[name]))
			}
			differ = differ || !slices.Equal(a[name], other[name])
		}
		if !differ {
			t.Error("another seed gives the same run")
		}
	}
}
