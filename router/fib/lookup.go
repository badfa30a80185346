package fib

import (
	"net/netip"

	"github.com/moat-router/moat/stack/packet"
)

// Lookup finds the route for k. It does not allocate. Special destinations (multicast, 255.255.255.255) are looked
// up like any other; a router sorts them out before it asks, and [FIB.Output] does so for packets of its own.
//
// For IPv6, IIF is also a preference among routes of equal metric, and for link-local and multicast destinations a
// condition, since Linux asks with the ingress interface (ip6_pol_route_input). PrefSrc is filled in if Src is zero.
func (f *FIB) Lookup(k Key) Result {
	h := f.find(&k, finder{})
	if h == nil {
		return Result{}
	}
	r := h.res
	if !k.Src.IsZero() {
		return r
	}
	if r.Type == Local && !k.V6 && r.PrefSrc.IsZero() {
		r.PrefSrc = k.Dst
	}
	if k.V6 && r.PrefSrc.IsZero() && (r.Type == Unicast || r.Type == Local || r.Type == Anycast || r.Type == Multicast) {
		r.PrefSrc = f.SelectAddr(true, r.Dev, k.Dst, ScopeUniverse)
	}
	return r
}

// dst is the destination as the tries want it: native.
func (k *Key) dst() netip.Addr {
	if k.V6 {
		return netip.AddrFrom16(k.Dst)
	}
	return netip.AddrFrom4([4]byte(k.Dst[12:]))
}

func (k *Key) src() netip.Addr { return (&Key{V6: k.V6, Dst: k.Src}).dst() }

// Output is Lookup for a packet that the router itself makes, with what Linux does besides (ip_route_output_key_hash_rcu):
// an IPv4 packet that is bound to an interface leaves by it even if the tables know no route, or refuse; limited
// broadcast and 224.0.0.0/24 then do not ask the tables at all.
func (f *FIB) Output(k Key) Result {
	if k.V6 || k.OIF == 0 {
		return f.Lookup(k)
	}
	if d := f.Dev(k.OIF); d == nil || !d.Up {
		return Result{}
	}
	bound := Result{Type: Unicast, Dev: k.OIF}
	if k.Src.IsZero() {
		bound.PrefSrc = f.SelectAddr(false, k.OIF, packet.Addr{}, ScopeLink)
	}
	switch {
	case k.Dst == allOnes:
		bound.Type = Broadcast
		return bound
	case localMulticast(k.Dst):
		bound.Type = Multicast
		return bound
	}
	if r := f.Lookup(k); r.Type != None && r.Type < Blackhole {
		return r
	}
	return bound
}

// finder says how routes at one prefix are chosen.
type finder struct {
	rpfilter bool // IPv6: the way of ip6_pol_route_lookup: any metric through the wished interface, else the first
	scope    Scope
}

// find is fib_lookup: rules in order, each with the longest prefix of its table. nil is "no route"; blackhole,
// unreachable and prohibit come back as hops.
func (f *FIB) find(k *Key, how finder) *hop {
	dst := k.dst()
	fm := &f.fam[fam(k.V6)]
	for i := range fm.steps {
		s := &fm.steps[i]
		if s.selects && !s.matches(k) {
			continue
		}
		switch s.action {
		case actTable:
			if s.trie == nil {
				continue
			}
			h, bits := s.trie.find(dst, k, how)
			if h == nil || h.res.Type == Throw || bits <= s.suppress && !h.failing() {
				continue
			}
			return h
		case actUnreachable:
			return nil // ENETUNREACH, as if there were no route (fib4_rule_action)
		case actProhibit:
			return &hopProhibit
		default:
			return &hopBlackhole
		}
	}
	return nil
}

var (
	hopProhibit  = hop{res: Result{Type: Prohibit}}
	hopBlackhole = hop{res: Result{Type: Blackhole}}
)

func (h *hop) failing() bool { return h.res.Type >= Blackhole && h.res.Type <= Throw }

// find is the longest prefix with a route that fits, and that prefix's length.
func (t *trie) find(dst netip.Addr, k *Key, how finder) (*hop, int) {
	n, _ := t.t.Lookup(dst)
	for ; n != nil; n = n.up {
		if h := n.pick(k, how); h != nil {
			return h, n.bits
		}
	}
	return nil, 0
}

// pick takes the route at one prefix.
func (n *node) pick(k *Key, how finder) *hop {
	if k.V6 {
		return n.pickByDev(k, how)
	}
	for i := range n.hops {
		h := &n.hops[i]
		if h.tos != 0 && h.tos != k.TOS&legacyTOS || h.scope < how.scope {
			continue
		}
		if k.OIF != 0 && h.res.Dev != k.OIF && !h.failing() {
			continue
		}
		return h
	}
	return nil
}

// legacyTOS are the TOS bits that a route or rule with "tos" is compared with (INET_DSCP_LEGACY_TOS_MASK).
const legacyTOS = 0x1c

// pickByDev is find_rr_leaf without its neighbour states: of the lowest metric the route through the wished
// interface, else the first; where the interface is a condition, the first through it of any metric.
func (n *node) pickByDev(k *Key, how finder) *hop {
	dev, strict := k.OIF, k.OIF != 0 && (k.Src.IsZero() || linkBound(k.Dst))
	if dev == 0 {
		dev, strict = k.IIF, k.IIF != 0 && linkBound(k.Dst)
	}
	if how.rpfilter {
		strict = linkBound(k.Dst)
	}
	for i := range n.hops {
		h := &n.hops[i]
		if dev != 0 && h.res.Dev == dev {
			return h
		}
		if !strict && !how.rpfilter && i+1 < len(n.hops) && n.hops[i+1].metric != h.metric {
			break
		}
	}
	if strict || len(n.hops) == 0 {
		return nil
	}
	return &n.hops[0]
}

// linkBound tells whether an IPv6 destination means nothing without its link (rt6_need_strict).
func linkBound(a packet.Addr) bool {
	return a[0] == 0xff || a[0] == 0xfe && a[1]&0xc0 == 0x80 || a == loopback6
}

var loopback6 = packet.Addr{15: 1}
