package peers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/pion/transport/v5"
)

// Net is a host as pion's libraries see their machine: one interface, UDP only.
type Net struct{ Host *Host }

var errUDPOnly = errors.New("hosts of this world have UDP only")

// ListenUDP opens a socket at the address, or at any.
func (n *Net) ListenUDP(_ string, at *net.UDPAddr) (transport.UDPConn, error) {
	port := 0
	if at != nil {
		port = at.Port
		if a, ok := netip.AddrFromSlice(at.IP); ok && !a.IsUnspecified() && a.Unmap() != n.Host.Addr {
			return nil, fmt.Errorf("%v is not an address of this host", a)
		}
	}
	return n.Host.Listen(uint16(port))
}

// ListenPacket is ListenUDP for an address in text.
func (n *Net) ListenPacket(network, address string) (net.PacketConn, error) {
	a, err := n.ResolveUDPAddr(network, address)
	if err != nil {
		return nil, err
	}
	return n.ListenUDP(network, a)
}

// DialUDP opens a socket with a peer.
func (n *Net) DialUDP(_ string, at, to *net.UDPAddr) (transport.UDPConn, error) {
	port := 0
	if at != nil {
		port = at.Port
	}
	s, err := n.Host.Listen(uint16(port))
	if err != nil {
		return nil, err
	}
	p := to.AddrPort()
	n.Host.world.mu.Lock()
	s.peer = netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	n.Host.world.mu.Unlock()
	return s, nil
}

// Dial is DialUDP for an address in text.
func (n *Net) Dial(network, address string) (net.Conn, error) {
	a, err := n.ResolveUDPAddr(network, address)
	if err != nil {
		return nil, err
	}
	return n.DialUDP(network, nil, a)
}

// ListenTCP is refused.
func (n *Net) ListenTCP(string, *net.TCPAddr) (transport.TCPListener, error) { return nil, errUDPOnly }

// DialTCP is refused.
func (n *Net) DialTCP(string, *net.TCPAddr, *net.TCPAddr) (transport.TCPConn, error) {
	return nil, errUDPOnly
}

// ResolveIPAddr reads an address.
func (n *Net) ResolveIPAddr(_, address string) (*net.IPAddr, error) {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return nil, err
	}
	return &net.IPAddr{IP: a.AsSlice()}, nil
}

// ResolveUDPAddr reads an address with a port; no address is any.
func (n *Net) ResolveUDPAddr(_, address string) (*net.UDPAddr, error) {
	if len(address) > 0 && address[0] == ':' {
		address = "0.0.0.0" + address
	}
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	return net.UDPAddrFromAddrPort(a), nil
}

// ResolveTCPAddr reads an address with a port.
func (n *Net) ResolveTCPAddr(network, address string) (*net.TCPAddr, error) {
	a, err := n.ResolveUDPAddr(network, address)
	if err != nil {
		return nil, err
	}
	return &net.TCPAddr{IP: a.IP, Port: a.Port}, nil
}

// Interfaces are eth0.
func (n *Net) Interfaces() ([]*transport.Interface, error) {
	i := transport.NewInterface(net.Interface{Index: 1, MTU: 1500, Name: "eth0", Flags: net.FlagUp | net.FlagRunning})
	i.AddAddress(&net.IPNet{IP: n.Host.Addr.AsSlice(), Mask: net.CIDRMask(24, 32)})
	return []*transport.Interface{i}, nil
}

// InterfaceByIndex knows 1.
func (n *Net) InterfaceByIndex(index int) (*transport.Interface, error) {
	if index != 1 {
		return nil, fmt.Errorf("no interface %d", index)
	}
	all, err := n.Interfaces()
	return all[0], err
}

// InterfaceByName knows eth0.
func (n *Net) InterfaceByName(name string) (*transport.Interface, error) {
	if name != "eth0" {
		return nil, fmt.Errorf("no interface %q", name)
	}
	return n.InterfaceByIndex(1)
}

// CreateDialer gives Dial.
func (n *Net) CreateDialer(*net.Dialer) transport.Dialer { return n }

// CreateListenConfig gives ListenPacket.
func (n *Net) CreateListenConfig(*net.ListenConfig) transport.ListenConfig { return listenConfig{n} }

type listenConfig struct{ n *Net }

func (listenConfig) Listen(context.Context, string, string) (net.Listener, error) {
	return nil, errUDPOnly
}

func (l listenConfig) ListenPacket(_ context.Context, network, address string) (net.PacketConn, error) {
	return l.n.ListenPacket(network, address)
}
