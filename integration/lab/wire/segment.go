package wire

import (
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

// Clock is the time of a lab.
type Clock interface {
	Time() packet.Time
	// After runs f in d from now.
	After(d time.Duration, f func())
}

// Options say how a segment behaves; the zero value with a Clock is a perfect cable.
type Options struct {
	Clock     Clock
	Delay     time.Duration
	Jitter    time.Duration
	Loss      float64 // 0 to 1
	Reorder   float64
	Duplicate float64
	Rate      int64 // bits per second of each sender; 0: no limit
	Seed      uint64
	// Down tells whether the segment carries nothing at this time; nil: never.
	Down func(packet.Time) bool
}

// queueFor is how long a datagram may wait for the rate limit before the tail is dropped.
const queueFor = time.Second

// Route is a route through a neighbour.
type Route struct {
	To  netip.Prefix
	Via netip.Addr
}

// Port is what a Segment knows of a member.
type Port struct {
	Name      string // of the host or router
	Interface string
	Addresses []netip.Addr
	Routes    []Route
	Router    bool
	Link      link.Link

	free packet.Time // when the rate limit lets the next datagram go
	last packet.Time // arrival of the latest datagram that was sent here
}

// Segment is one network.
type Segment struct {
	Name string
	o    Options
	book *Book

	ports []*Port
	owner map[netip.Addr]*Port

	mu     sync.Mutex // of everything below, and of the times in ports
	rnd    *rand.Rand
	down   bool
	closed bool
}

// New makes a segment without ports. Every crossing is entered in the book.
func New(name string, o Options, book *Book) *Segment {
	h := fnv.New64a()
	h.Write([]byte(name))
	return &Segment{Name: name, o: o, book: book, owner: map[netip.Addr]*Port{}, rnd: rand.New(rand.NewPCG(o.Seed, h.Sum64()))}
}

// Plug adds a member.
func (s *Segment) Plug(p Port) {
	port := &p
	s.ports = append(s.ports, port)
	for _, a := range p.Addresses {
		s.owner[a] = port
	}
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
		dst, ok := destination(p.Data)
		switch {
		case !ok:
			s.sight(s.o.Clock.Time(), from, nil, p, NotIP)
		case dst.IsLinkLocalMulticast() && dst.Is6(), dst.IsInterfaceLocalMulticast():
		case dst.IsMulticast() || dst == broadcast:
			for _, to := range s.ports {
				if to != from {
					s.cross(from, to, p)
				}
			}
		default:
			if to := s.next(from, dst); to != nil {
				s.cross(from, to, p)
			} else {
				s.sight(s.o.Clock.Time(), from, nil, p, NoNeighbour)
			}
		}
	}
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

func destination(b []byte) (netip.Addr, bool) {
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		return netip.AddrFrom4([4]byte(b[16:20])), true
	case len(b) >= 40 && b[0]>>4 == 6:
		return netip.AddrFrom16([16]byte(b[24:40])), true
	}
	return netip.Addr{}, false
}

// next is the neighbour to whom a datagram goes.
func (s *Segment) next(from *Port, dst netip.Addr) *Port {
	if to := s.owner[dst]; to != nil && to != from {
		return to
	}
	var best *Port
	bits := -1
	for _, r := range from.Routes {
		to := s.owner[r.Via]
		if to != nil && to != from && r.To.Contains(dst) && r.To.Bits() > bits {
			best, bits = to, r.To.Bits()
		}
	}
	if best != nil {
		return best
	}
	for _, p := range s.ports {
		if p.Router && p != from {
			if best != nil {
				return nil
			}
			best = p
		}
	}
	return best
}

// cross lets one datagram go from port to port, with all that can happen to it.
func (s *Segment) cross(from, to *Port, p *packet.Packet) {
	s.mu.Lock()
	now := s.o.Clock.Time()
	if s.closed || s.down || s.o.Down != nil && s.o.Down(now) {
		s.mu.Unlock()
		s.sight(now, from, to, p, Down)
		return
	}
	if s.o.Loss > 0 && s.rnd.Float64() < s.o.Loss {
		s.mu.Unlock()
		s.sight(now, from, to, p, Lost)
		return
	}
	copies := 1
	if s.o.Duplicate > 0 && s.rnd.Float64() < s.o.Duplicate {
		copies = 2
	}
	var at [2]packet.Time
	for i := range copies {
		t, ok := s.arrival(from, to, now, len(p.Data))
		if !ok {
			s.mu.Unlock()
			s.sight(now, from, to, p, QueueFull)
			return
		}
		at[i] = t
	}
	s.mu.Unlock()
	for _, t := range at[:copies] {
		if t <= now {
			s.deliver(from, to, p)
			continue
		}
		q := packet.New()
		q.Load(p.Data)
		q.Offload = p.Offload
		s.o.Clock.After(t.Sub(now), func() { s.deliver(from, to, q) })
	}
}

// arrival is when a datagram that is sent now is there; false if the queue before the rate limit is full. s.mu is held.
func (s *Segment) arrival(from, to *Port, now packet.Time, size int) (packet.Time, bool) {
	t := now
	if s.o.Rate > 0 {
		start := max(now, from.free)
		if start.Sub(now) > queueFor {
			return 0, false
		}
		from.free = start.Add(time.Duration(float64(size*8) / float64(s.o.Rate) * float64(time.Second)))
		t = from.free
	}
	if s.o.Reorder > 0 && s.rnd.Float64() < s.o.Reorder {
		return t, true
	}
	delay := s.o.Delay
	if s.o.Jitter > 0 {
		delay += time.Duration((2*s.rnd.Float64() - 1) * float64(s.o.Jitter))
	}
	t = max(t.Add(max(delay, 0)), to.last)
	to.last = t
	return t, true
}

// deliver hands over. A kernel handles a datagram inside of the call, and may have answered it, or woken a socket, before
// Send returns: so what goes to a device is sighted first, and in the rare case that it refuses once more.
func (s *Segment) deliver(from, to *Port, p *packet.Packet) {
	at := s.o.Clock.Time()
	_, memory := to.Link.(*link.End)
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
