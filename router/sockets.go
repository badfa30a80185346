package router

import (
	"fmt"
	"net/netip"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/router/fib"
	"github.com/moat-router/moat/stack/host"
	"github.com/moat-router/moat/stack/packet"
)

// The router's own sockets are a gVisor stack (stack/host). What they say enters the walk at OUTPUT.

// newHost builds the stack: on virtual time if the router's clock is the manual one.
func (r *Router) newHost() {
	c := host.Config{Out: r.fromSocket, Route: r.routeForSocket, MTU: r.mtuForSocket}
	if r.cfg.Clock == nil {
		r.hostClock = host.NewClock()
		c.Clock = r.hostClock
	}
	r.host = host.New(c)
}

// fromSocket carries a datagram of a socket. On virtual time it runs inside settle, with r.mu held and the worker of the
// control plane; live, on the stack's own goroutine, which has a worker to itself.
func (r *Router) fromSocket(b *packet.Packet) {
	w := r.workers[len(r.workers)-2]
	w.enter(r.Time())
	q := w.make()
	q.Load(b.Data)
	q.Offload = b.Offload
	if q.Parse() != packet.ReasonNone {
		w.end(q, packet.ReasonIPTruncated)
		return
	}
	r.heard.reflect(q.Packet.Packet)
	k := fib.Key{V6: q.V6, Dst: q.Dst(), Src: q.Src()}
	if !q.V6 {
		k.TOS = q.TOS() & 0x1e
	}
	q.dest = w.s.fib.Lookup(k)
	q.SetTTL(w.hops(q.V6, q.dest))
	w.nested(q, w.output)
}

// mtuForSocket is what a socket's greeting is to announce: the MTU of the interface that it leaves by, that of lo where the
// peer is ourselves, or NAT says so.
func (r *Router) mtuForSocket(src, dst packet.Addr) (mtu int, ok bool) {
	d := r.state.Load().fib.Lookup(fib.Key{V6: !dst.Is4(), Dst: dst, Src: src})
	out := r.dev(d.Dev)
	if d.Type == fib.Local {
		out = r.lo
	}
	if out == nil {
		return 0, false
	}
	return int(out.mtu.Load()), true
}

func (r *Router) routeForSocket(dst netip.Addr) (dev int, src netip.Addr, ok bool) {
	d := r.state.Load().fib.Lookup(fib.Key{V6: dst.Is6(), Dst: packet.AddrFrom(dst)})
	if !reachable(d) {
		return 0, netip.Addr{}, false
	}
	return d.Dev, d.PrefSrc.IP(), true
}

// syncHost gives the stack the interfaces and addresses of the FIB. r.mu is held.
func (r *Router) syncHost(f *fib.FIB) error {
	for _, d := range f.Devs() {
		if d.Index == 0 {
			continue
		}
		if err := r.host.SetLink(d.Index, d.Name, d.MTU); err != nil {
			return fmt.Errorf("interface %s: %w", d.Name, err)
		}
		want := map[netip.Addr]bool{}
		for fam := range policy.NumFamilies {
			for _, a := range d.Addrs[fam] {
				p := netip.PrefixFrom(a.Local.IP(), a.Bits)
				want[p.Addr()] = true
				if err := r.host.AddAddress(d.Index, p); err != nil {
					return fmt.Errorf("interface %s: address %s: %w", d.Name, p, err)
				}
			}
		}
		for a := range r.hostAddrs[d.Index] {
			if !want[a] {
				r.host.RemoveAddress(d.Index, a)
			}
		}
		r.hostAddrs[d.Index] = want
	}
	return nil
}

// settle lets the sockets work until they are quiet, on virtual time. r.mu is held.
func (r *Router) settle() { r.host.Settle() }

// Listen opens a socket that completes handshakes and swallows what it gets.
func (r *Router) Listen(proto, addr string, port int) error {
	return r.ListenService(host.Silent, proto, addr, port)
}

// ListenService starts a service of the router's own: proto "tcp" or "udp", an address (0.0.0.0 and :: are all), a port.
func (r *Router) ListenService(what host.Service, proto, addr string, port int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return fmt.Errorf("listen: %q is not an address", addr)
	}
	if port < 1 || port > 65535 {
		return fmt.Errorf("listen: port %d is not in 1-65535", port)
	}
	_, err = r.host.Serve(what, proto, netip.AddrPortFrom(a, uint16(port)))
	return err
}

// Close ends the router's sockets and links. It may be called twice.
func (r *Router) Close() {
	r.host.Close()
	for _, d := range r.devs {
		if d != nil && d.link != nil {
			d.link.Close()
		}
	}
}
