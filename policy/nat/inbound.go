package nat

import (
	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// Inbound decides about a packet from somewhere to an external endpoint, where no rule has. If the endpoint has a binding
// that lets the sender call, the connection goes to the inside; if the binding does not, the packet dies. Without a
// binding nothing is done, and the packet goes on as in Linux.
//
// What is refused dies in silence, because a connection of the router's own in its place would hold the tuple that the
// inside needs when it sends there next (hole punching: both sides send, and one of them is first), and because a reset
// or an error would end the other side's attempt (RFC 5382 REQ-4).
//
// A sender that is inside itself is seen by its own external endpoint (RFC 4787 REQ-9, RFC 5382 REQ-8).
func Inbound(w *Walk) packet.Reason {
	c := w.Conn
	o := *c.Tuple(conntrack.Original)
	if !callable(o.Proto) {
		return packet.ReasonNone
	}
	to := Endpoint{o.Dst, o.DstPort, o.Proto, o.V6, o.Zone}
	b := w.B.outward(w.Now, &to)
	if b == nil {
		return packet.ReasonNone
	}
	defer b.End()
	if w.B.Reserved != nil && w.B.Reserved(to) {
		return packet.ReasonNone
	}
	from := Endpoint{Addr: o.Src, Port: o.SrcPort}
	if b.how.NoHairpin && w.In == b.dev {
		return packet.ReasonNATFiltered
	}
	src := w.hairpin(b)
	if src != nil {
		defer src.End()
		from = src.out
		src.mu.Lock()
		src.allow(w.Now, o.Dst, o.DstPort)
		src.mu.Unlock()
	}
	if !b.admits(w.Now, from.Addr, from.Port) {
		return packet.ReasonNATFiltered
	}
	c.SetLease(conntrack.Reply, b.lease(w.Now, from.Addr, from.Port))
	if src != nil {
		if why := w.use(src, o.Dst, o.DstPort); why != packet.ReasonNone {
			return why
		}
	}
	r := exactly(&b.key.in)
	return Setup(w.CT, w.Now, c, &r, ManipDst, w.Rng)
}

// hairpin gives the binding of the sender, held once, if the sender is inside: it has a binding, or it came by the interface
// that the called one is behind and is given one, of the called one's addresses.
func (w *Walk) hairpin(b *Binding) *Binding {
	o := w.Conn.Tuple(conntrack.Original)
	k := keyOf(o, b.how.Mapping)
	s := w.B.insideOf(&o.Src)
	s.mu.Lock()
	src := s.find(w.Now, &k, func(b *Binding) bool { return b.dev == w.In })
	if src != nil {
		src.refs.Add(1)
		src.Renew(w.Now)
	}
	s.mu.Unlock()
	if src == nil && w.In == b.dev && w.In != 0 {
		src = w.binding(&b.pool, &b.how)
	}
	return src
}

// Renew is told of a packet that leaves: what its sender holds is needed.
func Renew(now packet.Time, ref conntrack.Ref) {
	if l := ref.Conn.Lease(ref.Info.Dir()); l != nil {
		l.Renew(now)
	}
}
