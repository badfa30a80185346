package router

import (
	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/policy/helper"
	"github.com/moat-router/moat/stack/packet"
)

// track is step 5: whose packet is it? A packet that brings its connection along (an error attached by us, a loop over
// lo) keeps it, and one that raw exempted stays UNTRACKED.
func (w *worker) track(p *passage, h policy.Hook) packet.Reason {
	if !w.s.track[policy.FamilyOf(p.V6)] || p.CT.Conn != nil || p.CT.Info == conntrack.Untracked {
		return packet.ReasonNone
	}
	info := conntrack.HookInfo{Local: h == policy.Output, Mark: p.Mark}
	if h == policy.Output {
		info.Dev = &p.Out.Name
	} else {
		info.Dev = &p.In.Name
	}
	return w.CT.In(w.now, p.Packet.Packet, &p.CT, info, w.Rand)
}

// related tells whether p is about a connection without being of it.
func (p *passage) related() bool {
	return p.CT.Conn != nil && (p.CT.Info == conntrack.Related || p.CT.Info == conntrack.RelatedReply)
}

// confirm is step 10: helpers look at the payload, sequence numbers are adjusted, and the connection becomes real.
func (w *worker) confirm(p *passage) packet.Reason {
	if p.CT.Conn == nil || p.CT.Conn.Settled() {
		return packet.ReasonNone
	}
	if p.CT.Conn.Helper() != nil {
		why, says := helper.Run(w.CT, w.now, p.Packet.Packet, p.CT, w.Rand)
		if says != "" {
			w.logDropped(p, says)
		}
		if why != packet.ReasonNone {
			return why
		}
	}
	return w.CT.Confirm(w.now, p.Packet.Packet, &p.CT, w.Rand)
}
