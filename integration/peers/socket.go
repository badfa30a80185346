package peers

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/pion/transport/v5/deadline"
)

// Host is a computer of a World.
type Host struct {
	Addr netip.Addr

	world   *World
	site    *Site              // nil on the internet
	sockets map[uint16]*Socket // under World.mu
}

// Socket is a UDP socket: a net.PacketConn, and with a peer a net.Conn.
type Socket struct {
	host   *Host
	port   uint16
	peer   netip.AddrPort
	in     chan message
	closed chan struct{}
	read   *deadline.Deadline
}

type message struct {
	from netip.AddrPort
	data []byte
}

// socketBuffer is how many datagrams may wait.
const socketBuffer = 1024

// Listen opens a socket; port 0 takes a free one.
func (h *Host) Listen(port uint16) (*Socket, error) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	if port == 0 {
		for port = 49152; h.sockets[port] != nil; port++ {
		}
	}
	if h.sockets[port] != nil {
		return nil, fmt.Errorf("%v: port %d is in use", h.Addr, port)
	}
	s := &Socket{host: h, port: port, in: make(chan message, socketBuffer), closed: make(chan struct{}), read: deadline.New()}
	h.sockets[port] = s
	return s, nil
}

// arrive queues a datagram; World.mu is held.
func (s *Socket) arrive(from netip.AddrPort, data []byte) {
	if s.peer.IsValid() && s.peer != from {
		return
	}
	select {
	case s.in <- message{from, slices.Clone(data)}:
	default: // the buffer is full
	}
}

func (s *Socket) receive(b []byte) (int, netip.AddrPort, error) {
	select {
	case <-s.read.Done():
		return 0, netip.AddrPort{}, os.ErrDeadlineExceeded
	default:
	}
	select {
	case m := <-s.in:
		return copy(b, m.data), m.from, nil
	case <-s.read.Done():
		return 0, netip.AddrPort{}, os.ErrDeadlineExceeded
	case <-s.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

func (s *Socket) transmit(b []byte, to netip.AddrPort) (int, error) {
	select {
	case <-s.closed:
		return 0, net.ErrClosed
	default:
	}
	from := netip.AddrPortFrom(s.host.Addr, s.port)
	return len(b), s.host.world.send(s.host, from, netip.AddrPortFrom(to.Addr().Unmap(), to.Port()), b)
}

// ReadFrom reads a datagram (net.PacketConn).
func (s *Socket) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := s.ReadFromUDP(b)
	if err != nil {
		return 0, nil, err
	}
	return n, from, nil
}

// ReadFromUDP is ReadFrom.
func (s *Socket) ReadFromUDP(b []byte) (int, *net.UDPAddr, error) {
	n, from, err := s.receive(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// ReadMsgUDP is ReadFrom; there is no out-of-band data.
func (s *Socket) ReadMsgUDP(b, _ []byte) (n, oobn, flags int, from *net.UDPAddr, err error) {
	n, from, err = s.ReadFromUDP(b)
	return n, 0, 0, from, err
}

// Read reads a datagram of the peer's.
func (s *Socket) Read(b []byte) (int, error) {
	n, _, err := s.receive(b)
	return n, err
}

// WriteTo sends a datagram (net.PacketConn).
func (s *Socket) WriteTo(b []byte, to net.Addr) (int, error) {
	a, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, fmt.Errorf("%v is no UDP address", to)
	}
	return s.WriteToUDP(b, a)
}

// WriteToUDP is WriteTo.
func (s *Socket) WriteToUDP(b []byte, to *net.UDPAddr) (int, error) {
	return s.transmit(b, to.AddrPort())
}

// WriteMsgUDP is WriteTo, or Write without an address; there is no out-of-band data.
func (s *Socket) WriteMsgUDP(b, _ []byte, to *net.UDPAddr) (n, oobn int, err error) {
	if to == nil {
		n, err = s.Write(b)
	} else {
		n, err = s.WriteToUDP(b, to)
	}
	return n, 0, err
}

// Write sends to the peer.
func (s *Socket) Write(b []byte) (int, error) {
	if !s.peer.IsValid() {
		return 0, net.ErrWriteToConnected
	}
	return s.transmit(b, s.peer)
}

// Close frees the port.
func (s *Socket) Close() error {
	s.host.world.mu.Lock()
	defer s.host.world.mu.Unlock()
	if s.host.sockets[s.port] != s {
		return net.ErrClosed
	}
	delete(s.host.sockets, s.port)
	close(s.closed)
	return nil
}

// LocalAddr is the socket's own.
func (s *Socket) LocalAddr() net.Addr {
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.host.Addr, s.port))
}

// RemoteAddr is the peer's; nil without one.
func (s *Socket) RemoteAddr() net.Addr {
	if !s.peer.IsValid() {
		return nil
	}
	return net.UDPAddrFromAddrPort(s.peer)
}

// SetDeadline is SetReadDeadline: writes do not wait.
func (s *Socket) SetDeadline(t time.Time) error { return s.SetReadDeadline(t) }

// SetReadDeadline ends reads at t.
func (s *Socket) SetReadDeadline(t time.Time) error {
	s.read.Set(t)
	return nil
}

// SetWriteDeadline changes nothing: writes do not wait.
func (s *Socket) SetWriteDeadline(time.Time) error { return nil }

// SetReadBuffer changes nothing: 1024 datagrams may wait.
func (s *Socket) SetReadBuffer(int) error { return nil }

// SetWriteBuffer changes nothing: writes do not wait.
func (s *Socket) SetWriteBuffer(int) error { return nil }
