package fib

import (
	"net/netip"

	"github.com/moat-router/moat/stack/packet"
)

// AddrType classifies an address.
//
// IPv4 (inet_addr_type, inet_dev_addr_type): only the table local is asked. 0.0.0.0 and 255.255.255.255 are Broadcast,
// 224/4 is Multicast, everything that is not ours is Unicast; with dev not 0, what is another interface's is Unicast.
//
// IPv6 (xt_addrtype's match_lookup_rt6): ff00::/8 is Multicast; else the route decides: Unreachable where there is none or it
// rejects, Local, Anycast (also the first address of the subnet that an interface's route leads to), else Unicast. With
// dev not 0 only routes through it count, and Local is what it has itself. The match's UNICAST holds for all of these
// but Multicast and "::".
func (f *FIB) AddrType(v6 bool, a packet.Addr, dev int) Type {
	if v6 {
		return f.addrType6(a, dev)
	}
	switch {
	case a == zero4 || a == allOnes:
		return Broadcast
	case a[12]&0xf0 == 0xe0:
		return Multicast
	case f.local[0] == nil:
		return Unicast
	}
	h, _ := f.local[0].find(a.IP(), &Key{Dst: a}, finder{})
	if h == nil || dev != 0 && dev != h.res.Dev {
		return Unicast
	}
	return h.res.Type
}

func (f *FIB) addrType6(a packet.Addr, dev int) Type {
	switch {
	case a[0] == 0xff:
		return Multicast
	case dev != 0 && f.Owns(a, dev):
		return Local
	}
	h := f.find(&Key{V6: true, Dst: a, OIF: dev}, finder{})
	if h == nil || h.failing() {
		return Unreachable
	}
	switch t := h.res.Type; {
	case t == Local && dev == 0, t == Anycast:
		return t
	case t == Unicast && h.bits < 127 && h.res.Gateway.IsZero():
		if p, _ := netip.AddrFrom16(a).Prefix(int(h.bits)); p.Addr() == netip.AddrFrom16(a) {
			return Anycast // ipv6_anycast_destination
		}
	}
	return Unicast
}
