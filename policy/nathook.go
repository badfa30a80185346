package policy

import (
	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/policy/nat"
	"github.com/moat-router/moat/stack/packet"
)

const (
	protoICMP   = 1
	protoICMPv6 = 58
)

// manipAt is which end of a connection the nat table decides about at each hook that it has.
var manipAt = [NumHooks]nat.Manip{
	PreRouting: nat.ManipDst, Input: nat.ManipSrc, Output: nat.ManipDst, PostRouting: nat.ManipSrc,
}

// Translate is the nat hook (nf_nat_inet_fn and its callers). The rules are asked only for the first packet of a
// connection; what they decide, or that nothing is to be changed, is the connection's binding from then on. A RELATED
// ICMP error never meets the rules: its header and its quote are translated by the binding of the connection that it
// is about (with icmp off it passes as it is: the leak).
func (rs *Ruleset) Translate(h Hook, p *Packet, icmp bool) Verdict {
	c := p.CT.Conn
	if c == nil || rs.Tables[FamilyOf(p.V6)][NAT] == nil {
		return Accept
	}
	m := manipAt[h]
	switch p.CT.Info {
	case conntrack.Related, conntrack.RelatedReply, conntrack.NewConn:
		if p.CT.Info != conntrack.NewConn && p.isICMP() {
			if icmp && (!p.SumOK(h == PreRouting || h == Input) || !nat.TranslateICMP(p.W.CT, p.Packet, p.CT, m)) {
				p.Reason = packet.ReasonNATUntranslatable
				return Drop
			}
			return Accept
		}
		if !nat.Initialized(c, m) {
			if v := rs.Run(NAT, h, p); v != Accept {
				return v
			}
			if h == PreRouting && p.W.Bindings != nil && p.W.Bindings.Len() > 0 && !nat.Initialized(c, m) {
				w := p.NATWalk()
				if why := nat.Inbound(&w); why != packet.ReasonNone {
					p.Reason = why
					return Drop
				}
			}
			if !nat.Initialized(c, m) {
				if why := nat.NullBinding(p.W.CT, p.Now, c, m, p.W.Rand); why != packet.ReasonNone {
					p.Reason = why
					return Drop
				}
			}
			break
		}
		fallthrough
	default:
		if p.Out != nil && nat.OIFChanged(p.CT, h == PostRouting, p.Out.Index) {
			p.W.CT.Kill(p.Now, c)
			p.Reason = packet.ReasonNATDrop
			return Drop
		}
	}
	if why := nat.Translate(p.Packet, p.CT, m); why != packet.ReasonNone {
		p.Reason = why
		return Drop
	}
	if h == PostRouting {
		nat.Renew(p.Now, p.CT)
	}
	return Accept
}

// NATWalk is what nat has to know of the packet to decide about its connection.
func (p *Packet) NATWalk() nat.Walk {
	w := nat.Walk{CT: p.W.CT, B: p.W.Bindings, Now: p.Now, Conn: p.CT.Conn, Rng: p.W.Rand}
	if p.In != nil {
		w.In = p.In.Index
	}
	return w
}

func (p *Packet) isICMP() bool {
	if p.V6 {
		return p.Proto == protoICMPv6 && !p.ExtBad
	}
	return p.Proto == protoICMP
}
