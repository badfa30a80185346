package lab

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/moat-router/moat/integration/lab/topology"
	"github.com/moat-router/moat/integration/lab/wire"
	"github.com/moat-router/moat/stack/host"
)

// machine is what a host is made of.
type machine interface {
	DialTCP(ctx context.Context, from, to netip.AddrPort) (net.Conn, error)
	DialUDP(from, to netip.AddrPort) (net.Conn, error)
	ListenTCP(at netip.AddrPort) (net.Listener, error)
	ListenUDP(at netip.AddrPort) (net.PacketConn, error)
	// Serve starts a built-in service, on all addresses if at has none.
	Serve(what host.Service, network string, at netip.AddrPort) (stop func(), err error)
	// ServeReply starts a server of messages: datagrams, or parts of a stream.
	ServeReply(network string, at netip.AddrPort, reply host.Reply) (stop func(), err error)
	// Send puts a whole datagram on the wire.
	Send(datagram []byte) error
	// IP runs commands of ip(8).
	IP(commands string) error
	// Addresses are those of an interface, in the order of their configuration.
	Addresses(dev string) []netip.Addr
	// Source is the address from which the host speaks to dst, by its routes; the zero Addr if it cannot.
	Source(dst netip.Addr) netip.Addr
	Close() error
}

// Host is a computer of a lab.
type Host struct {
	Name string
	lab  *Lab
	conf *topology.Host
	machine
	cables []*wire.Port
	names  nameService
	seq    atomic.Uint32 // of pings
}

func (l *Lab) addHost(c *topology.Host) (err error) {
	h := &Host{Name: c.Name, lab: l, conf: c}
	switch {
	case l.Mode == Virtual && c.Kind == string(Kernel):
		err = &topology.Mistake{Position: c.Position, Err: fmt.Errorf("host %s: kind: kernel: the kernel has no virtual time; run the lab with --hosts kernel", c.Name)}
	case l.Mode == Virtual, c.Kind == string(Virtual):
		h.machine, h.cables, err = l.newVirtualHost(c)
	default:
		h.machine, h.cables, err = l.newKernelHost(c)
	}
	if err != nil {
		return err
	}
	l.hosts = append(l.hosts, h)
	return nil
}

// IP runs a command of ip(8) in the host: "addr add 192.0.2.7/24 dev eth0", "route replace default via 192.0.2.1", "link
// set wifi down". Several are separated by ";". Sockets learn of it as they do on Linux: not at all, or by an error.
func (h *Host) IP(commands string) error {
	if err := h.machine.IP(commands); err != nil {
		return fmt.Errorf("host %s: ip: %w", h.Name, err)
	}
	return h.names.rebind(h)
}

// SetAddr gives an interface these addresses ("192.0.2.7/24") in place of those that it has, as a DHCP client does that
// got another lease, and then these routes: with its last address an interface loses its routes, too.
func (h *Host) SetAddr(dev string, addresses []string, routes ...string) error {
	commands := []string{"addr flush dev " + dev}
	for _, a := range addresses {
		commands = append(commands, "addr add "+a+" dev "+dev)
	}
	for _, r := range routes {
		commands = append(commands, "route replace "+r)
	}
	return h.IP(strings.Join(commands, "; "))
}

// Link is the cable of an interface; nil if there is none of that name.
func (h *Host) Link(dev string) *wire.Port {
	for _, c := range h.cables {
		if c.Interface == dev {
			return c
		}
	}
	return nil
}

// Addr is the host's first address of the family of like; the zero Addr if there is none.
func (h *Host) Addr(like netip.Addr) netip.Addr {
	for _, a := range h.Addrs() {
		if a.Is4() == like.Is4() {
			return a
		}
	}
	return netip.Addr{}
}

// Addrs are all addresses of the host, at this moment.
func (h *Host) Addrs() (out []netip.Addr) {
	for _, c := range h.cables {
		out = append(out, h.Addresses(c.Interface)...)
	}
	return out
}

func (h *Host) serve(s topology.Listen) error {
	what, err := host.ParseService(s.Service)
	if err != nil {
		return fmt.Errorf("host %s: listen: %w", h.Name, err)
	}
	at := netip.AddrPortFrom(netip.Addr{}, uint16(s.Port))
	if s.Address != "" {
		at = netip.AddrPortFrom(netip.MustParseAddr(s.Address), uint16(s.Port))
	}
	_, err = h.Serve(what, s.Proto, at)
	if err != nil {
		return fmt.Errorf("host %s: listen on %s %v: %w", h.Name, s.Proto, at, err)
	}
	return nil
}

// resolve reads "ADDRESS:PORT" or "HOST:PORT", where a name stands for its first address (of the wanted family, "4", "6"
// or "").
func (h *Host) resolve(ctx context.Context, family, address string) (netip.AddrPort, error) {
	if ap, err := netip.ParseAddrPort(address); err == nil {
		return ap, nil
	}
	name, portText, err := net.SplitHostPort(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	n, err := net.LookupPort("tcp", portText)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if name == "" {
		return netip.AddrPortFrom(netip.Addr{}, uint16(n)), nil
	}
	a, err := h.Lookup(ctx, family, name)
	return netip.AddrPortFrom(a, uint16(n)), err
}

// family splits "tcp4" into "tcp" and "4".
func family(network string) (proto, fam string) {
	if n := len(network); n > 0 && (network[n-1] == '4' || network[n-1] == '6') {
		return network[:n-1], network[n-1:]
	}
	return network, ""
}

// DialContext connects as net.Dialer does: "tcp", "udp", with a 4 or 6 behind it or without, to an address or a name
// (Lookup).
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return h.DialFrom(ctx, network, netip.AddrPort{}, address)
}

// Dial is DialContext without a context.
func (h *Host) Dial(network, address string) (net.Conn, error) {
	return h.DialContext(context.Background(), network, address)
}

// DialFrom is DialContext from an address, a port or both.
func (h *Host) DialFrom(ctx context.Context, network string, from netip.AddrPort, address string) (net.Conn, error) {
	proto, fam := family(network)
	to, err := h.resolve(ctx, fam, address)
	if err != nil {
		return nil, err
	}
	switch proto {
	case "tcp":
		return h.DialTCP(ctx, from, to)
	case "udp":
		return h.DialUDP(from, to)
	}
	return nil, net.UnknownNetworkError(network)
}

// Listen is net.Listen on this host.
func (h *Host) Listen(network, address string) (net.Listener, error) {
	proto, fam := family(network)
	if proto != "tcp" {
		return nil, net.UnknownNetworkError(network)
	}
	at, err := h.resolve(context.Background(), fam, address)
	if err != nil {
		return nil, err
	}
	return h.ListenTCP(at)
}

// ListenPacket is net.ListenPacket on this host.
func (h *Host) ListenPacket(network, address string) (net.PacketConn, error) {
	proto, fam := family(network)
	if proto != "udp" {
		return nil, net.UnknownNetworkError(network)
	}
	at, err := h.resolve(context.Background(), fam, address)
	if err != nil {
		return nil, err
	}
	return h.ListenUDP(at)
}

// HTTPClient is a client on this host: names are as in DialContext, connections are not kept.
func (h *Host) HTTPClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: h.DialContext, DisableKeepAlives: true}}
}

// Watch hands see every datagram that this host receives, until stop is called.
func (h *Host) Watch(see func(wire.Sighting)) (stop func()) {
	return h.lab.Watch(func(s wire.Sighting) {
		if s.Fate == wire.Delivered && s.To.Name == h.Name {
			see(s)
		}
	})
}

// Received are the datagrams among the latest sightings that this host received.
func (h *Host) Received() (out []wire.Sighting) {
	for _, s := range h.lab.Sightings() {
		if s.Fate == wire.Delivered && s.To.Name == h.Name {
			out = append(out, s)
		}
	}
	return out
}

// Sent are those that it sent.
func (h *Host) Sent() (out []wire.Sighting) {
	for _, s := range h.lab.Sightings() {
		if s.From.Name == h.Name {
			out = append(out, s)
		}
	}
	return out
}
