package host

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moat-router/moat/stack/frag"
	"github.com/moat-router/moat/stack/packet"
)

// pathMTUs is what a host has been told of the paths of its UDP datagrams (RFC 1191, RFC 8201), as Linux notes it in route
// exceptions. gVisor learns for TCP only. A datagram that is larger than its path is cut here, so that the first one is
// lost and the second is not.
type pathMTUs struct {
	any atomic.Bool // most hosts are never told

	mu     sync.Mutex // of the rest, and while a datagram is cut
	known  map[netip.Addr]pathMTU
	cutter *frag.Cutter
	id     uint32 // of IPv6 fragments
}

type pathMTU struct {
	mtu  int
	till packet.Time
}

const (
	pmtuExpires = 10 * time.Minute // net.ipv4.route.mtu_expires, net.ipv6.route.mtu_expires
	pmtuMin4    = 552              // net.ipv4.route.min_pmtu: who claims less is believed this much
	pmtuMin6    = 1280             // RFC 8201 4: who claims less is not believed
	mostPaths   = 1024
)

// learnPMTU looks at an error that has arrived.
func (s *Stack) learnPMTU(p *packet.Packet) {
	if !p.IsICMPError() {
		return
	}
	h := p.L4Bytes()
	mtu := int(binary.BigEndian.Uint16(h[6:]))
	if p.V6 {
		mtu = int(binary.BigEndian.Uint32(h[4:]))
	}
	tooBig := !p.V6 && h[0] == 3 && h[1] == 4 || p.V6 && h[0] == 2
	q, ok := p.Quote()
	if !tooBig || !ok || mtu == 0 || q.Proto() != packet.ProtoUDP || s.devOf(q.Src().IP()) == 0 {
		return
	}
	if p.V6 && mtu < pmtuMin6 {
		return
	}
	if !p.V6 {
		mtu = max(mtu, pmtuMin4)
	}
	t := &s.paths
	t.mu.Lock()
	defer t.mu.Unlock()
	dst, now := q.Dst().IP(), s.now()
	if t.known == nil {
		t.known, t.cutter = map[netip.Addr]pathMTU{}, frag.New()
	}
	if k, ok := t.known[dst]; ok && now < k.till {
		mtu = min(mtu, k.mtu)
	}
	if len(t.known) >= mostPaths {
		clear(t.known) // as if all had expired
	}
	t.known[dst] = pathMTU{mtu, now.Add(pmtuExpires)}
	t.any.Store(true)
}

// cut sends a UDP datagram that is larger than its path in pieces; false if it is not.
func (s *Stack) cut(p *packet.Packet, send func(piece *packet.Packet)) bool {
	if !s.paths.any.Load() || p.GSO != packet.GSONone {
		return false
	}
	_, dst, ok := ends(p.Data)
	if !ok {
		return false
	}
	t := &s.paths
	t.mu.Lock()
	defer t.mu.Unlock()
	k, ok := t.known[dst]
	if !ok || len(p.Data) <= k.mtu || s.now() >= k.till || p.Parse() != packet.ReasonNone || p.Proto != packet.ProtoUDP || p.IsFragment() {
		return false
	}
	t.id++
	way := frag.Way{MTU: k.mtu, ID: t.id, Own: true, IgnoreDF: true}
	return t.cutter.Cut(p, way, func(piece *packet.Packet) error {
		send(piece)
		return nil
	}) == nil
}

// now is the stack's time.
func (s *Stack) now() packet.Time {
	if c := s.cfg.Clock; c != nil {
		return c.Time()
	}
	return packet.Time(time.Since(epoch))
}
