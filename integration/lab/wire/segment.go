package wire

import (
	"errors"
	"net/netip"
	"sync"

	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

// Clock is the time of a lab.
type Clock interface {
	Time() packet.Time
	// At runs f at t, or at once if that has passed; of two for the same time the one that came first.
	At(t packet.Time, f func())
}

// Options say how a segment behaves; the zero value with a Clock is a perfect cable.
type Options struct {
	Clock Clock
	Seed  uint64
	Conditions
}

// Port is what a Segment knows of a member.
type Port struct {
	Name      string // of the host or router
	Interface string
	Router    bool
	Link      link.Link
	// Owns tells whether an address is one of the interface's, now.
	Owns func(a netip.Addr) bool
	// NextHop is the gateway by which the member, now, sends a datagram from src to dst through this interface; the zero
	// Addr if dst is its neighbour, or if it does not know; 255.255.255.255 if dst is the broadcast address of a subnet.
	// nil: all are neighbours.
	NextHop func(src, dst netip.Addr) netip.Addr
	// Up tells whether the interface is up, where the link does not tell before it is used; nil: it does.
	Up func() bool
	// Out is what happens to datagrams between the member and the network, In to those between the network and it.
	Out, In Conditions

	segment *Segment
	out, in stretch
	last    packet.Time // arrival over the network of the latest datagram that was sent here
	free    packet.Time // when the network's rate lets the next datagram of this member go
	down    bool
}

// Segment is one network.
type Segment struct {
	Name  string
	clock Clock
	seed  uint64
	book  *Book

	ports []*Port

	find  sync.RWMutex
	owner map[netip.Addr]*Port // who had the address when it was last asked for

	mu     sync.Mutex // of everything below, and of the state in ports
	own    stretch
	down   bool
	closed bool
}

// New makes a segment without ports. Every crossing is entered in the book.
func New(name string, o Options, book *Book) *Segment {
	s := &Segment{Name: name, clock: o.Clock, seed: o.Seed, book: book, owner: map[netip.Addr]*Port{}}
	s.own = newStretch(o.Conditions, o.Seed, name)
	return s
}

// Plug adds a member, before anything moves.
func (s *Segment) Plug(p Port) *Port {
	port := &p
	port.segment = s
	port.out = newStretch(p.Out, s.seed, s.Name+"/"+p.Name+"."+p.Interface+"/out")
	port.in = newStretch(p.In, s.seed, s.Name+"/"+p.Name+"."+p.Interface+"/in")
	s.ports = append(s.ports, port)
	return port
}

// whose is the member that has an address; nil for none.
func (s *Segment) whose(a netip.Addr) *Port {
	s.find.RLock()
	p := s.owner[a]
	s.find.RUnlock()
	if p != nil && p.Owns(a) {
		return p
	}
	for _, p := range s.ports {
		if p.Owns(a) {
			s.find.Lock()
			s.owner[a] = p
			s.find.Unlock()
			return p
		}
	}
	return nil
}

// SetUp pulls the member's cable, or plugs it in again. The member does not notice.
func (p *Port) SetUp(up bool) {
	p.segment.mu.Lock()
	p.down = !up
	p.segment.mu.Unlock()
}

// SetConditions changes what happens from now on to what the member sends and receives.
func (p *Port) SetConditions(out, in Conditions) {
	p.segment.mu.Lock()
	defer p.segment.mu.Unlock()
	p.Out, p.In = out, in
	p.out.Conditions, p.in.Conditions = out, in
}

// SetConditions changes what the segment does from now on.
func (s *Segment) SetConditions(c Conditions) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own.Conditions = c
}

// Ports are the members, in the order of Plug.
func (s *Segment) Ports() []*Port { return s.ports }

// SetUp takes the segment up or down.
func (s *Segment) SetUp(up bool) {
	s.mu.Lock()
	s.down = !up
	s.mu.Unlock()
}

// Close ends all ports; what is still on its way is gone.
func (s *Segment) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	var errs []error
	for _, p := range s.ports {
		errs = append(errs, p.Link.Close())
	}
	return errors.Join(errs...)
}

// Pump carries what waits at in-memory ports, in the caller's goroutine, and tells how much that was.
func (s *Segment) Pump() (n int) {
	for _, p := range s.ports {
		if e, ok := p.Link.(*link.End); ok {
			n += e.Pump(func(batch []*packet.Packet) { s.carry(p, batch) })
		}
	}
	return n
}

// Serve carries until Close; the error is that of the first port that broke.
func (s *Segment) Serve() error {
	var wg sync.WaitGroup
	broken := make(chan error, len(s.ports))
	for _, p := range s.ports {
		wg.Go(func() {
			err := p.Link.Serve(0, func(batch []*packet.Packet) { s.carry(p, batch) })
			if err != nil && !errors.Is(err, link.ErrClosed) {
				broken <- err
			}
		})
	}
	wg.Wait()
	select {
	case err := <-broken:
		return err
	default:
		return nil
	}
}

func (s *Segment) carry(from *Port, batch []*packet.Packet) {
	for _, p := range batch {
		src, dst, ok := ends(p.Data)
		switch {
		case !ok:
			s.sight(s.clock.Time(), from, nil, p, NotIP)
		case dst.IsLinkLocalMulticast() && dst.Is6(), dst.IsInterfaceLocalMulticast():
		case dst.IsMulticast():
			s.toAll(from, p)
		default:
			gw := from.gateway(src, dst)
			switch to := s.next(from, gw, dst); {
			case gw == broadcast:
				s.toAll(from, p)
			case to != nil:
				s.cross(from, to, p, outStretch)
			default:
				s.sight(s.clock.Time(), from, nil, p, NoNeighbour)
			}
		}
	}
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// ends are the addresses of a datagram.
func ends(b []byte) (src, dst netip.Addr, ok bool) {
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		return netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), true
	case len(b) >= 40 && b[0]>>4 == 6:
		return netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), true
	}
	return src, dst, false
}

// toAll lets a datagram go to everybody else.
func (s *Segment) toAll(from *Port, p *packet.Packet) {
	for _, to := range s.ports {
		if to != from {
			s.cross(from, to, p, outStretch)
		}
	}
}

// gateway is where the member sends it.
func (p *Port) gateway(src, dst netip.Addr) netip.Addr {
	switch {
	case dst == broadcast:
		return broadcast
	case p.NextHop == nil:
		return netip.Addr{}
	}
	return p.NextHop(src, dst)
}

// next is the neighbour to whom a datagram goes.
func (s *Segment) next(from *Port, gw, dst netip.Addr) *Port {
	if gw.IsValid() {
		if to := s.whose(gw); to != nil && to != from {
			return to
		}
	}
	if to := s.whose(dst); to != nil && to != from {
		return to
	}
	var only *Port
	for _, p := range s.ports {
		if p.Router && p != from {
			if only != nil {
				return nil
			}
			only = p
		}
	}
	return only
}

// The stretches of a crossing, in order.
const (
	outStretch = iota // from the sender to the network
	ownStretch        // the network
	inStretch         // from the network to the receiver
	there
)

// cross lets one datagram go from port to port, from the given stretch on, with all that can happen to it.
func (s *Segment) cross(from, to *Port, p *packet.Packet, at int) {
	for ; at < there; at++ {
		now := s.clock.Time()
		s.mu.Lock()
		f, fate := s.stretch(from, to, at, now, p)
		s.mu.Unlock()
		if fate != Delivered {
			s.sight(now, from, to, p, fate)
			return
		}
		for i := range f.copies {
			switch last := i == f.copies-1; {
			case f.at[i] > now:
				q := packet.New()
				q.Load(p.Data)
				q.Offload = p.Offload
				s.clock.At(f.at[i], func() { s.cross(from, to, q, at+1) })
				if last {
					return
				}
			case !last:
				s.cross(from, to, p, at+1)
			}
		}
	}
	s.deliver(from, to, p)
}

// stretch lets a datagram begin one stretch of its way. s.mu is held.
func (s *Segment) stretch(from, to *Port, at int, now packet.Time, p *packet.Packet) (flight, Fate) {
	if s.closed {
		return flight{}, Down
	}
	switch at {
	case outStretch:
		if from.down {
			return flight{}, Down
		}
		return from.out.enter(now, p, &from.out.free, &from.out.last)
	case ownStretch:
		if s.down {
			return flight{}, Down
		}
		return s.own.enter(now, p, &from.free, &to.last)
	default:
		if to.down {
			return flight{}, Down
		}
		return to.in.enter(now, p, &to.in.free, &to.in.last)
	}
}

// deliver hands over. A kernel handles a datagram inside of the call, and may have answered it, or woken a socket, before
// Send returns: so what goes to a device is sighted first, and in the rare case that it refuses once more.
func (s *Segment) deliver(from, to *Port, p *packet.Packet) {
	at := s.clock.Time()
	_, memory := to.Link.(*link.End)
	if to.Up != nil && !to.Up() {
		s.sight(at, from, to, p, Down)
		return
	}
	if !memory {
		s.sight(at, from, to, p, Delivered)
	}
	_, err := to.Link.Send(0, []*packet.Packet{p})
	switch {
	case err == nil && memory:
		s.sight(at, from, to, p, Delivered)
	case errors.Is(err, link.ErrTooBig):
		s.sight(at, from, to, p, TooBig)
	case errors.Is(err, link.ErrFull):
		s.sight(at, from, to, p, QueueFull)
	case err != nil:
		s.sight(at, from, to, p, Down)
	}
}
