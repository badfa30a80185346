package host

import (
	"net/netip"
	"sync"

	"github.com/moat-router/moat/stack/packet"
)

// self is what a host says to itself: over lo, or to an address of its own. It waits here, since gVisor must not be
// entered from inside of itself.
type self struct {
	ring *ring          // nil: of a stack that has no lo
	p    *packet.Packet // of Settle
	live sync.Once
}

// loopBack gives a host its lo, with 127.0.0.1/8 and ::1/128.
func (h *Host) loopBack() error {
	h.self.ring, h.self.p = newRing(DefaultRing), packet.New()
	if err := h.setLink(loopback, "lo", gsoMax, &transmitter{one: [1]*packet.Packet{packet.New()}}); err != nil {
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
	p.CompleteChecksum()
	s.self.ring.put([][]byte{p.Data})
	if s.cfg.Clock == nil {
		s.self.live.Do(func() { go s.hearSelf() })
	}
}

// hearSelf is the goroutine of a live host that talks to itself.
func (s *Stack) hearSelf() {
	p := packet.New()
	for s.self.ring.take(p, true) {
		s.hear(p)
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
