package host

import (
	"bytes"
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
)

// routedUDP is a live UDP socket of a host with routes of its own.
type routedUDP struct {
	*gonet.UDPConn
	s  *Stack
	ep tcpip.Endpoint
}

// WriteTo implements net.PacketConn.
func (c *routedUDP) WriteTo(b []byte, to net.Addr) (int, error) { return c.s.writeTo(c.ep, b, to) }

// writeTo sends a datagram by the interface that the routes name, which decides its source address.
func (s *Stack) writeTo(ep tcpip.Endpoint, b []byte, to net.Addr) (int, error) {
	u, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, &net.OpError{Op: "write", Net: "udp", Addr: to, Err: net.InvalidAddrError("want a *net.UDPAddr")}
	}
	at := netip.AddrPortFrom(u.AddrPort().Addr().Unmap(), uint16(u.Port))
	full := full(at, 0)
	if !s.toward(ep, &full) {
		return 0, opError("write", "udp", at, &tcpip.ErrNetworkUnreachable{})
	}
	n, e := ep.Write(bytes.NewReader(b), tcpip.WriteOptions{To: &full})
	if e != nil {
		return int(n), opError("write", "udp", at, e)
	}
	return int(n), nil
}

// toward names the interface by which a socket without an address of its own reaches to; false if no route leads there.
// Of one that has an address gVisor asks the interface that has it.
func (s *Stack) toward(ep tcpip.Endpoint, to *tcpip.FullAddress) (ok bool) {
	if s.cfg.egress == nil {
		return true
	}
	addr, ok := netip.AddrFromSlice(to.Addr.AsSlice())
	if !ok {
		return true // gVisor tells
	}
	dev, _, ok := s.cfg.Route(addr.Unmap())
	to.NIC = tcpip.NICID(dev)
	if local, e := ep.GetLocalAddress(); e == nil && local.Addr.Len() > 0 {
		to.NIC = 0
	}
	return ok || addr.IsMulticast()
}
