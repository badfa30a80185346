package lab

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/moat-router/moat/integration/lab/topology"
	"github.com/moat-router/moat/integration/lab/wire"
	"github.com/moat-router/moat/router/fib"
	"github.com/moat-router/moat/stack/host"
	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

// virtualHost is gVisor's network stack at the end of pipes, with the routing tables of moat's routers.
type virtualHost struct {
	*host.Host
	ends []*link.End

	mu     sync.Mutex
	tables *fib.Builder
	now    atomic.Pointer[fib.FIB]
}

// firstDev is the index of the first interface in the tables, behind lo; in gVisor it has 1.
const firstDev = fib.Loopback + 1

func (l *Lab) newVirtualHost(c *topology.Host) (machine, []*wire.Port, error) {
	h := &virtualHost{}
	var err error
	if h.tables, err = l.Topology.Routes(c); err != nil {
		return nil, nil, &topology.Mistake{Position: c.Position, Err: err}
	}
	h.now.Store(h.tables.Build())
	conf := host.HostConfig{Name: c.Name, Seed: l.Topology.Seed, Route: h.route}
	if v, ok := l.clock.(*virtual); ok {
		conf.Clock, conf.Wait = v.Clock, v.network.Wait
	}
	plugs := c.Plugs()
	var cables []*wire.Port
	for i := range plugs {
		f := &plugs[i]
		near, far := l.pipe(c.Name, f)
		dev := firstDev + i
		cables = append(cables, l.plug(f, wire.Port{Name: c.Name, Link: far,
			Owns:    func(a netip.Addr) bool { return h.now.Load().Owns(packet.AddrFrom(a), dev) },
			NextHop: func(src, dst netip.Addr) netip.Addr { return h.gateway(dev, src, dst) },
		}))
		h.ends = append(h.ends, near)
		if i == 0 {
			h.Host, err = host.NewHost(near, conf)
		} else {
			_, err = h.AddLink(near)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return h, cables, h.publish()
}

// route decides for sockets (src is open) and for datagrams: interface and source.
func (h *virtualHost) route(src, dst netip.Addr) (dev int, from netip.Addr, ok bool) {
	r := h.now.Load().Lookup(fib.Key{V6: dst.Is6(), Dst: packet.AddrFrom(dst), Src: packet.AddrFrom(src)})
	switch r.Type {
	case fib.Local:
		return host.Itself, r.PrefSrc.IP(), true
	case fib.Unicast, fib.Broadcast, fib.Multicast, fib.Anycast:
		return r.Dev - firstDev + 1, r.PrefSrc.IP(), true
	}
	return 0, from, false
}

// Source is the address from which the host speaks to dst.
func (h *virtualHost) Source(dst netip.Addr) netip.Addr {
	_, src, _ := h.route(netip.Addr{}, dst)
	return src
}

// gateway is the next hop through one interface.
func (h *virtualHost) gateway(dev int, src, dst netip.Addr) netip.Addr {
	r := h.now.Load().Lookup(fib.Key{V6: dst.Is6(), Dst: packet.AddrFrom(dst), Src: packet.AddrFrom(src), OIF: dev})
	switch r.Type {
	case fib.Broadcast:
		return netip.AddrFrom4([4]byte{255, 255, 255, 255})
	case fib.Unicast:
		return r.Gateway.IP()
	}
	return netip.Addr{}
}

// IP runs commands of ip(8): all of them, or none.
func (h *virtualHost) IP(commands string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.tables.Command(commands); err != nil {
		return err
	}
	return h.publish()
}

// publish makes the tables count, and gives the stack its addresses.
func (h *virtualHost) publish() error {
	f := h.tables.Build()
	h.now.Store(f)
	for i, end := range h.ends {
		d := f.Dev(firstDev + i)
		end.SetUp(d.Up)
		if end.MTU() != d.MTU {
			end.SetMTU(d.MTU)
			if err := h.SetLink(i+1, d.Name, d.MTU); err != nil {
				return err
			}
		}
		var want []netip.Prefix
		for _, list := range d.Addrs {
			for _, a := range list {
				want = append(want, netip.PrefixFrom(a.Local.IP(), a.Bits))
			}
		}
		if err := h.SetAddresses(i+1, want); err != nil {
			return err
		}
	}
	return nil
}

// Addresses are those of an interface, in the order of their configuration.
func (h *virtualHost) Addresses(dev string) (out []netip.Addr) {
	d := h.now.Load().DevByName(dev)
	if d == nil {
		return nil
	}
	for v6, list := range d.Addrs {
		list = slices.Clone(list)
		if v6 == 1 {
			slices.Reverse(list) // the newest is first there
		}
		for _, a := range list {
			out = append(out, a.Local.IP())
		}
	}
	return out
}
