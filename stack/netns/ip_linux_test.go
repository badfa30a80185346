package netns_test

import (
	"bytes"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/moat-router/moat/stack/netns"
	"github.com/moat-router/moat/stack/netns/netnstest"
)

// dummy is a namespace with interfaces d0 and d1 that are up, and a view of it.
func dummy(t *testing.T) (*netns.NS, *netns.View) {
	t.Helper()
	netnstest.Need(t)
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	err = ns.Do(func() error {
		for _, name := range []string{"d0", "d1"} {
			l := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: name}}
			if err := netlink.LinkAdd(l); err != nil {
				return err
			}
			if err := netlink.LinkSetUp(l); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Skipf("this kernel has no dummy interfaces: %v", err)
	}
	v, err := ns.View()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return ns, v
}

func TestIPChangesWhatTheKernelKnows(t *testing.T) {
	t.Parallel()
	ns, v := dummy(t)
	far := netip.MustParseAddr("198.51.100.9")
	gateway := func(dev string) string {
		gw := v.Gateway(dev, netip.Addr{}, far)
		if !gw.IsValid() {
			return "none"
		}
		return gw.String()
	}
	for _, step := range []struct{ run, d0, gw0, gw1, source string }{
		{"ip addr add 10.0.0.1/24 dev d0; addr add 10.1.0.1/24 dev d1", "10.0.0.1", "none", "none", "invalid IP"},
		{"route add default via 10.0.0.254", "10.0.0.1", "10.0.0.254", "none", "10.0.0.1"},
		{"route add default via 10.1.0.254 metric 5 proto static", "10.0.0.1", "10.0.0.254", "10.1.0.254", "10.0.0.1"},
		{"route replace default via 10.0.0.253 dev d0", "10.0.0.1", "10.0.0.253", "10.1.0.254", "10.0.0.1"},
		{"addr replace 10.0.0.2/24 dev d0", "10.0.0.1 10.0.0.2", "10.0.0.253", "10.1.0.254", "10.0.0.1"},
		{"route del default via 10.0.0.253", "10.0.0.1 10.0.0.2", "none", "10.1.0.254", "10.1.0.1"},
		{"route add default via 10.0.0.9 table 7; rule add to 198.51.100.0/24 priority 10 lookup 7", "10.0.0.1 10.0.0.2", "10.0.0.9", "10.1.0.254", "10.0.0.1"},
		{"rule del to 198.51.100.0/24 priority 10 lookup 7", "10.0.0.1 10.0.0.2", "none", "10.1.0.254", "10.1.0.1"},
		{"addr flush dev d0; addr add 10.0.0.3/24 dev d0", "10.0.0.3", "none", "10.1.0.254", "10.1.0.1"},
		{"link set d1 down", "10.0.0.3", "none", "none", "invalid IP"},
	} {
		if err := ns.IP(step.run); err != nil {
			t.Fatal(err)
		}
		var have []string
		addrs, up, err := v.Interface("d0")
		for _, a := range addrs {
			if a.Is4() {
				have = append(have, a.String())
			}
		}
		if got := strings.Join(have, " "); err != nil || !up || got != step.d0 {
			t.Errorf("%s: d0 has %s (up %v, %v), want %s", step.run, got, up, err, step.d0)
		}
		if g0, g1, src := gateway("d0"), gateway("d1"), v.Source(far).String(); g0 != step.gw0 || g1 != step.gw1 || src != step.source {
			t.Errorf("%s: gateways %s and %s, source %s; want %s, %s and %s", step.run, g0, g1, src, step.gw0, step.gw1, step.source)
		}
	}
	if _, up, err := v.Interface("d1"); up || err != nil {
		t.Errorf("d1 is up: %v, %v", up, err)
	}
	for bad, want := range map[string]string{
		"addr":                          "want addr, route, rule or link",
		"neigh add 10.0.0.1 dev d0":     `"neigh" is none of`,
		"addr add 10.0.0.1/24":          "want ADDRESS/LENGTH dev NAME",
		"addr move 10.0.0.1/24 dev d0":  "want add, replace, del or flush",
		"addr add 10.9.0.1/24 dev d9":   "not found",
		"addr del 10.9.0.1/24 dev d0":   "cannot assign",
		"route find default":            "want add, replace",
		"route add default via nowhere": "not an address",
		"rule add from here lookup 7":   "want an address or a prefix",
		"rule add from 10.0.0.1":        "", // Linux takes a rule without a table for one that asks main
		"link set d0 sideways":          "want up, down or mtu N",
		"link show d0":                  "only set",
	} {
		if err := ns.IP(bad); want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %s", bad, err, want)
		}
	}
}

func TestWatchHearsOfChanges(t *testing.T) {
	t.Parallel()
	ns, _ := dummy(t)
	heard := make(chan struct{}, 100)
	stop, err := ns.Watch(func() { heard <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range []string{"addr add 10.0.0.1/24 dev d0", "route add 192.0.2.0/24 via 10.0.0.9", "addr add fd00::1/64 dev d0", "link set d0 down"} {
		for len(heard) > 0 {
			<-heard
		}
		if err := ns.IP(run); err != nil {
			t.Fatal(err)
		}
		select {
		case <-heard:
		case <-time.After(5 * time.Second):
			t.Errorf("%s was not heard", run)
		}
	}
	stop()
	for len(heard) > 0 {
		<-heard
	}
	if err := ns.IP("link set d0 up"); err != nil {
		t.Fatal(err)
	}
	if len(heard) > 0 {
		t.Error("it hears after its end")
	}
}

func TestCoveredFilesAreSeenInsideOnly(t *testing.T) {
	t.Parallel()
	netnstest.Need(t)
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	file := t.TempDir() + "/conf"
	if err := os.WriteFile(file, []byte("outside\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ns.Cover(map[string]string{file + "x": "?"}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a file that is not there: %v", err)
	}
	temporary := func() []string {
		list, _ := os.ReadDir(os.TempDir())
		var names []string
		for _, e := range list {
			if strings.HasPrefix(e.Name(), "moat-") && !e.IsDir() {
				names = append(names, e.Name())
			}
		}
		return names
	}
	before := temporary()
	c, err := ns.Cover(map[string]string{file: "inside\n"})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		cmd := exec.Command("cat", file)
		var out bytes.Buffer
		cmd.Stdout = &out
		if err := c.Start(cmd); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil || out.String() != "inside\n" {
			t.Errorf("inside: %q, %v", out.String(), err)
		}
		if b, err := os.ReadFile(file); err != nil || string(b) != "outside\n" {
			t.Errorf("outside: %q, %v", b, err)
		}
	}
	c.Close()
	if err := c.Start(exec.Command("true")); err == nil {
		t.Error("a process was started after the end")
	}
	if after := temporary(); len(after) > len(before) && !slices.Equal(before, after) {
		t.Errorf("temporary files %v, before %v", after, before)
	}
}
