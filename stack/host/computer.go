package host

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"

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
}

// Host is a computer at the end of one link: a Stack that answers pings and closed ports, reassembles, and sends
// everything into its link, which is its default route. There is no ARP in a lab, so a gateway needs no address.
type Host struct {
	*Stack
	Name string
	link link.Link

	mu      sync.Mutex
	addrs   []netip.Prefix
	watches map[*watch]struct{}
	echoSeq uint16
	served  chan struct{}
}

// theLink is the number of a host's only interface.
const theLink = 1

// NewHost connects a computer to l, which it owns from now on.
func NewHost(l link.Link, c HostConfig) (*Host, error) {
	if c.Name == "" {
		c.Name = l.Name()
	}
	h := &Host{Name: c.Name, link: l, watches: map[*watch]struct{}{}, served: make(chan struct{})}
	h.Stack = New(Config{Clock: c.Clock, Wait: c.Wait, Seed: c.Seed, Answer: true, name: c.Name, link: l, Route: h.route})
	err := h.SetLink(theLink, l.Name(), l.MTU())
	for _, a := range c.Addresses {
		if err == nil {
			err = h.AddAddress(theLink, a)
		}
		h.addrs = append(h.addrs, a)
	}
	if err != nil {
		h.Stack.Close()
		return nil, fmt.Errorf("host %s: %w", c.Name, err)
	}
	if c.Clock != nil {
		close(h.served)
		return h, nil
	}
	go func() {
		defer close(h.served)
		l.Serve(0, h.receive)
	}()
	return h, nil
}

// Close ends the host and its link.
func (h *Host) Close() error {
	err := h.link.Close()
	<-h.served
	return errors.Join(err, h.Stack.Close())
}

// Addr is the host's first address of the family of like; the zero Addr if it has none.
func (h *Host) Addr(like netip.Addr) netip.Addr {
	for _, a := range h.addrs {
		if a.Addr().Is4() == like.Is4() {
			return a.Addr()
		}
	}
	return netip.Addr{}
}

func (h *Host) route(dst netip.Addr) (int, netip.Addr, bool) {
	for _, a := range h.addrs {
		if a.Contains(dst) {
			return theLink, a.Addr(), true
		}
	}
	src := h.Addr(dst)
	return theLink, src, src.IsValid()
}

// Pump takes in what waits at the host's end of an in-memory link, and settles. It returns how many datagrams came
// and went; a lab pumps all its hosts and routers until all return 0.
func (h *Host) Pump() int {
	n := 0
	if p, ok := h.link.(interface {
		Pump(func([]*packet.Packet)) int
	}); ok {
		n = p.Pump(h.receive)
	}
	return n + h.Settle()
}

func (h *Host) receive(batch []*packet.Packet) {
	for _, p := range batch {
		if p.Parse() != packet.ReasonNone {
			continue
		}
		h.notice(p)
		h.Deliver(p, theLink)
	}
}

// Send puts a datagram of the caller's own making on the link, as a raw socket would.
func (h *Host) Send(datagram []byte) error {
	p := packet.New()
	p.Load(datagram)
	_, err := h.link.Send(0, []*packet.Packet{p})
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
