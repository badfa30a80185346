package router

import (
	"net/netip"

	"github.com/moat-router/moat/router/fib"
	"github.com/moat-router/moat/stack/packet"
)

// Owns tells whether an address is, at this moment, one of interface dev. A link that knows no link layer asks for whom a
// datagram is.
func (r *Router) Owns(dev string, a netip.Addr) bool {
	f := r.state.Load().fib
	d := f.DevByName(dev)
	return d != nil && f.Owns(packet.AddrFrom(a), d.Index)
}

// NextHop is the gateway by which a datagram from src to dst leaves through interface dev, by the routes of this moment; the
// zero Addr if dst is a neighbour, or no route leads there; 255.255.255.255 if dst is the broadcast address of a subnet.
// Rules that ask for marks are not obeyed: the mark is not known any more.
func (r *Router) NextHop(dev string, src, dst netip.Addr) netip.Addr {
	f := r.state.Load().fib
	d := f.DevByName(dev)
	if d == nil {
		return netip.Addr{}
	}
	res := f.Lookup(fib.Key{V6: dst.Is6(), Dst: packet.AddrFrom(dst), Src: packet.AddrFrom(src), OIF: d.Index})
	switch {
	case res.Type == fib.Broadcast:
		return netip.AddrFrom4([4]byte{255, 255, 255, 255})
	case !reachable(res):
		return netip.Addr{}
	}
	return res.Gateway.IP()
}
