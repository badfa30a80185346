package fib

import "github.com/moat-router/moat/stack/packet"

// Source are the sysctls of an interface that decide which source addresses may come in by it (IPv4 only, as in
// Linux). The values are those in force: the larger of "all" and the interface's for RPFilter, either for AcceptLocal
// and SrcValidMark.
type Source struct {
	RPFilter     int  // rp_filter: 0 off, 1 strict, 2 loose (RFC 3704)
	AcceptLocal  bool // accept_local
	SrcValidMark bool // src_valid_mark
	// SendRedirects of the interface makes Linux look closer where the packet leaves as it came.
	SendRedirects bool
}

// Validate is fib_validate_source: may k.Src come in by k.IIF? oif is the egress interface of a forwarded packet, 0 for
// one to the router itself. onLink tells that the source is a direct neighbour of the interface (for redirects). The
// reason is ReasonMartianSource for an address of ours or one that cannot be a source, ReasonRPFilter for the wrong
// interface. IPv6 has no such check: always fine.
func (f *FIB) Validate(k Key, oif int, how Source) (onLink bool, why packet.Reason) {
	if k.V6 {
		return false, packet.ReasonNone
	}
	if how.RPFilter == 0 && (k.IIF != oif || !how.SendRedirects) {
		if how.AcceptLocal {
			return false, packet.ReasonNone
		}
		if !f.customLocal() && !f.CustomRules(false) {
			if f.Owns(k.Src, 0) {
				return false, packet.ReasonMartianSource
			}
			return false, packet.ReasonNone
		}
	}
	back := Key{Dst: k.Src, Src: k.Dst, TOS: k.TOS, IIF: oif}
	if how.SrcValidMark {
		back.Mark = k.Mark
	}
	lastResort := func() (bool, packet.Reason) {
		if how.RPFilter != 0 {
			return false, packet.ReasonRPFilter
		}
		return false, packet.ReasonNone
	}
	h := f.find(&back, finder{})
	if h == nil || h.failing() {
		return lastResort()
	}
	if h.res.Type != Unicast && (h.res.Type != Local || !how.AcceptLocal) {
		return false, packet.ReasonMartianSource
	}
	if h.res.Dev == k.IIF || h.res.Type == Local && k.IIF == Loopback {
		return h.direct, packet.ReasonNone
	}
	if d := f.Dev(k.IIF); d == nil || len(d.Addrs[0]) == 0 {
		return lastResort()
	}
	if how.RPFilter == 1 {
		return false, packet.ReasonRPFilter
	}
	back.OIF = k.IIF
	if h = f.find(&back, finder{}); h != nil && h.res.Type == Unicast {
		return h.direct, packet.ReasonNone
	}
	return false, packet.ReasonNone
}

func (f *FIB) customLocal() bool { return f.state != nil && f.state.customLocal }

// Reverse are the options of the rpfilter match.
type Reverse struct {
	Loose       bool
	ValidMark   bool
	AcceptLocal bool
}

// ReversePath is the rpfilter match (ipt_rpfilter, ip6t_rpfilter): would a reply to k.Src leave by k.IIF?
func (f *FIB) ReversePath(k Key, how Reverse) bool {
	if k.IIF == Loopback {
		return true
	}
	back := Key{V6: k.V6, Dst: k.Src, TOS: k.TOS}
	if how.ValidMark {
		back.Mark = k.Mark
	}
	if k.V6 {
		return f.reverse6(&back, &k, how)
	}
	if k.Src == zero4 && (k.Dst == allOnes || localMulticast(k.Dst)) {
		return true // a host that has no address yet
	}
	if !isMulticast(k.Dst) && k.Dst != allOnes && k.Dst != zero4 {
		back.Src = k.Dst
	}
	h := f.find(&back, finder{})
	if h == nil || h.res.Type != Unicast && (h.res.Type != Local || !how.AcceptLocal) {
		return false
	}
	return how.Loose || h.res.Dev == k.IIF
}

func (f *FIB) reverse6(back, k *Key, how Reverse) bool {
	if k.Src.IsZero() {
		return true // not routable, and duplicate address detection needs it
	}
	if !isMulticast(k.Dst) {
		back.Src = k.Dst
	}
	if linkLocal(k.Src) || !how.Loose {
		back.OIF = k.IIF
	}
	h := f.find(back, finder{rpfilter: true})
	switch {
	case h == nil || h.failing() || h.res.Type == Anycast:
		return false
	case h.res.Type == Local:
		return how.AcceptLocal // on whatever interface, as measured
	}
	return how.Loose || h.res.Dev == k.IIF
}

func isMulticast(a packet.Addr) bool {
	if a.Is4() {
		return a[12]&0xf0 == 0xe0
	}
	return a[0] == 0xff
}

// localMulticast is 224.0.0.0/24.
func localMulticast(a packet.Addr) bool { return a.Is4() && a[12] == 224 && a[13]|a[14] == 0 }

func linkLocal(a packet.Addr) bool { return a[0] == 0xfe && a[1]&0xc0 == 0x80 }
