package host

import (
	"runtime"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

// transmitter puts what a Host's stack makes on its link, inside gVisor's call: a link only takes a copy, so nothing can
// come back from inside of it, and a ring with a worker between the two would cost a copy and two switches of goroutines
// for each datagram. (A router's stack has the ring: its output begins a walk.)
type transmitter struct {
	s    *Stack
	link link.Link
	gso  bool          // the link takes super-segments of both families
	sent atomic.Uint64 // datagrams that Settle has not yet told of

	mu  sync.Mutex
	one [1]*packet.Packet
}

func newTransmitter(s *Stack, l link.Link) *transmitter {
	o := l.Offloads()
	return &transmitter{s: s, link: l, gso: o.Csum && o.TSO4 && o.TSO6, one: [1]*packet.Packet{packet.New()}}
}

// leave takes the parts of a datagram that is to leave the stack.
func (s *Stack) leave(parts [][]byte, o packet.Offload) {
	if s.tx == nil {
		s.ring.put(parts)
		return
	}
	t := s.tx
	t.mu.Lock()
	defer t.mu.Unlock()
	p, n := t.one[0], 0
	for _, b := range parts {
		n += copy(p.Buffer()[n:], b)
	}
	p.Reset()
	p.SetLen(n)
	p.Offload = o
	if !s.dress(p) {
		t.send(s.cfg.Clock == nil)
		t.sent.Add(1)
	}
}

// yields is how often a live sender lets others run before it gives a datagram up.
const yields = 64

// send writes to the link. A live sender that finds it full waits a little, as a socket waits for room in its send
// buffer: else it would burn the time that the reader needs. Not for long: the reader may be the caller.
func (t *transmitter) send(live bool) {
	for range yields {
		if _, err := t.link.Send(0, t.one[:]); err != link.ErrFull || !live {
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
	if n.s.tx != nil && n.s.tx.gso {
		return stack.HostGSOSupported
	}
	return stack.GSONotSupported
}

// GSOMaxSize implements stack.GSOEndpoint.
func (n *nic) GSOMaxSize() uint32 { return gsoMax }
