package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
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

// Link says what a network does to datagrams.
type Link struct {
	MTU           int
	Delay, Jitter time.Duration
	Loss          float64 // 0 to 1
	Reorder       float64
	Duplicate     float64
	Rate          int64 // bits per second
}

// Network adds a network.
func (n *Net) Network(name string, link ...Link) *Net {
	n.t.Helper()
	n.change()
	net := topology.Network{Name: name}
	for _, l := range link {
		net.MTU, net.Rate = l.MTU, topology.Rate(l.Rate)
		net.Delay, net.Jitter = topology.Duration(l.Delay), topology.Duration(l.Jitter)
		net.Loss, net.Reorder, net.Duplicate = topology.Share(l.Loss), topology.Share(l.Reorder), topology.Share(l.Duplicate)
	}
	n.top.Networks = append(n.top.Networks, net)
	return n
}

// Router adds a router with iptables-save text for IPv4 and, if there is a second one, IPv6. Its interfaces are called as
// the networks.
func (n *Net) Router(name string, rules ...string) *RouterConf {
	n.t.Helper()
	n.change()
	r := topology.Router{Name: name}
	if len(rules) > 0 {
		r.Rules.V4 = topology.Text{Name: name + ".rules.v4", Text: rules[0]}
	}
	if len(rules) > 1 {
		r.Rules.V6 = topology.Text{Name: name + ".rules.v6", Text: rules[1]}
	}
	n.top.Routers = append(n.top.Routers, r)
	return &RouterConf{n, len(n.top.Routers) - 1}
}

// RouterConf describes a router further.
type RouterConf struct {
	n *Net
	i int
}

func (c *RouterConf) conf() *topology.Router {
	c.n.t.Helper()
	c.n.change()
	return &c.n.top.Routers[c.i]
}

// On plugs the router into a network, with addresses and their prefix lengths.
func (c *RouterConf) On(network string, addresses ...string) *RouterConf {
	r := c.conf()
	r.Interfaces = append(r.Interfaces, topology.Interface{Name: network, Network: network, Addresses: addresses})
	return c
}

// Route adds routes in the words of ip route add.
func (c *RouterConf) Route(routes ...string) *RouterConf {
	r := c.conf()
	r.Routes = append(r.Routes, routes...)
	return c
}

// Sysctl sets name=value.
func (c *RouterConf) Sysctl(settings ...string) *RouterConf {
	r := c.conf()
	r.Sysctls = append(r.Sysctls, settings...)
	return c
}

// ConntrackWhenUsed lets conntrack and reassembly in only once a rule needs them, as Linux does.
func (c *RouterConf) ConntrackWhenUsed() *RouterConf {
	c.conf().Conntrack = "when-used"
	return c
}

// NoICMPTranslation leaves RELATED errors untranslated.
func (c *RouterConf) NoICMPTranslation() *RouterConf {
	c.conf().ICMPTranslation = "off"
	return c
}

// Get brings the network to life and gives the router.
func (c *RouterConf) Get() *Router {
	c.n.t.Helper()
	return c.n.Lab().routers[c.i]
}

// Host adds a host with an address and its prefix length. The only router of its network, if there is just one, is its
// gateway for everything else.
func (n *Net) Host(name, network string, addresses ...string) *HostConf {
	n.t.Helper()
	n.change()
	n.top.Hosts = append(n.top.Hosts, topology.Host{Name: name, Network: network, Addresses: addresses})
	return &HostConf{n, len(n.top.Hosts) - 1}
}

// HostConf describes a host further.
type HostConf struct {
	n *Net
	i int
}

// Route adds routes in the words of ip route add.
func (c *HostConf) Route(routes ...string) *HostConf {
	c.n.t.Helper()
	c.n.change()
	h := &c.n.top.Hosts[c.i]
	h.Routes = append(h.Routes, routes...)
	return c
}

// Serve starts a service: "echo", "discard", "http" or "silent" on a port of "tcp" or "udp".
func (c *HostConf) Serve(service, proto string, port int) *HostConf {
	c.n.t.Helper()
	c.n.change()
	h := &c.n.top.Hosts[c.i]
	h.Listen = append(h.Listen, topology.Listen{Service: service, Proto: proto, Port: port})
	return c
}

// Get brings the network to life and gives the host.
func (c *HostConf) Get() *Host {
	c.n.t.Helper()
	return c.n.Lab().hosts[c.i]
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
				if f.Network == h.Network {
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
