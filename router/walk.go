package router

import (
	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/router/fib"
	"github.com/moat-router/moat/stack/defrag"
	"github.com/moat-router/moat/stack/frag"
	"github.com/moat-router/moat/stack/packet"
)

// receive is the whole life of a datagram that came in by a link. The bytes stay the link's; they are edited in place
// and, if the verdict is yes, written out from where they lie.
func (w *worker) receive(b *packet.Packet, in *device) {
	p := w.begin(b)
	p.In, p.in = &in.Dev, in
	w.Depth++
	why := w.arrive(p)
	w.Depth--
	w.end(p, why)
	if len(w.looped) > 0 {
		w.drain()
	}
}

// arrive is step 2: is it an IP datagram? (ip_rcv, ip6_rcv)
func (w *worker) arrive(p *passage) packet.Reason {
	if why := p.Parse(); why != packet.ReasonNone {
		return why
	}
	p.absent = w.s.rules.Absent(policy.FamilyOf(p.V6))
	if (p.NeedsCsum || p.GSO != packet.GSONone) && !p.SettleOffload() {
		return packet.ReasonOffload
	}
	if p.in.csumGood && p.IsFragment() {
		p.CsumGood = true
	}
	if p.V6 {
		if w.s.sys.Dev(p.in.Index).DisableIPv6 != 0 {
			return packet.ReasonIPv6Disabled
		}
		if why := w.arrive6(p); why != packet.ReasonNone {
			return why
		}
	}
	return w.prerouting(p)
}

// prerouting is steps 3 to 6. Reassembly comes before raw (priority -400 before -300), so NOTRACK does not stop it.
func (w *worker) prerouting(p *passage) packet.Reason {
	if (p.IsFragment() || p.FragHdr != 0) && w.s.gather[policy.FamilyOf(p.V6)] {
		if why := w.gather(p, defrag.UserConntrackIn(0)); why != packet.ReasonNone {
			return why
		}
	}
	if why := w.table(policy.Raw, policy.PreRouting, p); why != packet.ReasonNone {
		return why
	}
	if why := w.track(p, policy.PreRouting); why != packet.ReasonNone {
		return why
	}
	if why := w.table(policy.Mangle, policy.PreRouting, p); why != packet.ReasonNone {
		return why
	}
	if p.looped {
		return w.loopedIn(p)
	}
	if why := w.nat(policy.PreRouting, p); why != packet.ReasonNone {
		return why
	}
	return w.route(p)
}

// route is step 7, after DNAT, so that DNAT steers it (ip_route_input, ip6_route_input).
func (w *worker) route(p *passage) packet.Reason {
	if why := w.lookup(p); why != packet.ReasonNone {
		return why
	}
	if why := w.readOptions(p); why != packet.ReasonNone {
		return why
	}
	switch p.dest.Type {
	case fib.Local, fib.Broadcast, fib.Anycast, fib.Multicast:
		return w.input(p)
	case fib.Unicast:
		return w.forward(p)
	}
	return w.noRoute(p)
}

// input is step 8a: the packet is for the router itself (ip_local_deliver, ip6_input).
func (w *worker) input(p *passage) packet.Reason {
	if p.IsFragment() && !p.V6 { // IPv6 gathers behind INPUT, where the fragment header is processed
		if why := w.gather(p, defrag.UserLocal); why != packet.ReasonNone {
			return why
		}
	}
	if why := w.table(policy.Mangle, policy.Input, p); why != packet.ReasonNone {
		return why
	}
	if why := w.table(policy.Filter, policy.Input, p); why != packet.ReasonNone {
		return why
	}
	if why := w.table(policy.Security, policy.Input, p); why != packet.ReasonNone {
		return why
	}
	if why := w.nat(policy.Input, p); why != packet.ReasonNone {
		return why
	}
	if why := w.confirm(p); why != packet.ReasonNone {
		return why
	}
	return w.deliver(p)
}

// forward is step 8b: RFC 1812 5.3, in the order of ip_forward and ip6_forward, which send their errors before the
// FORWARD rules see the packet. An error is attached to the packet's own connection.
func (w *worker) forward(p *passage) packet.Reason {
	out := p.out
	p.ForwardSum()
	if p.TTL() <= 1 {
		w.icmpError(p, errTTL, 0)
		return packet.ReasonTTL
	}
	if p.V6 && p.in != out {
		if why := w.scope6(p); why != packet.ReasonNone {
			return why
		}
	}
	mtu := w.pathMTU(p, out)
	if p.V6 {
		mtu = max(int(out.mtu.Load()), minMTU6) // that of the route is asked for on the way out (ip6_dst_mtu_maybe_forward)
	}
	if frag.TooBig(p.Packet.Packet, mtu) {
		w.icmpError(p, errTooBig, uint32(mtu))
		return packet.ReasonTooBig
	}
	p.DecTTL()
	if p.redirect {
		w.sendRedirect(p)
	}

	p.Out = &out.Dev
	if why := w.table(policy.Mangle, policy.Forward, p); why != packet.ReasonNone {
		return why
	}
	if why := w.table(policy.Filter, policy.Forward, p); why != packet.ReasonNone {
		return why
	}
	if why := w.table(policy.Security, policy.Forward, p); why != packet.ReasonNone {
		return why
	}
	w.forwardOptions(p)
	return w.postrouting(p)
}

// postrouting is steps 9 and 10: mangle, SNAT, helpers, and then the connection is real. What was rejected on the way
// has left no entry.
func (w *worker) postrouting(p *passage) packet.Reason {
	p.Out = &p.out.Dev
	if p.copyTo != nil {
		p.In = p.copyTo
	}
	if why := w.table(policy.Mangle, policy.PostRouting, p); why != packet.ReasonNone {
		return why
	}
	if why := w.nat(policy.PostRouting, p); why != packet.ReasonNone {
		return why
	}
	if why := w.confirm(p); why != packet.ReasonNone {
		return why
	}
	return w.transmit(p)
}

// table runs one table at one hook. A REJECT has its answer sent from here, while the packet is as the rule saw it.
func (w *worker) table(t policy.TableID, h policy.Hook, p *passage) packet.Reason {
	if p.absent.Has(t, h) {
		return packet.ReasonNone
	}
	return w.run(t, h, p)
}

func (w *worker) run(t policy.TableID, h policy.Hook, p *passage) packet.Reason {
	if v := w.s.rules.Run(t, h, &p.Packet); v == policy.Accept {
		return packet.ReasonNone
	}
	return w.died(p)
}

// nat runs the nat table and the translation at one hook.
func (w *worker) nat(h policy.Hook, p *passage) packet.Reason {
	if v := w.s.rules.Translate(h, &p.Packet, !w.r.cfg.NoICMPTranslation); v == policy.Accept {
		if p.Trace && w.r.cfg.TraceRelated && p.related() {
			w.Trace(&p.Packet, policy.NAT, h.String(), "related", 0)
		}
		return packet.ReasonNone
	}
	return w.died(p)
}

func (w *worker) died(p *passage) packet.Reason {
	if p.Reject.Kind != policy.RejectNone {
		w.reject(p)
	}
	if p.Reason == packet.ReasonNone {
		return packet.ReasonStolen
	}
	return p.Reason
}
