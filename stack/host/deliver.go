package host

import (
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"slices"

	"github.com/moat-router/moat/stack/frag"
	"github.com/moat-router/moat/stack/packet"
)

// HasSocket tells whether a socket waits for p (parsed, whole): a TCP connection or listener, a bound UDP socket, or,
// for an ICMP error, a socket that sent what it quotes.
func (s *Stack) HasSocket(p *packet.Packet) bool {
	if p.IsICMPError() {
		q, ok := p.Quote()
		if !ok {
			return false
		}
		src, dst, ok := q.Ports()
		return ok && s.find(q.V6(), q.Proto(), q.Src(), src, q.Dst(), dst)
	}
	src, dst, ok := p.Ports()
	return ok && s.find(p.V6, p.Proto, p.Dst(), dst, p.Src(), src)
}

// halfOpen tells whether the TCP segment p belongs to a connection that has got its SYN/ACK and not acknowledged it.
func (s *Stack) halfOpen(p *packet.Packet) bool {
	src, dst, _ := p.Ports()
	return s.waiting(flow{p.Dst(), p.Src(), dst, src})
}

// waiting is halfOpen by the name of a conversation.
func (s *Stack) waiting(k flow) bool {
	ep, ok := s.endpoint(!k.local.Is4(), packet.ProtoTCP, k.local, k.localPort, k.remote, k.remotePort).(*tcp.Endpoint)
	return ok && ep.EndpointState() == tcp.StateSynRecv
}

// Refuses tells whether the TCP segment p (parsed) is one to be answered with a reset: nobody but a listener waits for it,
// and it acknowledges what was never said (RFC 9293 3.10.7.2). Once a listener has sent SYN cookies only that listener
// can tell.
func (s *Stack) Refuses(p *packet.Packet) bool {
	src, dst, _ := p.Ports()
	ep, ok := s.endpoint(p.V6, p.Proto, p.Dst(), dst, p.Src(), src).(*tcp.Endpoint)
	t, whole := p.TCP()
	return ok && whole && ep.EndpointState() == tcp.StateListen && t.Flags()&header.TCPFlagAck != 0 && t.Flags()&header.TCPFlagRst == 0 &&
		s.ns.Stats().TCP.ListenOverflowSynCookieSent.Value() == 0
}

func (s *Stack) find(v6 bool, proto uint8, local packet.Addr, localPort uint16, remote packet.Addr, remotePort uint16) bool {
	return s.endpoint(v6, proto, local, localPort, remote, remotePort) != nil
}

func (s *Stack) endpoint(v6 bool, proto uint8, local packet.Addr, localPort uint16, remote packet.Addr, remotePort uint16) stack.TransportEndpoint {
	id := stack.TransportEndpointID{
		LocalAddress: tcpip.AddrFromSlice(local.Wire(v6)), LocalPort: localPort,
		RemoteAddress: tcpip.AddrFromSlice(remote.Wire(v6)), RemotePort: remotePort,
	}
	return s.ns.FindTransportEndpoint(netProto(v6), tcpip.TransportProtocolNumber(proto), id, 0)
}

// Deliver gives a copy of p (parsed) to the stack, as received on interface dev. It returns false if there is no such
// interface. A UDP super-segment becomes the datagrams that it stands for. A wrong transport checksum is a silent drop,
// as in Linux; with NeedsCsum or CsumGood it counts as verified, and that of a fragment is not looked at.
func (s *Stack) Deliver(p *packet.Packet, dev int) bool {
	s.mu.Lock()
	l := s.links[dev]
	s.mu.Unlock()
	if l == nil || s.closed.Load() {
		return false
	}
	if !p.NeedsCsum && !p.CsumGood && !p.IsFragment() && !p.TransportSumOK() {
		return true
	}
	if p.GSO == packet.GSOUDP {
		// A socket reads datagrams, so their borders must be there again. TCP has none.
		return frag.Segment(p, packet.New(), func(q *packet.Packet) error {
			s.inject(l.nic, q)
			return nil
		}) == nil
	}
	s.inject(l.nic, p)
	return true
}

func (s *Stack) inject(n *nic, p *packet.Packet) {
	if p.Proto != packet.ProtoUDP {
		s.busy.Store(true) // UDP is through when gVisor returns; TCP's goroutines have only begun
	}
	var now packet.Time
	if s.cfg.Clock != nil {
		now = s.cfg.Clock.Time() + 1 // 0 is no time
	}
	again, taken := s.silent.arrives(p, now, func() bool { return s.halfOpen(p) })
	if again != nil {
		n.leave([][]byte{again}, packet.Offload{CsumGood: true})
	}
	if taken {
		return
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(longLived(withoutOptions(p.Data)))})
	defer pkt.DecRef()
	proto := header.IPv4ProtocolNumber
	if len(p.Data) > 0 && p.Data[0]>>4 == 6 {
		proto = header.IPv6ProtocolNumber
	}
	n.disp.DeliverNetworkPacket(proto, pkt)
}

// longLived gives a datagram at its last hop another one: gVisor asks for that before it finds that the address, which is
// of another of its links, is its own.
func longLived(b []byte) []byte {
	if len(b) < header.IPv6MinimumSize || b[0]>>4 != 6 || b[7] > 1 {
		return b
	}
	b = slices.Clone(b)
	b[7] = 2
	return b
}

// withoutOptions gives an IPv4 datagram without its options, which are no business of sockets: the router has processed them,
// and gVisor takes some that Linux takes for harmless as reason to drop.
func withoutOptions(b []byte) []byte {
	if len(b) < header.IPv4MinimumSize || b[0]>>4 != 4 || b[0]&15 <= 5 || len(b) < int(b[0]&15)*4 {
		return b
	}
	c := slices.Concat(b[:header.IPv4MinimumSize], b[int(b[0]&15)*4:])
	ip := header.IPv4(c)
	ip.SetHeaderLength(header.IPv4MinimumSize)
	ip.SetTotalLength(uint16(len(c)))
	packet.SetIPv4Checksum(c)
	return c
}

// work is the goroutine of a live stack: it empties the ring.
func (s *Stack) work() {
	defer close(s.done)
	p := packet.New()
	for s.ring.take(p, true) {
		s.send(p)
	}
}

func (s *Stack) send(p *packet.Packet) {
	p.CsumGood = true // gVisor has just computed it
	if !s.dress(p, nil) {
		s.cfg.Out(p)
	}
}

// dress gives what leaves by n its looks; it tells whether the datagram has to wait.
func (s *Stack) dress(p *packet.Packet, n *nic) (held bool) {
	if s.ids != nil {
		s.ids.renumber(p)
	}
	lookLikeLinux(p)
	if s.cfg.MTU != nil {
		announceMTU(p, s.cfg.MTU)
	}
	return s.silent.leaves(p, s.hold(n), s.waiting)
}

// hold is how a silent listener delays an acknowledgement: not at all, live.
func (s *Stack) hold(n *nic) func(release func() []byte) {
	if s.cfg.Clock == nil {
		return nil
	}
	return func(release func() []byte) {
		s.cfg.Clock.AfterFunc(delayedACK, func() {
			switch b := release(); {
			case b == nil:
			case n == nil:
				s.ring.put([][]byte{b})
			default:
				n.leave([][]byte{b}, packet.Offload{CsumGood: true})
			}
		})
	}
}

// Settle runs the stack on virtual time until it is quiet, and returns how many datagrams left. Live it does nothing.
// Out, which it calls, may deliver again.
func (s *Stack) Settle() (sent int) {
	if s.cfg.Clock == nil || !s.settler.TryLock() {
		return 0 // live; or a call from inside Out: the outer Settle goes on until all is quiet
	}
	defer s.settler.Unlock()
	for s.work1(&sent) {
	}
	return sent
}

// work1 is one round of Settle; it tells whether anything happened.
func (s *Stack) work1(sent *int) bool {
	if s.closed.Load() {
		return false
	}
	moved := false
	if next, ok := s.cfg.Clock.Next(); ok && next <= s.cfg.Clock.Time() {
		moved = s.cfg.Clock.Advance(s.cfg.Clock.Time()) > 0
	}
	if s.busy.Swap(false) {
		s.barrier()
	}
	if n := int(s.sent.Swap(0)); n > 0 {
		*sent += n
		moved = true
	}
	moved = s.listenToSelf() || moved
	for s.ring.take(s.out, false) {
		s.send(s.out)
		*sent++
		moved = true
	}
	if s.conns.runReady() > 0 {
		s.busy.Store(true)
		moved = true
	}
	return moved || s.busy.Load()
}

// barrier lets gVisor's TCP process all that was queued for it. On virtual time its processors are paused but for here,
// or it would depend on the scheduler how many segments of a batch one acknowledgement answers. Pausing waits until a
// processor's queue is empty; the second round is for what one processor handed to another that was paused already.
func (s *Stack) barrier() {
	for range 2 {
		s.ns.Resume()
		s.ns.Pause()
	}
}
