package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moat-router/moat/integration/lab/topology"
)

// TB is what a lab needs of a test: *testing.T, *testing.B and *testing.F have it.
type TB interface {
	Helper()
	Name() string
	Failed() bool
	Cleanup(func())
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Net is a lab in a test: it is described by calls and comes to life with the first use of a host. Every mistake ends
// the test. When the test fails, its log has the timeline of the networks and says where captures of them are: in a
// directory below MOAT_LAB_PCAP or, without that, below the temporary directory.
type Net struct {
	t     TB
	top   topology.Topology
	o     Options
	never []claim
	lab   *Lab
}

// claim is a datagram that must not be on a network.
type claim struct {
	network, match string
	watch          *Never
}

// New begins a virtual lab that lives as long as the test. Tests that run in parallel have a lab each.
func New(t TB) *Net {
	n := &Net{t: t}
	t.Cleanup(n.end)
	return n
}

func (n *Net) fail(format string, args ...any) {
	n.t.Helper()
	n.t.Fatalf("lab: "+format, args...)
}

func (n *Net) change() {
	n.t.Helper()
	if n.lab != nil {
		n.fail("the network lives already: describe all of it before the first use")
	}
}

// Seed makes another run of everything that happens by chance; the same seed gives the same run.
func (n *Net) Seed(seed uint64) *Net {
	n.t.Helper()
	n.change()
	n.top.Seed = seed
	return n
}

// Kernel makes hosts of network namespaces. The test is to skip itself where those cannot be had.
func (n *Net) Kernel() *Net {
	n.t.Helper()
	n.change()
	n.o.Mode = Kernel
	return n
}

// Never makes the test fail if a datagram that matches the pattern is ever on the network ("" is all of them).
func (n *Net) Never(network, match string) *Net {
	n.t.Helper()
	n.change()
	n.never = append(n.never, claim{network: network, match: match})
	return n
}

// Lab brings the network to life, the first time, and gives it.
func (n *Net) Lab() *Lab {
	n.t.Helper()
	if n.lab != nil {
		return n.lab
	}
	n.defaultRoutes()
	l, err := Open(&n.top, n.o)
	if err != nil {
		n.fail("%v", err)
	}
	n.lab = l
	for i := range n.never {
		c := &n.never[i]
		if c.watch, err = l.Never(c.network, c.match); err != nil {
			n.fail("%v", err)
		}
	}
	return l
}

// defaultRoutes gives hosts without routes the only router of their network.
func (n *Net) defaultRoutes() {
	for i := range n.top.Hosts {
		h := &n.top.Hosts[i]
		if len(h.Routes) > 0 {
			continue
		}
		var gateways []topology.Interface
		for _, r := range n.top.Routers {
			for _, f := range r.Interfaces {
				if slices.ContainsFunc(h.Plugs(), func(own topology.Interface) bool { return own.Network == f.Network }) {
					gateways = append(gateways, f)
				}
			}
		}
		if len(gateways) == 1 {
			h.Routes = defaultsVia(gateways[0].Addresses)
		}
	}
}

// defaultsVia is a default route for each family, through the first address of it.
func defaultsVia(addresses []string) (routes []string) {
	var have [2]bool
	for _, a := range addresses {
		p, err := netip.ParsePrefix(a)
		if err != nil {
			continue // Open tells
		}
		f := 0
		if p.Addr().Is6() {
			f = 1
		}
		if !have[f] {
			routes = append(routes, fmt.Sprintf("default via %s", p.Addr()))
		}
		have[f] = true
	}
	return routes
}

// Advance lets virtual time pass.
func (n *Net) Advance(d time.Duration) {
	n.t.Helper()
	n.Lab().Advance(d)
}

// end decides what must never have happened, tells the story if the test failed, and takes the network away.
func (n *Net) end() {
	n.t.Helper()
	if n.lab == nil {
		return
	}
	for _, c := range n.never {
		if c.watch == nil {
			continue // the pattern was wrong: that ended the test
		}
		if why := c.watch.Verdict(); why != "" {
			n.t.Errorf("never %s: %s", c.match, why)
		}
	}
	if err := errors.Join(n.lab.Err(), n.lab.Close()); err != nil {
		n.t.Errorf("lab: %v", err)
	}
	if !n.t.Failed() {
		return
	}
	n.t.Logf("what the networks carried (seed %d):\n%s", n.top.Seed, n.lab.Timeline())
	dir, err := captureDir(n.t.Name())
	if err == nil {
		err = n.lab.WriteCaptures(dir)
	}
	if err != nil {
		n.t.Logf("captures: %v", err)
		return
	}
	n.t.Logf("captures: %s", dir)
}

func captureDir(test string) (string, error) {
	name := "moat-" + strings.NewReplacer("/", "_", "\\", "_", " ", "_").Replace(test)
	if dir := os.Getenv("MOAT_LAB_PCAP"); dir != "" {
		return filepath.Join(dir, name), nil
	}
	return os.MkdirTemp("", name+"-")
}
