package nat

import "github.com/moat-router/moat/stack/packet"

// NetMapRange is the range for one packet of -j NETMAP: the network of r with the host part of a, the address that the
// packet has now (xt_NETMAP.c).
func NetMapRange(r *Range, a packet.Addr) Range {
	out := *r
	for i := range a {
		host := r.MinAddr[i] ^ r.MaxAddr[i]
		a[i] = a[i]&host | r.MinAddr[i]&^host
	}
	out.Flags |= MapIPs
	out.MinAddr, out.MaxAddr = a, a
	return out
}
