package host

import (
	"runtime"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/moat-router/moat/stack/frag"
	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

// transmitter puts what a Host's stack makes on its link, inside gVisor's call: a link only takes a copy, so nothing can
// come back from inside of it, and a ring with a worker between the two would cost a copy and two switches of goroutines
// for each datagram. (A router's stack has the ring: its output begins a walk.)
type transmitter struct {
	link link.Link
	gso  bool // the link takes super-segments of both families

	mu  sync.Mutex
	one [1]*packet.Packet // nil until something is sent
}

func newTransmitter(l link.Link) *transmitter {
	o := l.Offloads()
	return &transmitter{link: l, gso: o.Csum && o.TSO4 && o.TSO6}
}

// leave takes the parts of a datagram that is to leave the stack.
func (n *nic) leave(parts [][]byte, o packet.Offload) {
	if n.tx == nil {
		n.s.ring.put(parts)
		return
	}
	t := n.tx
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.one[0] == nil {
		t.one[0] = packet.New()
	}
	p, size := t.one[0], 0
	for _, b := range parts {
		size += copy(p.Buffer()[size:], b)
	}
	p.Reset()
	p.SetLen(size)
	p.Offload = o
	if n.s.dress(p, n) {
		return
	}
	if !n.s.cut(p, n.out) {
		n.out(p)
	}
}

// out sends a datagram, while n.tx.mu is held.
func (n *nic) out(p *packet.Packet) {
	t := n.tx
	batch := t.one[:]
	if p != batch[0] {
		batch = []*packet.Packet{p} // a piece
	}
	if n.s.cfg.egress != nil {
		n.s.routed(p, batch)
	} else {
		t.send(batch, n.s.cfg.Clock == nil)
	}
	n.s.sent.Add(1)
}

// routed sends p, the only one of the batch, by the link that the routes name: gVisor sends by the one that has the source address
// (RFC 1122 3.3.4.2 calls that the strong end system model; Linux follows the weak one).
func (s *Stack) routed(p *packet.Packet, batch []*packet.Packet) {
	out, _ := s.cfg.egress(p)
	live := s.cfg.Clock == nil
	switch {
	case out == nil: // it stays; or there is no route any more for what a socket has queued
	case p.GSO != packet.GSONone && !out.gso:
		frag.Segment(p, packet.New(), func(q *packet.Packet) error {
			out.send([]*packet.Packet{q}, live)
			return nil
		})
	default:
		out.send(batch, live)
	}
}

// yields is how often a live sender lets others run before it gives a datagram up.
const yields = 64

// send writes to the link. A live sender that finds it full waits a little, as a socket waits for room in its send
// buffer: else it would burn the time that the reader needs. Not for long: the reader may be the caller.
func (t *transmitter) send(batch []*packet.Packet, live bool) {
	for range yields {
		if _, err := t.link.Send(0, batch); err != link.ErrFull || !live {
			return
		}
		runtime.Gosched()
	}
}

// offload says in virtio's words what gVisor has left to the link. Segments of a connection over a link that offloads
// carry a partial checksum, data or not; all else has its checksum.
func offload(pkt *stack.PacketBuffer) (o packet.Offload) {
	g := pkt.GSOOptions
	if g.Type == stack.GSONone || !g.NeedsCsum {
		return packet.Offload{CsumGood: true} // gVisor has just computed it
	}
	l3, l4 := len(pkt.NetworkHeader().Slice()), len(pkt.TransportHeader().Slice())
	o = packet.Offload{NeedsCsum: true, CsumStart: uint16(l3), CsumOff: header.TCPChecksumOffset}
	if pkt.Data().Size() > int(g.MSS) {
		o.GSO, o.GSOSize, o.HdrLen = packet.GSOTCPv4, g.MSS, uint16(l3+l4)
		if pkt.NetworkProtocolNumber == header.IPv6ProtocolNumber {
			o.GSO = packet.GSOTCPv6
		}
	}
	return o
}

// gsoMax is the largest super-segment, headers included: what the length fields of both families hold.
const gsoMax = 65535

// SupportedGSO implements stack.GSOEndpoint.
func (n *nic) SupportedGSO() stack.SupportedGSO {
	if n.tx != nil && n.tx.gso {
		return stack.HostGSOSupported
	}
	return stack.GSONotSupported
}

// GSOMaxSize implements stack.GSOEndpoint.
func (n *nic) GSOMaxSize() uint32 { return gsoMax }
