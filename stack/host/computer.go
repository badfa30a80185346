package host

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

// HostConfig describes a computer of a lab.
type HostConfig struct {
	Name      string
	Addresses []netip.Prefix
	// Seed makes repeatable what is random; hosts of different names differ all the same. With 0 it is not repeatable.
	Seed uint64
	// Clock and Wait as in Config: with a Clock the host does nothing until Pump.
	Clock *Clock
	Wait  func(done func() bool, until packet.Time) bool
	// Route decides by which link (from 1, in the order of NewHost and AddLink) a datagram to dst leaves, from which
	// source if that is still open (the zero Addr). It is called often, from inside gVisor: it takes no lock that is held
	// while sockets are used. Itself is for addresses of the host's own. nil: by the link whose prefix has the destination,
	// else by the first.
	Route func(src, dst netip.Addr) (dev int, from netip.Addr, ok bool)
}

// Host is a computer: a Stack that answers pings and closed ports, and reassembles. Each of its interfaces is one end of a
// link. There is no ARP in a lab, so whoever routes need not know a gateway's address.
type Host struct {
	*Stack
	Name string

	lists sync.RWMutex // of these two, which are replaced, never changed
	links []*attached
	addrs []netip.Prefix

	mu      sync.Mutex
	watches map[*watch]struct{}
	echoSeq uint16
	serving sync.WaitGroup
}

// attached is one interface of a host.
type attached struct {
	link link.Link
	tx   *transmitter
}

// Itself is the interface, in HostConfig.Route, of what a host says to itself.
const Itself = 0

// loopback is its number in gVisor.
const loopback = 1 << 16

// theLink is the number of a host's first interface.
const theLink = 1

// NewHost connects a computer to l, which it owns from now on.
func NewHost(l link.Link, c HostConfig) (*Host, error) {
	if c.Name == "" {
		c.Name = l.Name()
	}
	h := &Host{Name: c.Name, watches: map[*watch]struct{}{}}
	conf := Config{Clock: c.Clock, Wait: c.Wait, Seed: c.Seed, Answer: true, name: c.Name, links: true, Route: h.route}
	if c.Route != nil {
		conf.Route = func(dst netip.Addr) (int, netip.Addr, bool) {
			dev, src, ok := c.Route(netip.Addr{}, dst)
			if dev == Itself {
				dev = h.devOf(dst)
			}
			return dev, src, ok
		}
		conf.egress = func(p *packet.Packet) (*transmitter, bool) { return h.egress(p, c.Route) }
	}
	h.Stack = New(conf)
	if c.Route != nil {
		if err := h.loopBack(); err != nil {
			h.Stack.Close()
			return nil, err
		}
	}
	if _, err := h.AddLink(l, c.Addresses...); err != nil {
		h.Stack.Close()
		return nil, err
	}
	return h, nil
}

// AddLink gives a computer another interface, before anything moves. It owns l from now on, also after an error.
func (h *Host) AddLink(l link.Link, addresses ...netip.Prefix) (dev int, err error) {
	a := &attached{link: l, tx: newTransmitter(l)}
	h.lists.Lock()
	h.links = append(slices.Clip(h.links), a)
	dev = len(h.links)
	h.lists.Unlock()
	if err := h.setLink(dev, l.Name(), l.MTU(), a.tx); err != nil {
		return 0, fmt.Errorf("host %s: %w", h.Name, err)
	}
	for _, p := range addresses {
		if err := h.AddAddress(dev, p); err != nil {
			return 0, fmt.Errorf("host %s: %w", h.Name, err)
		}
	}
	if h.cfg.Clock == nil {
		h.serving.Go(func() { l.Serve(0, func(batch []*packet.Packet) { h.receive(dev, batch) }) })
	}
	return dev, nil
}

// AddAddress gives interface dev an address.
func (h *Host) AddAddress(dev int, p netip.Prefix) error {
	if err := h.Stack.AddAddress(dev, p); err != nil {
		return err
	}
	h.lists.Lock()
	defer h.lists.Unlock()
	h.forget(p.Addr())
	h.addrs = append(slices.Clip(h.addrs), p)
	return nil
}

// RemoveAddress takes an address away.
func (h *Host) RemoveAddress(dev int, a netip.Addr) {
	h.Stack.RemoveAddress(dev, a)
	h.lists.Lock()
	defer h.lists.Unlock()
	h.forget(a)
}

// SetAddresses makes these the addresses of interface dev, adding and removing what differs.
func (h *Host) SetAddresses(dev int, want []netip.Prefix) error {
	for _, old := range h.prefixes() {
		if h.devOf(old.Addr()) == dev && !slices.Contains(want, old) {
			h.RemoveAddress(dev, old.Addr())
		}
	}
	for _, p := range want {
		if !slices.Contains(h.prefixes(), p) {
			if err := h.AddAddress(dev, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// forget makes a new list without an address. h.lists is held.
func (h *Host) forget(a netip.Addr) {
	h.addrs = slices.DeleteFunc(slices.Clone(h.addrs), func(p netip.Prefix) bool { return p.Addr() == a })
}

// prefixes are the addresses, in the order in which they came.
func (h *Host) prefixes() []netip.Prefix {
	h.lists.RLock()
	defer h.lists.RUnlock()
	return h.addrs
}

func (h *Host) attached() []*attached {
	h.lists.RLock()
	defer h.lists.RUnlock()
	return h.links
}

// Close ends the host and its links.
func (h *Host) Close() error {
	var errs []error
	for _, a := range h.attached() {
		errs = append(errs, a.link.Close())
	}
	h.serving.Wait()
	return errors.Join(append(errs, h.Stack.Close())...)
}

// Addr is the host's first address of the family of like; the zero Addr if it has none.
func (h *Host) Addr(like netip.Addr) netip.Addr {
	for _, a := range h.prefixes() {
		if a.Addr().Is4() == like.Is4() {
			return a.Addr()
		}
	}
	return netip.Addr{}
}

// route is that of hosts that are not told how to.
func (h *Host) route(dst netip.Addr) (int, netip.Addr, bool) {
	for _, a := range h.prefixes() {
		if a.Contains(dst) {
			return max(h.devOf(a.Addr()), theLink), a.Addr(), true
		}
	}
	src := h.Addr(dst)
	return theLink, src, src.IsValid()
}

// egress is the link by which a datagram of the stack's leaves; false for none. What is for everybody on a network leaves
// by the interface that has its source. What the host says to itself is taken here, and leaves by no link.
func (h *Host) egress(p *packet.Packet, route func(src, dst netip.Addr) (int, netip.Addr, bool)) (*transmitter, bool) {
	src, dst, ok := ends(p.Data)
	if !ok {
		return nil, false
	}
	dev := 0
	if dst.IsMulticast() || dst == limitedBroadcast {
		dev = h.devOf(src)
	} else if dev, _, ok = route(src, dst); !ok {
		return nil, false
	} else if dev == Itself {
		h.toSelf(p)
		return nil, true
	}
	links := h.attached()
	if dev < 1 || dev > len(links) {
		return nil, false
	}
	return links[dev-1].tx, true
}

var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// ends are the addresses of a datagram.
func ends(b []byte) (src, dst netip.Addr, ok bool) {
	switch {
	case len(b) >= header.IPv4MinimumSize && b[0]>>4 == 4:
		return netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), true
	case len(b) >= header.IPv6MinimumSize && b[0]>>4 == 6:
		return netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), true
	}
	return src, dst, false
}

// Pump takes in what waits at the host's ends of in-memory links, and settles. It returns how many datagrams came
// and went; a lab pumps all its hosts and routers until all return 0.
func (h *Host) Pump() (n int) {
	for i, a := range h.attached() {
		if p, ok := a.link.(interface {
			Pump(func([]*packet.Packet)) int
		}); ok {
			n += p.Pump(func(batch []*packet.Packet) { h.receive(i+1, batch) })
		}
	}
	return n + h.Settle()
}

func (h *Host) receive(dev int, batch []*packet.Packet) {
	for _, p := range batch {
		if p.Parse() != packet.ReasonNone {
			continue
		}
		h.notice(p)
		h.learnPMTU(p)
		at := dev
		if h.cfg.egress != nil {
			// gVisor takes only what is for the address of the interface where it comes in; Linux takes what is
			// for any of its addresses.
			if owner := h.devOf(p.Dst().IP()); owner != 0 {
				at = owner
			}
		}
		h.Deliver(p, at)
	}
}

// Send puts a datagram of the caller's own making on the link that the routes name, as a raw socket would.
func (h *Host) Send(datagram []byte) error {
	p := packet.New()
	p.Load(datagram)
	out := h.attached()[0].tx
	if h.cfg.egress != nil {
		var ok bool
		if out, ok = h.cfg.egress(p); !ok {
			return fmt.Errorf("host %s: send: %w", h.Name, syscall.ENETUNREACH)
		}
	}
	if out == nil {
		return nil
	}
	_, err := out.link.Send(0, []*packet.Packet{p})
	return err
}

// Watch gives see every datagram that arrives, parsed, before the host's own stack gets it, until stop is called. see
// must not keep the packet.
func (h *Host) Watch(see func(p *packet.Packet)) (stop func()) {
	w := &watch{see}
	h.mu.Lock()
	h.watches[w] = struct{}{}
	h.mu.Unlock()
	return func() {
		h.mu.Lock()
		delete(h.watches, w)
		h.mu.Unlock()
	}
}

type watch struct{ see func(*packet.Packet) }

func (h *Host) notice(p *packet.Packet) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watches {
		w.see(p)
	}
}
