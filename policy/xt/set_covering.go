package xt

import (
	"net/netip"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

// covering calls yield with the elements that cover a key and, in the kinds with networks, addresses, until it returns
// true: the longest prefix first, and of two networks the first before the second. What has timed out is passed over. The
// lock is held for reading.
func (s *set) covering(q *setQuery, now packet.Time, yield func(*setElem) bool) {
	switch {
	case !s.kind.hasNet():
		if e := s.exact[q.key]; e != nil && !e.dead(now) {
			yield(e)
		}
	case s.kind.hasIface():
		s.onWire(q, now, yield)
	case s.kind.twoNets:
		k := q.key
		for bits := addrBits(s.family); bits >= 0; bits-- {
			if s.first[bits] == 0 {
				continue
			}
			k.ip, k.bits = maskBits(q.first, s.family == policy.V6, uint8(bits)), uint8(bits)
			if s.inTree(&k, q.net, now, yield) {
				return
			}
		}
	default:
		s.inTree(&q.key, q.net, now, yield)
	}
}

// inTree is covering in the tree of one key.
func (s *set) inTree(k *setKey, a packet.Addr, now packet.Time, yield func(*setElem) bool) bool {
	t := s.nets[*k]
	if t == nil {
		return false
	}
	e, ok := t.Lookup(netip.AddrFrom16(a).Unmap())
	if !ok {
		return false
	}
	if !e.dead(now) && yield(e) {
		return true
	}
	for _, x := range t.Supernets(e.net) {
		if x.net.Bits() < e.net.Bits() && !x.dead(now) && yield(x) {
			return true
		}
	}
	return false
}

// onWire is covering for hash:net,iface. A network hides the shorter ones also where it is there for another interface only.
func (s *set) onWire(q *setQuery, now packet.Time, yield func(*setElem) bool) {
	a := netip.AddrFrom16(q.net).Unmap()
	t := s.nets[q.key]
	for n, have := range s.wires.Supernets(netip.PrefixFrom(a, a.BitLen())) {
		var e *setElem
		if t != nil {
			e, _ = t.Get(n)
		}
		if e != nil && !e.dead(now) && yield(e) || e == nil || have > 1 {
			return
		}
	}
}
