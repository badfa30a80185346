package host

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/moat-router/moat/stack/packet"
)

// self is what a host says to itself: over lo, or to an address of its own. It waits here, since gVisor must not be
// entered from inside of itself. Most hosts never do, and have no memory for it.
type self struct {
	begin sync.Once
	said  atomic.Pointer[monologue]
}

type monologue struct {
	ring *ring
	p    *packet.Packet
}

// loopBack gives a host its lo, with 127.0.0.1/8 and ::1/128.
func (h *Host) loopBack() error {
	if err := h.setLink(loopback, "lo", gsoMax, new(transmitter)); err != nil {
		return err
	}
	for _, a := range []string{"127.0.0.1/8", "::1/128"} {
		if err := h.Stack.AddAddress(loopback, netip.MustParsePrefix(a)); err != nil {
			return err
		}
	}
	return nil
}

// toSelf takes a datagram that does not leave.
func (s *Stack) toSelf(p *packet.Packet) {
	if s.closed.Load() {
		return
	}
	s.self.begin.Do(func() {
		m := &monologue{newRing(DefaultRing), packet.New()}
		s.self.said.Store(m)
		if s.cfg.Clock == nil {
			go func() {
				for m.ring.take(m.p, true) {
					s.hear(m.p)
				}
			}()
		}
	})
	p.CompleteChecksum()
	s.self.said.Load().ring.put([][]byte{p.Data})
}

// listenToSelf delivers what the host has said to itself, on virtual time, and tells whether that was anything.
func (s *Stack) listenToSelf() (heard bool) {
	m := s.self.said.Load()
	for m != nil && m.ring.take(m.p, false) {
		s.hear(m.p)
		heard = true
	}
	return heard
}

func (s *self) close() {
	if m := s.said.Load(); m != nil {
		m.ring.close()
	}
}

// hear delivers a datagram of the host's own to its address.
func (s *Stack) hear(p *packet.Packet) {
	if p.Parse() != packet.ReasonNone {
		return
	}
	dev := s.devOf(p.Dst().IP())
	if dev == 0 {
		dev = loopback // the rest of 127/8
	}
	s.Deliver(p, dev)
}
