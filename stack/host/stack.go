package host

import (
	"fmt"
	"io"
	"net/netip"
	"sort"
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"
	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/moat-router/moat/stack/packet"
)

// DefaultRing is how many datagrams wait for the worker.
const DefaultRing = 1024

// Config says how a Stack is wired. The zero value is a live stack whose output goes nowhere.
type Config struct {
	// Out gets every datagram that the stack makes, with complete checksums (CsumGood) but not parsed. It must not keep
	// the packet. Live, it runs on a goroutine of the stack's; on virtual time, inside Settle.
	Out func(p *packet.Packet)
	// Clock puts the stack on virtual time.
	Clock *Clock
	// Wait is how a Conn on virtual time waits: move the network, and the clock as far as until, and tell whether done
	// came true (Network.Wait). Nil moves only this stack. Not used live.
	Wait func(done func() bool, until packet.Time) bool
	// Route tells the interface and the source address by which dst is reached, for sockets that connect. Nil, or
	// false, leaves it to the addresses of the interfaces.
	Route func(dst netip.Addr) (dev int, src netip.Addr, ok bool)
	// MTU is that of the way which a TCP segment takes, for the MSS that it announces. Nil, or false, leaves it to the
	// interface that has the local address.
	MTU func(src, dst packet.Addr) (mtu int, ok bool)
	// Ring is the number of slots for output; 0 means DefaultRing.
	Ring int
	// Seed makes repeatable what is random: ports, sequence numbers, identifications. With 0 it is not.
	Seed uint64
	// Answer makes the stack answer pings and closed ports by itself. A router does not want that.
	Answer bool

	// Of a Host:
	name   string                                           // makes hosts differ that share a seed
	links  bool                                             // each interface has a link, instead of Out
	egress func(p *packet.Packet) (t *transmitter, ok bool) // decides between them; nil: that of the interface
}

// Stack is a set of sockets on numbered interfaces.
type Stack struct {
	cfg  Config
	ns   *stack.Stack
	ring *ring         // of a router
	ids  *identities   // nil without a seed
	sent atomic.Uint64 // datagrams of a Host that Settle has not yet told of

	mu    sync.Mutex
	links map[int]*linkState
	conns *loop // built-in services
	owner atomic.Pointer[map[netip.Addr]int]

	self      self
	paths     pathMTUs
	silent    silent
	listening listeners

	busy    atomic.Bool // something may be going on inside: Settle has to look
	done    chan struct{}
	closed  atomic.Bool
	settler sync.Mutex
	out     *packet.Packet // of Settle
}

type linkState struct {
	nic   *nic
	addrs map[netip.Addr]netip.Prefix
}

// New builds a stack without interfaces. Close it.
func New(c Config) *Stack {
	if c.Ring == 0 && !c.links {
		c.Ring = DefaultRing
	}
	if c.Out == nil {
		c.Out = func(*packet.Packet) {}
	}
	o := stack.Options{
		NetworkProtocols: []stack.NetworkProtocolFactory{
			// REDIRECT on lo, and DNAT to 127.0.0.1 where route_localnet allows it: the router has decided already.
			ipv4.NewProtocolWithOptions(ipv4.Options{AllowExternalLoopbackTraffic: true}),
			ipv6.NewProtocolWithOptions(ipv6.Options{AllowExternalLoopbackTraffic: true}),
		},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
	}
	s := &Stack{cfg: c, ring: newRing(c.Ring), links: map[int]*linkState{}, done: make(chan struct{})}
	s.noteOwners()
	if c.Seed != 0 {
		chance := newChance(c.Seed, c.name)
		o.SecureRNG, o.RandSource = chance, chance
		s.ids = newIdentities(chance)
	}
	if c.Clock != nil {
		o.Clock = ownClock{c.Clock, func() { s.busy.Store(true) }}
	}
	// gVisor logs what happens to ordinary packets to stderr, for the whole process: counters tell it better.
	log.SetTarget(log.GoogleEmitter{Writer: &log.Writer{Next: io.Discard}})
	s.ns = stack.New(o)
	s.conns = &loop{live: c.Clock == nil}
	s.tune()
	switch {
	case c.links:
	case c.Clock != nil:
		s.out = packet.New()
	default:
		go s.work()
		return s
	}
	close(s.done)
	if c.Clock != nil {
		s.ns.Pause() // see barrier
	}
	if c.Clock != nil && c.Wait == nil {
		alone := NewNetwork(c.Clock)
		alone.Add(s.Settle)
		s.cfg.Wait = alone.Wait
	}
	return s
}

// tune sets what Linux has by default and gVisor has not.
func (s *Stack) tune() {
	must := func(err tcpip.Error) {
		if err != nil {
			panic("host: gVisor refuses an option that it has: " + err.String())
		}
	}
	if !s.cfg.Answer {
		// A reply may leave by another interface than the one that owns its source address: without forwarding gVisor
		// finds no route for it.
		must(s.ns.SetForwardingDefaultAndAllNICs(header.IPv4ProtocolNumber, true))
		must(s.ns.SetForwardingDefaultAndAllNICs(header.IPv6ProtocolNumber, true))
	}
	s.ns.SetICMPLimit(rate.Inf)
	sack, cc := tcpip.TCPSACKEnabled(true), tcpip.CongestionControlOption("cubic")
	must(s.ns.SetTransportProtocolOption(tcp.ProtocolNumber, &sack))
	must(s.ns.SetTransportProtocolOption(tcp.ProtocolNumber, &cc))
	// tcp_rmem and tcp_wmem of Linux 6.18; the maximum decides the window scale that a SYN offers (10).
	must(s.ns.SetTransportProtocolOption(tcp.ProtocolNumber, &tcpip.TCPReceiveBufferSizeRangeOption{Min: 4096, Default: 131072, Max: 32 << 20}))
	must(s.ns.SetTransportProtocolOption(tcp.ProtocolNumber, &tcpip.TCPSendBufferSizeRangeOption{Min: 4096, Default: 16384 << 3, Max: 4 << 20}))
}

// Close ends all sockets and the worker. Connections die without a word to their peers.
func (s *Stack) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.settler.Lock()
	defer s.settler.Unlock()
	s.ring.close()
	s.self.close()
	s.conns.close()
	if s.cfg.Clock != nil {
		s.ns.Resume()
	}
	s.ns.Close()
	s.ns.Wait()
	<-s.done
	return nil
}

// SetLink adds interface dev (from 1), or changes its name's MTU.
func (s *Stack) SetLink(dev int, name string, mtu int) error { return s.setLink(dev, name, mtu, nil) }

func (s *Stack) setLink(dev int, name string, mtu int, tx *transmitter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.links[dev]; l != nil {
		if err := s.ns.SetNICMTU(tcpip.NICID(dev), uint32(mtu)); err != nil {
			return fmt.Errorf("host: mtu %d of %s: %s", mtu, name, err)
		}
		return nil
	}
	n := &nic{s: s, tx: tx}
	n.mtu.Store(uint32(mtu))
	if err := s.ns.CreateNICWithOptions(tcpip.NICID(dev), n, stack.NICOptions{Name: name}); err != nil {
		return fmt.Errorf("host: interface %d (%s): %s", dev, name, err)
	}
	s.links[dev] = &linkState{nic: n, addrs: map[netip.Addr]netip.Prefix{}}
	s.reroute()
	return nil
}

// RemoveLink removes interface dev with its addresses; sockets bound to them go on existing.
func (s *Stack) RemoveLink(dev int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.links[dev] == nil {
		return
	}
	s.ns.RemoveNIC(tcpip.NICID(dev))
	delete(s.links, dev)
	s.reroute()
}

// AddAddress gives interface dev an address; one that it has already gets the new prefix length.
func (s *Stack) AddAddress(dev int, a netip.Prefix) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.links[dev]
	if l == nil {
		return fmt.Errorf("host: address %s: there is no interface %d", a, dev)
	}
	if old, ok := l.addrs[a.Addr()]; ok {
		if old == a {
			return nil
		}
		s.ns.RemoveAddress(tcpip.NICID(dev), fromIP(a.Addr()))
	}
	err := s.ns.AddProtocolAddress(tcpip.NICID(dev), tcpip.ProtocolAddress{
		Protocol:          netProto(a.Addr().Is6()),
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: fromIP(a.Addr()), PrefixLen: a.Bits()},
	}, stack.AddressProperties{})
	if err != nil {
		return fmt.Errorf("host: address %s: %s", a, err)
	}
	l.addrs[a.Addr()] = a
	s.reroute()
	return nil
}

// RemoveAddress takes an address from interface dev. Connections that use it end by their own timeouts, as in Linux.
func (s *Stack) RemoveAddress(dev int, a netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.links[dev]; l != nil {
		s.ns.RemoveAddress(tcpip.NICID(dev), fromIP(a))
		delete(l.addrs, a)
		s.reroute()
	}
}

// reroute tells gVisor by which interface a destination leaves: the prefixes of the addresses, longest first, then
// any interface. It decides an interface's MTU and, without Config.Route, a source address; no more.
func (s *Stack) reroute() {
	s.noteOwners()
	var prefixes, defaults []tcpip.Route
	for dev, l := range s.links {
		for _, v6 := range []bool{false, true} {
			r := tcpip.Route{Destination: header.IPv4EmptySubnet, NIC: tcpip.NICID(dev)}
			if v6 {
				r.Destination = header.IPv6EmptySubnet
			}
			defaults = append(defaults, r)
		}
		for _, a := range l.addrs {
			sub := tcpip.AddressWithPrefix{Address: fromIP(a.Addr()), PrefixLen: a.Bits()}.Subnet()
			prefixes = append(prefixes, tcpip.Route{Destination: sub, NIC: tcpip.NICID(dev)})
		}
	}
	sort.Slice(prefixes, func(i, j int) bool {
		a, b := prefixes[i], prefixes[j]
		if a.Destination.Prefix() != b.Destination.Prefix() {
			return a.Destination.Prefix() > b.Destination.Prefix()
		}
		return a.NIC < b.NIC
	})
	sort.Slice(defaults, func(i, j int) bool { return defaults[i].NIC < defaults[j].NIC })
	s.ns.SetRouteTable(append(prefixes, defaults...))
}

// devOf is the interface that has an address; 0 for none. It takes no lock: packets on their way through gVisor ask.
func (s *Stack) devOf(a netip.Addr) int { return (*s.owner.Load())[a] }

// noteOwners makes devOf know the addresses of the interfaces. s.mu is held.
func (s *Stack) noteOwners() {
	owner := map[netip.Addr]int{}
	for dev, l := range s.links {
		for a := range l.addrs {
			owner[a] = dev
		}
	}
	s.owner.Store(&owner)
}

// Dropped is how many datagrams of the stack's found the ring full.
func (s *Stack) Dropped() uint64 { return s.ring.drops() }

func netProto(v6 bool) tcpip.NetworkProtocolNumber {
	if v6 {
		return header.IPv6ProtocolNumber
	}
	return header.IPv4ProtocolNumber
}

func fromIP(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }
