package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/moat-router/moat/integration/lab/dns"
)

// dnsPort is that of name servers.
const dnsPort = 53

// nameService is what a host has to do with names.
type nameService struct {
	client *dns.Client // nil: names are looked up in the topology
	ids    atomic.Uint32

	mu      sync.Mutex
	zone    *dns.Zone // of a name server
	serving map[netip.Addr]func()
}

// serveNames starts the name servers, and tells hosts whom to ask.
func (l *Lab) serveNames() error {
	for i := range l.Topology.DNS {
		d := &l.Topology.DNS[i]
		zone, err := l.Topology.Zone(d)
		if err != nil {
			return fmt.Errorf("dns at %s: %w", d.Host, err)
		}
		h := l.Host(d.Host)
		h.names.zone = zone
		if _, err := h.ServeReply("tcp", netip.AddrPortFrom(netip.Addr{}, dnsPort), zone.Stream); err != nil {
			return fmt.Errorf("dns at %s: %w", d.Host, err)
		}
		if err := h.names.rebind(h); err != nil {
			return err
		}
	}
	for _, h := range l.hosts {
		servers := l.Topology.Resolvers(h.conf)
		if len(servers) == 0 {
			continue
		}
		h.names.client = &dns.Client{Servers: servers, Domain: l.Topology.SearchDomain(h.conf), ID: h.names.id,
			Dial: func(ctx context.Context, network string, server netip.AddrPort) (net.Conn, error) {
				return h.DialFrom(ctx, network, netip.AddrPort{}, server.String())
			}}
	}
	return nil
}

// id numbers questions: by counting, so that a run can be repeated.
func (n *nameService) id() uint16 { return uint16(n.ids.Add(1)) }

// rebind gives a name server a socket for each address that the host has now: an answer comes from the address that was
// asked.
func (n *nameService) rebind(h *Host) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.zone == nil {
		return nil
	}
	keep := map[netip.Addr]func(){}
	for _, a := range h.Addrs() {
		stop := n.serving[a]
		if stop == nil {
			var err error
			if stop, err = h.ServeReply("udp", netip.AddrPortFrom(a, dnsPort), n.zone.Datagram); err != nil {
				return fmt.Errorf("dns at %s: %w", h.Name, err)
			}
		}
		keep[a] = stop
	}
	for a, stop := range n.serving {
		if keep[a] == nil {
			stop()
		}
	}
	n.serving = keep
	return nil
}

// Lookup gives an address of a name, of family "4", "6" or "" (any): the first to which the host has a route, else the first.
// A host that knows name servers asks them, by packets; one that does not knows the names of the lab's hosts.
func (h *Host) Lookup(ctx context.Context, family, name string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return a, nil
	}
	var list []netip.Addr
	var err error
	if h.names.client != nil {
		list, err = h.names.client.LookupAddrs(ctx, family, name)
	} else {
		list, err = h.lab.addresses(family, name)
	}
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range list {
		if h.Source(a).IsValid() {
			return a, nil // RFC 6724 6, rule 1
		}
	}
	return list[0], nil
}

// LookupRecords asks the host's name servers for records of a type ("A", "MX", ...) and gives what they say, as in a zone
// file. The error is a *net.DNSError.
func (h *Host) LookupRecords(ctx context.Context, typ, name string) (out []string, err error) {
	t, err := dns.ParseType(typ)
	if err != nil {
		return nil, err
	}
	c := h.names.client
	if c == nil {
		return nil, &net.DNSError{Err: "the host knows no name server", Name: name}
	}
	list, err := c.Lookup(ctx, name, t)
	for _, r := range list {
		out = append(out, dns.Data(r.Body))
	}
	return out, err
}

// Resolver asks a name server from this host: the one that is named, else the host's own. It looks into this machine's
// /etc/hosts and search list, as every net.Resolver does: end names with a dot.
func (h *Host) Resolver(server ...netip.AddrPort) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		to := netip.AddrPort{}
		switch c := h.names.client; {
		case len(server) > 0:
			to = server[0]
		case c == nil:
			return nil, &net.DNSError{Err: "host " + h.Name + " knows no name server"}
		default:
			to = netip.AddrPortFrom(c.Servers[0], dnsPort)
		}
		return h.DialContext(ctx, network, to.String())
	}}
}

// Lookup gives the first address of a host, of family "4", "6" or "" (any).
func (l *Lab) Lookup(family, name string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return a, nil
	}
	list, err := l.addresses(family, name)
	if err != nil {
		return netip.Addr{}, err
	}
	return list[0], nil
}

// addresses are all those of a host, at least one.
func (l *Lab) addresses(family, name string) (list []netip.Addr, err error) {
	if o := l.Host(name); o != nil {
		for _, a := range o.Addrs() {
			if family == "" || (family == "4") == a.Is4() {
				list = append(list, a)
			}
		}
	}
	if len(list) == 0 {
		return nil, &net.DNSError{Err: "no such host in the lab", Name: name, IsNotFound: true}
	}
	return list, nil
}
