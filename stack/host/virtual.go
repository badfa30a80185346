package host

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/moat-router/moat/stack/packet"
)

// forever is a deadline that never comes: virtual time ends after 292 years.
const forever = packet.Time(1<<63 - 1)

// virtual is what sockets on virtual time share: instead of blocking they move the network until they can go on. A
// deadline is a time.Time of the real clock, as net.Conn wants it; it counts as that far from now on the virtual one.
type virtual struct {
	s   *Stack
	ep  tcpip.Endpoint
	udp bool // nothing goes on in gVisor once a call has returned

	mu          sync.Mutex
	read, write packet.Time // deadlines; 0: none
	closed      bool
}

// await waits for one of the events, or for the deadline that is set.
func (v *virtual) await(mask waiter.EventMask, deadline *packet.Time) error {
	if !v.udp {
		v.s.busy.Store(true)
	}
	at := func() packet.Time {
		v.mu.Lock()
		defer v.mu.Unlock()
		if *deadline == 0 {
			return forever
		}
		return *deadline
	}
	ready := func() bool {
		v.mu.Lock()
		closed := v.closed
		v.mu.Unlock()
		return closed || v.ep.Readiness(mask)&mask != 0
	}
	if at() != forever && at() <= v.s.cfg.Clock.Time() || !v.s.cfg.Wait(ready, at()) {
		return os.ErrDeadlineExceeded
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return net.ErrClosed
	}
	return nil
}

func (v *virtual) set(t time.Time, deadlines ...*packet.Time) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	at := packet.Time(0)
	if !t.IsZero() {
		at = max(v.s.cfg.Clock.Time().Add(meant(time.Until(t)))-1, 1) // before what else happens at that moment
	}
	for _, d := range deadlines {
		*d = at
	}
	return nil
}

// meant is the distance of a deadline as its setter thought of it: real time has passed since then, and how much is
// nobody's business on virtual time. So it is rounded up, by 10 ms at the most and never by more than a tenth.
func meant(d time.Duration) time.Duration {
	for _, step := range []time.Duration{10 * time.Millisecond, time.Millisecond, 100 * time.Microsecond} {
		if d >= 10*step {
			return (d + step - 1).Truncate(step)
		}
	}
	return d
}

func (v *virtual) SetDeadline(t time.Time) error      { return v.set(t, &v.read, &v.write) }
func (v *virtual) SetReadDeadline(t time.Time) error  { return v.set(t, &v.read) }
func (v *virtual) SetWriteDeadline(t time.Time) error { return v.set(t, &v.write) }

func (v *virtual) close() {
	v.mu.Lock()
	v.closed = true
	v.mu.Unlock()
	v.s.busy.Store(true)
}

func (v *virtual) opError(op, network string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: network, Err: err}
}

type virtualListener struct {
	*tcpListener
	v virtual
}

func (l *virtualListener) Accept() (net.Conn, error) {
	if err := l.v.await(waiter.ReadableEvents, &l.v.read); err != nil {
		return nil, l.v.opError("accept", "tcp", err)
	}
	ep, wq, e := l.v.ep.Accept(nil)
	if e != nil {
		return nil, opError("accept", "tcp", netip.AddrPort{}, e)
	}
	return newVirtualTCP(l.v.s, ep, wq), nil
}

// SetDeadline is that of Accept.
func (l *virtualListener) SetDeadline(t time.Time) error {
	return l.v.SetDeadline(t)
}

func (l *virtualListener) Close() error {
	l.v.close()
	return l.tcpListener.Close()
}

type virtualTCP struct {
	*gonet.TCPConn
	v virtual
}

func newVirtualTCP(s *Stack, ep tcpip.Endpoint, wq *waiter.Queue) *virtualTCP {
	return &virtualTCP{TCPConn: gonet.NewTCPConn(wq, ep), v: virtual{s: s, ep: ep}}
}

func (s *Stack) dialVirtual(ctx context.Context, from, to netip.AddrPort, dev int) (net.Conn, error) {
	wq := new(waiter.Queue)
	ep, e := s.ns.NewEndpoint(tcp.ProtocolNumber, netProto(to.Addr().Is6()), wq)
	if e == nil && (from.Addr().IsValid() || from.Port() != 0) {
		e = ep.Bind(full(from, 0))
	}
	if e == nil {
		e = ep.Connect(full(to, dev))
	}
	c := newVirtualTCP(s, ep, wq)
	if _, started := e.(*tcpip.ErrConnectStarted); started {
		if t, ok := ctx.Deadline(); ok {
			c.SetWriteDeadline(t)
			defer c.SetWriteDeadline(time.Time{})
		}
		if err := c.v.await(waiter.WritableEvents|waiter.EventErr|waiter.EventHUp, &c.v.write); err != nil {
			ep.Close()
			return nil, c.v.opError("dial", "tcp", err)
		}
		e = ep.LastError()
	}
	if e != nil {
		ep.Close()
		return nil, opError("dial", "tcp", to, e)
	}
	return c, nil
}

func (c *virtualTCP) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if err := c.v.await(waiter.ReadableEvents|waiter.EventHUp|waiter.EventErr, &c.v.read); err != nil {
		return 0, c.v.opError("read", "tcp", err)
	}
	return c.TCPConn.Read(b)
}

func (c *virtualTCP) Write(b []byte) (n int, err error) {
	for n < len(b) {
		k, e := c.v.ep.Write(bytes.NewReader(b[n:]), tcpip.WriteOptions{})
		c.v.s.busy.Store(true)
		n += int(k)
		switch e.(type) {
		case nil:
		case *tcpip.ErrWouldBlock:
			if err := c.v.await(waiter.WritableEvents|waiter.EventHUp|waiter.EventErr, &c.v.write); err != nil {
				return n, c.v.opError("write", "tcp", err)
			}
		default:
			return n, opError("write", "tcp", netip.AddrPort{}, e)
		}
	}
	return n, nil
}

func (c *virtualTCP) Close() error {
	c.v.close()
	return c.TCPConn.Close()
}

func (c *virtualTCP) CloseWrite() error {
	c.v.s.busy.Store(true)
	return c.TCPConn.CloseWrite()
}

func (c *virtualTCP) SetDeadline(t time.Time) error      { return c.v.SetDeadline(t) }
func (c *virtualTCP) SetReadDeadline(t time.Time) error  { return c.v.SetReadDeadline(t) }
func (c *virtualTCP) SetWriteDeadline(t time.Time) error { return c.v.SetWriteDeadline(t) }

type virtualUDP struct {
	*gonet.UDPConn
	v virtual
}

func (c *virtualUDP) Read(b []byte) (int, error) {
	n, _, err := c.ReadFrom(b)
	return n, err
}

func (c *virtualUDP) ReadFrom(b []byte) (int, net.Addr, error) {
	if err := c.v.await(waiter.ReadableEvents|waiter.EventErr, &c.v.read); err != nil {
		return 0, nil, c.v.opError("read", "udp", err)
	}
	return c.UDPConn.ReadFrom(b)
}

// WriteTo implements net.PacketConn.
func (c *virtualUDP) WriteTo(b []byte, to net.Addr) (int, error) {
	if c.v.s.cfg.egress == nil {
		return c.UDPConn.WriteTo(b, to)
	}
	return c.v.s.writeTo(c.v.ep, b, to)
}

func (c *virtualUDP) Close() error {
	c.v.close()
	return c.UDPConn.Close()
}

func (c *virtualUDP) SetDeadline(t time.Time) error      { return c.v.SetDeadline(t) }
func (c *virtualUDP) SetReadDeadline(t time.Time) error  { return c.v.SetReadDeadline(t) }
func (c *virtualUDP) SetWriteDeadline(t time.Time) error { return c.v.SetWriteDeadline(t) }
