package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// ListenTCP listens on an address. Unspecified is all addresses of its family; "::", and the zero AddrPort's address,
// are those of both families, as in Linux. Port 0 lets the stack choose.
func (s *Stack) ListenTCP(at netip.AddrPort) (net.Listener, error) {
	ep, wq, err := s.bind("tcp", at)
	if err != nil {
		return nil, err
	}
	release, err := s.listen(ep, at, backlog)
	if err != nil {
		ep.Close()
		return nil, err
	}
	l := &tcpListener{gonet.NewTCPListener(s.ns, wq, ep), release}
	if s.cfg.Clock == nil {
		return l, nil
	}
	return &virtualListener{tcpListener: l, v: virtual{s: s, ep: ep}}, nil
}

// ListenUDP binds a UDP socket, as ListenTCP does.
func (s *Stack) ListenUDP(at netip.AddrPort) (net.PacketConn, error) {
	ep, wq, err := s.bind("udp", at)
	if err != nil {
		return nil, err
	}
	return s.udpConn(ep, wq), nil
}

// DialTCP connects. from may be zero, or have only an address or only a port.
func (s *Stack) DialTCP(ctx context.Context, from, to netip.AddrPort) (net.Conn, error) {
	from, dev, err := s.source("tcp", from, to)
	if err != nil {
		return nil, err
	}
	if s.cfg.Clock == nil {
		c, err := gonet.DialTCPWithBind(ctx, s.ns, full(from, 0), full(to, dev), netProto(to.Addr().Is6()))
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	return s.dialVirtual(ctx, from, to, dev)
}

// DialUDP makes a UDP socket that talks to one address only.
func (s *Stack) DialUDP(from, to netip.AddrPort) (net.Conn, error) {
	from, dev, err := s.source("udp", from, to)
	if err != nil {
		return nil, err
	}
	if !from.Addr().IsValid() {
		from = netip.AddrPortFrom(unspecified(to.Addr()), from.Port())
	}
	ep, wq, err := s.bind("udp", from)
	if err != nil {
		return nil, err
	}
	if e := ep.Connect(full(to, dev)); e != nil {
		ep.Close()
		return nil, opError("dial", "udp", to, e)
	}
	return s.udpConn(ep, wq), nil
}

type udpSocket interface {
	net.Conn
	net.PacketConn
}

func (s *Stack) udpConn(ep tcpip.Endpoint, wq *waiter.Queue) udpSocket {
	ep.SocketOptions().SetBroadcast(true)
	c := gonet.NewUDPConn(wq, ep)
	if s.cfg.Clock == nil {
		if s.cfg.egress != nil {
			return &routedUDP{c, s, ep}
		}
		return c
	}
	return &virtualUDP{UDPConn: c, v: virtual{s: s, ep: ep, udp: true}}
}

// source asks the routes for what a connection does not say about its own end. A router leaves it to gVisor where there
// is none: the walk will tell.
func (s *Stack) source(network string, from, to netip.AddrPort) (netip.AddrPort, int, error) {
	if s.cfg.Route == nil {
		return from, 0, nil
	}
	dev, src, ok := s.cfg.Route(to.Addr())
	switch {
	case !ok && s.cfg.egress != nil:
		return from, 0, opError("dial", network, to, &tcpip.ErrNetworkUnreachable{})
	case !ok:
		return from, 0, nil
	case !from.Addr().IsValid() || from.Addr().IsUnspecified():
		return netip.AddrPortFrom(src, from.Port()), dev, nil
	}
	return from, s.devOf(from.Addr()), nil // gVisor asks the interface that has the local address
}

// bind makes a socket and binds it.
func (s *Stack) bind(network string, at netip.AddrPort) (tcpip.Endpoint, *waiter.Queue, error) {
	proto := tcp.ProtocolNumber
	switch network {
	case "tcp":
	case "udp":
		proto = udp.ProtocolNumber
	default:
		return nil, nil, fmt.Errorf("host: %q: want tcp or udp", network)
	}
	wq := new(waiter.Queue)
	v6 := !at.Addr().IsValid() || at.Addr().Is6()
	ep, e := s.ns.NewEndpoint(proto, netProto(v6), wq)
	if e != nil {
		return nil, nil, opError("socket", network, at, e)
	}
	if network == "tcp" {
		ep.SocketOptions().SetReuseAddress(true) // a listener may come back while old connections are in TIME_WAIT
	} else {
		// gVisor would set Don't Fragment also on what it has to cut itself, and give all of that the number 0. What
		// is not cut gets it in lookLikeLinux.
		e = ep.SetSockOptInt(tcpip.MTUDiscoverOption, int(tcpip.PMTUDiscoveryDont))
	}
	if e != nil {
		ep.Close()
		return nil, nil, opError("socket", network, at, e)
	}
	if e := ep.Bind(full(at, 0)); e != nil {
		ep.Close()
		return nil, nil, opError("bind", network, at, e)
	}
	return ep, wq, nil
}

// full converts; gVisor spells "unspecified" as no address.
func full(a netip.AddrPort, dev int) tcpip.FullAddress {
	f := tcpip.FullAddress{NIC: tcpip.NICID(dev), Port: a.Port()}
	if a.Addr().IsValid() && !a.Addr().IsUnspecified() {
		f.Addr = fromIP(a.Addr())
	}
	return f
}

func unspecified(like netip.Addr) netip.Addr {
	if like.Is6() {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// opError makes of gVisor's errors what Go programs expect of sockets.
func opError(op, network string, at netip.AddrPort, e tcpip.Error) error {
	var err error
	switch e.(type) {
	case *tcpip.ErrPortInUse:
		err = syscall.EADDRINUSE
	case *tcpip.ErrBadLocalAddress:
		err = syscall.EADDRNOTAVAIL
	case *tcpip.ErrConnectionRefused:
		err = syscall.ECONNREFUSED
	case *tcpip.ErrHostUnreachable:
		err = syscall.EHOSTUNREACH
	case *tcpip.ErrNetworkUnreachable:
		err = syscall.ENETUNREACH
	case *tcpip.ErrTimeout:
		err = syscall.ETIMEDOUT
	case *tcpip.ErrConnectionReset:
		err = syscall.ECONNRESET
	default:
		err = errors.New(e.String())
	}
	var addr net.Addr = net.TCPAddrFromAddrPort(at)
	if network == "udp" {
		addr = net.UDPAddrFromAddrPort(at)
	}
	return &net.OpError{Op: op, Net: network, Addr: addr, Err: err}
}
