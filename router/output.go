package router

import (
	"encoding/binary"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/router/fib"
	"github.com/moat-router/moat/stack/packet"
)

// output is where the router's own packets begin (ip_local_out): OUTPUT, then POSTROUTING. p is routed already; it is
// routed again where mangle or DNAT has changed what routing looks at.
func (w *worker) output(p *passage) packet.Reason {
	if why := w.leaveBy(p, p.dest); why != packet.ReasonNone {
		return why
	}
	if why := w.table(policy.Raw, policy.Output, p); why != packet.ReasonNone {
		return why
	}
	if why := w.track(p, policy.Output); why != packet.ReasonNone {
		return why
	}
	before := w.routingKey(p)
	if why := w.table(policy.Mangle, policy.Output, p); why != packet.ReasonNone {
		return why
	}
	if w.routingKey(p) != before {
		if why := w.rerouteOutput(p); why != packet.ReasonNone {
			return why
		}
	}
	if why := w.nat(policy.Output, p); why != packet.ReasonNone {
		return why
	}
	if c := p.CT.Conn; c != nil && !w.r.cfg.NoICMPTranslation {
		// DNAT steers routing here, too; also an error that goes back to where a DNATed packet of ours came from.
		d := p.CT.Info.Dir()
		if c.Tuple(d).Dst != c.Tuple(d.Other()).Src {
			if why := w.rerouteOutput(p); why != packet.ReasonNone {
				return why
			}
		}
	}
	if why := w.table(policy.Filter, policy.Output, p); why != packet.ReasonNone {
		return why
	}
	if why := w.table(policy.Security, policy.Output, p); why != packet.ReasonNone {
		return why
	}
	if p.dest.Type == fib.Broadcast {
		w.echoBroadcast(p)
	}
	return w.postrouting(p)
}

// outputKey is what a change of in mangle OUTPUT means another route (iptable_mangle, ip6table_mangle).
type outputKey struct {
	src, dst packet.Addr
	mark     uint32
	class    uint64 // TOS; in IPv6 the hop limit and the first word: traffic class and flow label
}

func (w *worker) routingKey(p *passage) outputKey {
	k := outputKey{src: p.Src(), dst: p.Dst(), mark: p.Mark, class: uint64(p.TOS())}
	if p.V6 {
		k.class = uint64(p.TTL())<<32 | uint64(binary.BigEndian.Uint32(p.Data))
	}
	return k
}

// rerouteOutput asks the FIB again (ip_route_me_harder).
func (w *worker) rerouteOutput(p *passage) packet.Reason {
	src := p.Src()
	if !p.V6 {
		switch w.s.fib.AddrType(false, src, 0) {
		case fib.Local, fib.Unicast:
		default:
			src = packet.Addr{}
		}
	}
	k := fib.Key{V6: p.V6, Dst: p.Dst(), Src: src, Mark: p.Mark, TOS: p.TOS() & dscpMask}
	if p.V6 && (linkLocal(k.Dst) || k.Dst[0] == 0xff) {
		k.OIF = p.out.Index // such an address means something on its link only
	}
	p.dest = w.s.fib.Lookup(k)
	return w.leaveBy(p, p.dest)
}

// leaveBy sets the egress interface from a routing result for a packet of the router itself.
func (w *worker) leaveBy(p *passage, d fib.Result) packet.Reason {
	if !reachable(d) {
		return noRouteReason(d.Type)
	}
	p.out = w.r.dev(d.Dev)
	if d.Type == fib.Local || d.Type == fib.Anycast {
		p.out = w.r.lo
	}
	if p.out == nil {
		return packet.ReasonNoRoute
	}
	if p.Out == nil {
		p.Out = &p.out.Dev // a later change of route shows only at POSTROUTING: a hook has one egress for all its tables
	}
	return packet.ReasonNone
}

// transmit is step 11: cut to fit, and out (ip_finish_output, ip6_finish_output).
func (w *worker) transmit(p *passage) packet.Reason {
	out := p.out
	if out == w.r.lo || p.echo {
		return w.loop(p, out)
	}
	if !out.isUp() {
		return packet.ReasonLinkDown
	}
	return w.send(p, out)
}

// loop takes what the router sends to itself: it comes in again by the interface in, routed and with its connection
// known (loopback_xmit, dev_loopback_xmit).
func (w *worker) loop(p *passage, in *device) packet.Reason {
	q := w.make()
	q.Load(p.Data)
	q.Offload = p.Offload
	q.CsumGood = true // never on a wire
	q.Mark, q.Trace = p.Mark, p.Trace
	q.In, q.in = &in.Dev, in
	q.looped, q.dest = true, p.dest
	q.CT = p.CT
	p.CT = conntrack.Ref{} // the reference moves on
	w.looped = append(w.looped, q)
	return packet.ReasonNone
}

// loopedIn is the nat table at PREROUTING for a packet that comes from ourselves: it brings its route along, unless DNAT, or
// the translation of an error, leads it elsewhere (nf_nat_ipv4_in, nf_nat_ipv6_in).
func (w *worker) loopedIn(p *passage) packet.Reason {
	dst := p.Dst()
	if why := w.nat(policy.PreRouting, p); why != packet.ReasonNone {
		return why
	}
	p.looped = p.Dst() == dst
	return w.route(p)
}

// echoBroadcast sends a copy of a broadcast of our own back to us, as every host on the link hears it (ip_mc_output): it has a
// POSTROUTING of its own.
func (w *worker) echoBroadcast(p *passage) {
	q := w.make()
	q.Load(p.Data)
	q.Offload = p.Offload
	if q.Parse() != packet.ReasonNone {
		w.end(q, packet.ReasonNone)
		return
	}
	q.Mark, q.Trace, q.dest, q.out = p.Mark, p.Trace, p.dest, p.out
	q.CT = p.CT.Hold()
	q.echo = true
	w.nested(q, w.postrouting)
}
