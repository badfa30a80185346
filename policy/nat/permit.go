package nat

import (
	"encoding/binary"
	"math/bits"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// permit says that an external endpoint may call at a binding: something was sent to it. It lives with the connections
// that gave it, and then as long as the binding would if nothing more were sent. As a lease it holds the binding.
type permit struct {
	b        *Binding
	addr     packet.Addr
	port     uint16 // 0 where filtering does not ask
	conns    int    // that hold it
	deadline packet.Time
	next     *permit
}

// Renew renews the binding (conntrack.Lease).
func (p *permit) Renew(now packet.Time) { p.b.Renew(now) }

// End gives a hold back (conntrack.Lease).
func (p *permit) End() {
	b := p.b
	b.mu.Lock()
	p.conns--
	p.deadline = max(p.deadline, b.Expires())
	b.mu.Unlock()
	b.End()
}

// peer is what filtering asks of an external endpoint.
func (b *Binding) peer(a packet.Addr, port uint16) (packet.Addr, uint16) {
	if b.how.Filtering != AddressAndPortDependent {
		port = 0
	}
	return a, port
}

// admits tells whether an external endpoint may call (RFC 4787 5).
func (b *Binding) admits(now packet.Time, a packet.Addr, port uint16) bool {
	if b.how.Filtering == EndpointIndependent {
		return true
	}
	a, port = b.peer(a, port)
	b.mu.Lock()
	defer b.mu.Unlock()
	for p := b.permits; p != nil; p = p.next {
		if p.addr == a && p.port == port {
			return p.conns > 0 || p.deadline > now
		}
	}
	return false
}

// lease is the hold of a connection that sends to an external endpoint, which may call from now on.
func (b *Binding) lease(now packet.Time, a packet.Addr, port uint16) conntrack.Lease {
	b.refs.Add(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.allow(now, a, port); p != nil {
		p.conns++
		return p
	}
	return b
}

// allow lets an external endpoint call, since something is being sent to it; nil where nobody asks, or where all permits
// are held by connections. The caller holds b.mu.
func (b *Binding) allow(now packet.Time, a packet.Addr, port uint16) *permit {
	if b.how.Filtering == EndpointIndependent {
		return nil
	}
	a, port = b.peer(a, port)
	var idle *permit // the one that ends first, of those that no connection holds
	for p := b.permits; p != nil; p = p.next {
		if p.addr == a && p.port == port {
			p.deadline = now.Add(lifetime(b.out.Proto))
			return p
		}
		if p.conns == 0 && (idle == nil || p.deadline <= idle.deadline) {
			idle = p
		}
	}
	p := idle
	if p == nil || p.deadline > now && b.granted < maxPermits {
		if b.granted >= maxPermits {
			return nil
		}
		p = b.shard.takePermit()
		p.next, b.permits = b.permits, p
		b.granted++
	}
	p.b, p.addr, p.port, p.deadline = b, a, port, now.Add(lifetime(b.out.Proto))
	return p
}

// takePermit gives an empty permit.
func (s *insideShard) takePermit() *permit {
	s.permitMu.Lock()
	defer s.permitMu.Unlock()
	if s.permits == nil {
		chunk := make([]permit, bindingChunk)
		for i := range chunk {
			chunk[i].next, s.permits = s.permits, &chunk[i]
		}
	}
	p := s.permits
	s.permits, p.next = p.next, nil
	return p
}

// hashAddr and mix make the hashes of the indexes. Whoever can aim at a bucket is inside, and hurts the shard of its own
// address at most.
func hashAddr(a *packet.Addr) uint64 {
	le := binary.LittleEndian
	return mix(le.Uint64(a[:])^0x9e3779b97f4a7c15, le.Uint64(a[8:])^0xd1b54a32d192ed03)
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0xa0761d6478bd642f, b^0xe7037ed1a0b428db)
	return hi ^ lo
}
