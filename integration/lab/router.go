package lab

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/moat-router/moat/integration/lab/topology"
	"github.com/moat-router/moat/integration/lab/wire"
	"github.com/moat-router/moat/router"
	"github.com/moat-router/moat/router/sysctl"
	"github.com/moat-router/moat/stack/host"
	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

// Router is a router of a lab. All that package router offers can be asked of it.
type Router struct {
	*router.Router
	Name  string
	lab   *Lab
	ports []routerPort
	timer interface{ Stop() bool } // of virtual time: wakes the network for the router's next deadline
	due   packet.Time
}

type routerPort struct {
	dev  string
	end  *link.End
	port *wire.Port
}

// offloads is what a network carries as it is. One that delays nothing and loses nothing carries super-segments of TCP,
// which makes a transfer ten times as fast; one that does has its packets one by one.
func (l *Lab) offloads(network string) link.Offloads {
	if l.impaired(network) {
		return link.Offloads{}
	}
	return link.Offloads{Csum: true, TSO4: true, TSO6: true}
}

// impaired tells whether something can happen to datagrams on a network or on one of its links.
func (l *Lab) impaired(network string) bool {
	n := conditions(l.Topology.Network(network).Conditions())
	for f := range l.Topology.Interfaces() {
		out, in := direction(f.Link.Outward()), direction(f.Link.Inward())
		if f.Network == network && (!out.Perfect() || !in.Perfect() || f.Link.MTU != 0) {
			return true
		}
	}
	return !n.Perfect()
}

func (l *Lab) addRouter(c *topology.Router) error {
	r := &Router{Name: c.Name, lab: l}
	cfg := router.Config{
		Routes: c.Routes, SysctlBase: sysctl.Gateway(), Seed: l.Topology.Seed,
		RulesV4:  router.Rules{Name: c.Rules.V4.Name, Text: c.Rules.V4.Text},
		RulesV6:  router.Rules{Name: c.Rules.V6.Name, Text: c.Rules.V6.Text},
		WhenUsed: c.Conntrack == "when-used", NoICMPTranslation: c.ICMPTranslation == "off",
		Workers: len(c.Interfaces),
	}
	for _, words := range c.IPRules {
		cfg.Setup = append(cfg.Setup, "ip rule add "+words)
	}
	for _, s := range c.Sysctls {
		name, value, _ := strings.Cut(s, "=")
		cfg.Sysctls = append(cfg.Sysctls, [2]string{strings.TrimSpace(name), strings.TrimSpace(value)})
	}
	if l.Mode == Kernel {
		cfg.Clock = l.clock.Time
	}
	for i := range c.Interfaces {
		f := &c.Interfaces[i]
		end, far := l.pipe(c.Name, f)
		port := l.plug(f, wire.Port{Name: c.Name, Router: true, Link: far,
			Owns:    func(a netip.Addr) bool { return r.Owns(f.Name, a) },
			NextHop: func(src, dst netip.Addr) netip.Addr { return r.NextHop(f.Name, src, dst) },
		})
		r.ports = append(r.ports, routerPort{f.Name, end, port})
		d := router.Device{Name: f.Name, MTU: l.Topology.MTUOf(f), Link: end, RxChecksumOffload: *f.RxChecksumOffload}
		for _, a := range f.Addresses {
			d.Addrs = append(d.Addrs, [2]string{a, ""})
		}
		cfg.Devices = append(cfg.Devices, d)
	}
	var err error
	if r.Router, err = router.New(cfg); err != nil {
		return fmt.Errorf("router %s: %w", c.Name, err)
	}
	l.routers = append(l.routers, r)
	rules, err := c.NATRules()
	if err != nil {
		return fmt.Errorf("router %s: nat: %w", c.Name, err)
	}
	if err := r.Restore(router.Rules{Name: "nat: " + c.NAT, Text: rules}, router.Rules{}, true); err != nil {
		return fmt.Errorf("router %s: %w", c.Name, err)
	}
	for _, s := range c.Listen {
		what, err := host.ParseService(s.Service)
		if err != nil {
			return fmt.Errorf("router %s: listen: %w", c.Name, err)
		}
		address := s.Address
		if address == "" {
			address = "::"
		}
		if err := r.ListenService(what, s.Proto, address, s.Port); err != nil {
			return fmt.Errorf("router %s: %w", c.Name, err)
		}
	}
	return nil
}

// pump moves the router in a virtual network: its clock to that of the lab, then what waits at its interfaces.
func (r *Router) pump() (n int) {
	v := r.lab.clock.(*virtual)
	if d := v.Time().Sub(r.Time()); d > 0 {
		r.Advance(d)
	}
	for _, p := range r.ports {
		n += p.end.Pump(func(batch []*packet.Packet) {
			for _, b := range batch {
				r.InjectOffload(p.dev, b.Data, b.Offload)
			}
		})
	}
	r.arm(v)
	return n
}

// arm has the network stop at the router's next deadline.
func (r *Router) arm(v *virtual) {
	at, ok := r.Next()
	if ok && r.timer != nil && at == r.due {
		return
	}
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
	if !ok {
		return
	}
	r.due = at
	r.timer = v.AfterFunc(max(at.Sub(v.Time()), minStep), func() { r.timer = nil })
}

// Link is the cable of an interface of this router; nil if there is none of that name.
func (r *Router) Link(name string) *wire.Port {
	for _, p := range r.ports {
		if p.dev == name {
			return p.port
		}
	}
	return nil
}

// minStep keeps a deadline that is already there from being due for ever.
const minStep = time.Millisecond
