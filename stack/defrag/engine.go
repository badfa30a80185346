package defrag

import (
	"encoding/binary"
	"errors"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	nic = 1
	// privateProto is an unassigned protocol number: gVisor has no opinion about what it carries.
	privateProto = 252
	// maxSet is how many fragments of one datagram gVisor gets; more are joined with their neighbours first, since its
	// search is quadratic and its memory limit counts 400 bytes for each.
	maxSet = 256
)

// The private key's addresses (RFC 5737, RFC 3849). They exist in the engine only.
var (
	src4 = tcpip.AddrFrom4([4]byte{192, 0, 2, 1})
	dst4 = tcpip.AddrFrom4([4]byte{192, 0, 2, 2})
	src6 = tcpip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: 1})
	dst6 = tcpip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: 2})
)

// engine is gVisor's reassembly behind its public API: complete sets of fragments go in, payloads come out. Not safe
// for concurrent use.
type engine struct {
	stack *stack.Stack
	link  sink
	id    uint16
	out   []byte // where the payload that is awaited belongs
	n     int    // bytes delivered; -1: nothing yet
}

func newEngine() *engine {
	e := &engine{link: sink{channel.New(0, 65536, "")}}
	e.link.LinkEPCapabilities |= stack.CapabilityRXChecksumOffload // the private header has no checksum
	e.stack = stack.New(stack.Options{
		NetworkProtocols: []stack.NetworkProtocolFactory{
			e.wrap(ipv4.NewProtocolWithOptions(ipv4.Options{AllowExternalLoopbackTraffic: true})),
			e.wrap(ipv6.NewProtocolWithOptions(ipv6.Options{AllowExternalLoopbackTraffic: true})),
		},
		Clock: stillClock{},
	})
	err := e.stack.CreateNIC(nic, e.link)
	if err == nil {
		err = e.stack.SetPromiscuousMode(nic, true)
	}
	if err != nil {
		panic("defrag: a netstack of our own refuses its only NIC: " + err.String())
	}
	return e
}

func (e *engine) close() { e.stack.Close() }

// reassemble sends a complete set, in order of offset, through gVisor and puts the payload into out, which is as long
// as the payload is.
func (e *engine) reassemble(v6 bool, set []piece, out []byte) error {
	e.id++
	e.out, e.n = out, -1
	defer func() { e.out = nil }()
	set = join(set)
	for i, p := range set {
		e.inject(v6, p, i < len(set)-1)
	}
	if e.n != len(out) {
		return errNotWhole
	}
	return nil
}

var errNotWhole = errors.New("gVisor did not make whole what is complete")

// join merges neighbours until no more than maxSet are left.
func join(set []piece) []piece {
	if len(set) <= maxSet {
		return set
	}
	per := (len(set) + maxSet - 1) / maxSet
	joined := make([]piece, 0, maxSet)
	for len(set) > 0 {
		n := min(per, len(set))
		p := piece{off: set[0].off}
		for _, s := range set[:n] {
			p.data = append(p.data, s.data...)
		}
		joined, set = append(joined, p), set[n:]
	}
	return joined
}

// inject gives gVisor one fragment, or a whole datagram if it is the only one, under the private key.
func (e *engine) inject(v6 bool, p piece, more bool) {
	var hdr [header.IPv6MinimumSize + header.IPv6FragmentHeaderSize]byte
	n, proto := header.IPv4MinimumSize, ipv4.ProtocolNumber
	if v6 {
		n, proto = len(hdr), ipv6.ProtocolNumber
		h := header.IPv6(hdr[:])
		h.Encode(&header.IPv6Fields{
			PayloadLength: uint16(header.IPv6FragmentHeaderSize + len(p.data)), TransportProtocol: nhFragment, HopLimit: 1,
			SrcAddr: src6, DstAddr: dst6,
		})
		f := hdr[header.IPv6MinimumSize:]
		f[0] = privateProto
		binary.BigEndian.PutUint16(f[2:], uint16(p.off)|more16(more))
		binary.BigEndian.PutUint32(f[4:], uint32(e.id))
	} else {
		h := header.IPv4(hdr[:n])
		h.Encode(&header.IPv4Fields{
			TotalLength: uint16(n + len(p.data)), ID: e.id, TTL: 1, Protocol: privateProto, SrcAddr: src4, DstAddr: dst4,
		})
		binary.BigEndian.PutUint16(h[6:], uint16(p.off/8)|more16(more)<<13)
	}
	v := buffer.NewView(n + len(p.data))
	v.Write(hdr[:n])
	v.Write(p.data)
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(v)})
	e.link.InjectInbound(proto, pkt)
	pkt.DecRef()
}

func more16(more bool) uint16 {
	if more {
		return 1
	}
	return 0
}

// take copies a payload that gVisor delivers.
func (e *engine) take(pkt *stack.PacketBuffer) {
	w := window{b: e.out}
	if _, err := pkt.Data().ReadTo(&w, true); err == nil {
		e.n = w.n
	}
}

// window is an io.Writer into a slice; what does not fit is counted only.
type window struct {
	b []byte
	n int
}

func (w *window) Write(b []byte) (int, error) {
	if w.n < len(w.b) {
		copy(w.b[w.n:], b)
	}
	w.n += len(b)
	return len(b), nil
}

// wrap makes a protocol whose endpoints deliver to the engine.
func (e *engine) wrap(f stack.NetworkProtocolFactory) stack.NetworkProtocolFactory {
	return func(s *stack.Stack) stack.NetworkProtocol { return &wrapped{f(s), e} }
}

type wrapped struct {
	stack.NetworkProtocol
	e *engine
}

func (w *wrapped) NewEndpoint(n stack.NetworkInterface, td stack.TransportDispatcher) stack.NetworkEndpoint {
	return w.NetworkProtocol.NewEndpoint(n, &thief{td, w.e, w.Number()})
}

// thief stands where the transport layer would.
type thief struct {
	stack.TransportDispatcher
	e   *engine
	net tcpip.NetworkProtocolNumber
}

// DeliverRawPacket is where gVisor's IPv4 shows a datagram that is whole, right after reassembly and before anybody
// looks into it. IPv6 comes by here with every fragment.
func (t *thief) DeliverRawPacket(_ tcpip.TransportProtocolNumber, pkt *stack.PacketBuffer) {
	if t.net == ipv4.ProtocolNumber {
		t.e.take(pkt)
	}
}

// DeliverTransportPacket is where gVisor's IPv6 delivers a datagram that is whole.
func (t *thief) DeliverTransportPacket(_ tcpip.TransportProtocolNumber, pkt *stack.PacketBuffer) stack.TransportPacketDisposition {
	if t.net == ipv6.ProtocolNumber {
		t.e.take(pkt)
	}
	return stack.TransportPacketHandled
}

// sink is a link that swallows what gVisor says of its own accord (MLD reports and the like).
type sink struct{ *channel.Endpoint }

func (sink) WritePackets(l stack.PacketBufferList) (int, tcpip.Error) { return l.Len(), nil }

// stillClock never moves: the book keeps the time, and nothing stays in gVisor for a timer to find.
type stillClock struct{}

func (stillClock) Now() time.Time                              { return time.Unix(0, 0) }
func (stillClock) NowMonotonic() tcpip.MonotonicTime           { return tcpip.MonotonicTime{} }
func (stillClock) AfterFunc(time.Duration, func()) tcpip.Timer { return stillTimer{} }

type stillTimer struct{}

func (stillTimer) Stop() bool          { return true }
func (stillTimer) Reset(time.Duration) {}
