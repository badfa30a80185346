package lab

import (
	"time"

	"github.com/moat-router/moat/integration/lab/topology"
)

// Link says what a network, or the cable between a machine and a network, does to datagrams.
type Link struct {
	MTU           int // of a cable in one direction: larger datagrams vanish and nobody says so
	Delay, Jitter time.Duration
	Loss          float64 // 0 to 1
	Reorder       float64
	Duplicate     float64
	Rate          int64  // bits per second
	Down          []Down // when nothing is carried
}

// Down is a time in which nothing is carried, from the start of the lab.
type Down struct{ At, For time.Duration } // For 0: for good

func (l *Link) conditions() topology.Conditions {
	c := topology.Conditions{
		Delay: topology.Duration(l.Delay), Jitter: topology.Duration(l.Jitter), Loss: topology.Share(l.Loss),
		Reorder: topology.Share(l.Reorder), Duplicate: topology.Share(l.Duplicate), Rate: topology.Rate(l.Rate),
	}
	for _, d := range l.Down {
		c.Down = append(c.Down, topology.Downtime{At: topology.Duration(d.At), For: topology.Duration(d.For)})
	}
	return c
}

func (l *Link) direction() topology.Direction {
	return topology.Direction{MTU: l.MTU, Conditions: l.conditions()}
}

// Network adds a network.
func (n *Net) Network(name string, link ...Link) *Net {
	n.t.Helper()
	n.change()
	net := topology.Network{Name: name}
	for _, l := range link {
		c := l.conditions()
		net.MTU, net.Rate, net.Delay, net.Jitter = l.MTU, c.Rate, c.Delay, c.Jitter
		net.Loss, net.Reorder, net.Duplicate, net.Down = c.Loss, c.Reorder, c.Duplicate, c.Down
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

// Link says what the cable of the interface that came last does, in both directions. Its MTU is that of the interface.
func (c *RouterConf) Link(l Link) *RouterConf {
	c.n.t.Helper()
	t := c.last()
	t.MTU, t.Conditions = l.MTU, l.conditions()
	return c
}

// Out says what that cable does to what the router sends.
func (c *RouterConf) Out(l Link) *RouterConf {
	c.n.t.Helper()
	c.last().Out = l.direction()
	return c
}

// In says what it does to what the router receives.
func (c *RouterConf) In(l Link) *RouterConf {
	c.n.t.Helper()
	c.last().In = l.direction()
	return c
}

func (c *RouterConf) last() *topology.Link {
	c.n.t.Helper()
	r := c.conf()
	if len(r.Interfaces) == 0 {
		c.n.fail("router %s: On comes before Link, Out and In", r.Name)
	}
	return &r.Interfaces[len(r.Interfaces)-1].Link
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

// Host adds a host with an address and its prefix length. The only router of its networks, if there is just one and Route
// says nothing else, is its gateway for everything.
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

func (c *HostConf) conf() *topology.Host {
	c.n.t.Helper()
	c.n.change()
	return &c.n.top.Hosts[c.i]
}

// On plugs the host into another network, with addresses and their prefix lengths. The interfaces of a host with several
// are called as their networks; the only one of others is eth0.
func (c *HostConf) On(network string, addresses ...string) *HostConf {
	h := c.conf()
	if len(h.Interfaces) == 0 {
		h.Interfaces = []topology.Interface{{Name: h.Network, Network: h.Network, Addresses: h.Addresses, Link: h.Link}}
		h.Network, h.Addresses, h.Link = "", nil, topology.Link{}
	}
	h.Interfaces = append(h.Interfaces, topology.Interface{Name: network, Network: network, Addresses: addresses})
	return c
}

// Link says what the cable of the interface that came last does, in both directions. Its MTU is that of the interface.
func (c *HostConf) Link(l Link) *HostConf {
	t := c.last()
	t.MTU, t.Conditions = l.MTU, l.conditions()
	return c
}

// Out says what that cable does to what the host sends.
func (c *HostConf) Out(l Link) *HostConf {
	c.last().Out = l.direction()
	return c
}

// In says what it does to what the host receives.
func (c *HostConf) In(l Link) *HostConf {
	c.last().In = l.direction()
	return c
}

func (c *HostConf) last() *topology.Link {
	h := c.conf()
	if n := len(h.Interfaces); n > 0 {
		return &h.Interfaces[n-1].Link
	}
	return &h.Link
}

// Virtual makes the host a gVisor stack also where others are the kernel's.
func (c *HostConf) Virtual() *HostConf {
	c.conf().Kind = string(Virtual)
	return c
}

// Route adds routes in the words of ip route add.
func (c *HostConf) Route(routes ...string) *HostConf {
	h := c.conf()
	h.Routes = append(h.Routes, routes...)
	return c
}

// NameServer makes the host a name server: for the hosts of the lab, with the domain ("" for none) behind their names, and
// for records in the words of a zone file, as "www A 192.0.2.1". Hosts ask the name server of their network, or the
// first one.
func (c *HostConf) NameServer(domain string, records ...string) *HostConf {
	h := c.conf()
	c.n.top.DNS = append(c.n.top.DNS, topology.DNS{Host: h.Name, Domain: domain, Records: records})
	return c
}

// Tells limits what a name server says of hosts to their addresses on these networks.
func (c *HostConf) Tells(networks ...string) *HostConf {
	h := c.conf()
	for i := range c.n.top.DNS {
		if d := &c.n.top.DNS[i]; d.Host == h.Name {
			d.Networks = networks
			return c
		}
	}
	c.n.fail("host %s: NameServer comes before Tells", h.Name)
	return c
}

// Asks says which name servers the host asks, by their addresses.
func (c *HostConf) Asks(servers ...string) *HostConf {
	c.conf().Resolver = servers
	return c
}

// Serve starts a service: "echo", "discard", "http" or "silent" on a port of "tcp" or "udp".
func (c *HostConf) Serve(service, proto string, port int) *HostConf {
	h := c.conf()
	h.Listen = append(h.Listen, topology.Listen{Service: service, Proto: proto, Port: port})
	return c
}

// Get brings the network to life and gives the host.
func (c *HostConf) Get() *Host {
	c.n.t.Helper()
	return c.n.Lab().hosts[c.i]
}
