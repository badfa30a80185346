package router

import (
	"github.com/moat-router/moat/router/fib"
	"github.com/moat-router/moat/stack/packet"
)

// dscpMask are the bits of TOS and traffic class that routing looks at.
const dscpMask = 0xfc

// lookup asks the FIB where p goes, after the addresses that no route may decide about (ip_route_input_slow; RFC 1812
// 5.3.7), and checks that its source may come from there.
func (w *worker) lookup(p *passage) packet.Reason {
	if p.looped {
		return packet.ReasonNone
	}
	k := fib.Key{V6: p.V6, Mark: p.Mark, IIF: p.in.Index}
	p.Ends(&k.Src, &k.Dst)
	k.TOS = p.TOS() & dscpMask
	e := w.routes.entry(&k)
	if e.made == w.s.number && e.holds(&k) {
		p.dest, p.out, p.redirect = e.dest, e.out, e.redirect
		return e.why
	}
	why := w.ask(p, k)
	*e = routeEntry{w.s.number, k, p.dest, p.out, why, p.redirect}
	return why
}

// ask is lookup without the cache: the answer depends on the key and the snapshot alone.
func (w *worker) ask(p *passage, k fib.Key) packet.Reason {
	if isMulticast(k.Dst) {
		return w.lookupMulticast(p, k.Src)
	}
	if !p.V6 {
		broadcast, why := w.martian4(p.in, k.Src, k.Dst)
		if why != packet.ReasonNone {
			return why
		}
		if broadcast {
			return w.broadcast(p, k)
		}
	}
	p.dest = w.s.fib.Lookup(k)
	switch p.dest.Type {
	case fib.Broadcast:
		return w.broadcast(p, k)
	case fib.Local, fib.Anycast:
		_, why := w.s.fib.Validate(k, 0, w.s.sourcePolicy(p.in))
		return why
	case fib.Unicast:
		return w.lookupForward(p, k)
	}
	return packet.ReasonNone
}

// lookupForward is for a packet that would be forwarded: forwarding must be on, the source fit, and a packet that
// would leave by the interface it came by, from a sender who is a neighbour there, earns its sender a redirect.
func (w *worker) lookupForward(p *passage, k fib.Key) packet.Reason {
	if !w.s.forwarding(p.in, p.V6) {
		if p.V6 {
			return packet.ReasonForwardingOff
		}
		p.dest = fib.Result{Type: fib.Unreachable} // its options are read first; then noRoute keeps silent
		return packet.ReasonNone
	}
	if p.out = w.r.dev(p.dest.Dev); p.out == nil {
		return packet.ReasonNoRoute
	}
	how := w.s.sourcePolicy(p.in)
	onLink, why := w.s.fib.Validate(k, p.dest.Dev, how)
	if why != packet.ReasonNone {
		return why
	}
	p.redirect = !p.V6 && onLink && p.out == p.in && how.SendRedirects
	return packet.ReasonNone
}

// martian4 refuses IPv4 addresses that cannot stand where they stand (RFC 1122 3.2.1.3, RFC 1812 5.3.7), and
// recognises limited broadcast.
func (w *worker) martian4(in *device, src, dst packet.Addr) (broadcast bool, why packet.Reason) {
	s, d := src[12:], dst[12:]
	limited := d[0] == 255 && d[1] == 255 && d[2] == 255 && d[3] == 255
	zero := s[0]|s[1]|s[2]|s[3] == 0 && d[0]|d[1]|d[2]|d[3] == 0
	switch {
	case isMulticast(src), s[0] == 255 && s[1] == 255 && s[2] == 255 && s[3] == 255:
		return false, packet.ReasonMartianSource
	case limited || zero:
		return true, packet.ReasonNone
	case s[0]|s[1]|s[2]|s[3] == 0: // of 0/8 only this one: Linux routes the rest since 5.3
		return false, packet.ReasonMartianSource
	case d[0]|d[1]|d[2]|d[3] == 0:
		return false, packet.ReasonMartianDest
	case d[0] == 127:
		if !w.s.routeLocalnet(in) {
			return false, packet.ReasonMartianDest
		}
	case s[0] == 127:
		if !w.s.routeLocalnet(in) {
			return false, packet.ReasonMartianSource
		}
	}
	return false, packet.ReasonNone
}

// broadcast is local delivery of a broadcast; it is never forwarded (RFC 2644).
func (w *worker) broadcast(p *passage, k fib.Key) packet.Reason {
	if s := k.Src[12:]; s[0]|s[1]|s[2]|s[3] != 0 {
		k.Dst = packet.Addr{10: 0xff, 11: 0xff}
		if _, why := w.s.fib.Validate(k, 0, w.s.sourcePolicy(p.in)); why != packet.ReasonNone {
			return why
		}
	}
	p.dest = fib.Result{Type: fib.Broadcast, Dev: p.in.Index}
	return packet.ReasonNone
}

// lookupMulticast delivers what the router listens to, and forwards nothing.
func (w *worker) lookupMulticast(p *passage, src packet.Addr) packet.Reason {
	if !w.multicastForUs(p) {
		return packet.ReasonNotForUs
	}
	if !p.V6 && (isMulticast(src) || src[12] == 255 || src[12] == 127) {
		return packet.ReasonMartianSource
	}
	p.dest = fib.Result{Type: fib.Multicast, Dev: p.in.Index}
	return packet.ReasonNone
}

// noRoute tells the sender that there is no way (ip_error, ip6_pkt_drop), unless the route says to keep silent.
func (w *worker) noRoute(p *passage) packet.Reason {
	why := noRouteReason(p.dest.Type)
	kind := errNoRoute
	switch p.dest.Type {
	case fib.Blackhole:
		return why
	case fib.Unreachable:
		kind = errUnreachable
	case fib.Prohibit:
		kind = errProhibited
	}
	if !p.V6 {
		if !w.s.forwarding(p.in, false) {
			return packet.ReasonForwardingOff
		}
		if !w.r.limits.allowNoRoute(w.now, p.Src()) {
			w.stats.drops[packet.ReasonRateLimit].Add(1)
			return why
		}
	}
	w.icmpError(p, kind, 0)
	return why
}

func noRouteReason(t fib.Type) packet.Reason {
	switch t {
	case fib.Unreachable:
		return packet.ReasonUnreachableRoute
	case fib.Prohibit:
		return packet.ReasonProhibitRoute
	case fib.Blackhole:
		return packet.ReasonBlackholeRoute
	}
	return packet.ReasonNoRoute
}

func isMulticast(a packet.Addr) bool {
	if a.Is4() {
		return a[12]&0xf0 == 0xe0
	}
	return a[0] == 0xff
}
