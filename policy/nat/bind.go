package nat

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// Walk is what deciding about a connection needs to know of the packet at hand.
type Walk struct {
	CT   *conntrack.Table
	B    *Bindings
	Now  packet.Time
	Conn *conntrack.Conn
	In   int // interface it came by; 0 for the router's own
	Rng  *rand.Rand
}

// Bind is Setup of a source for a rule with a behaviour: the connection's internal endpoint gets the external one of its
// binding, which is made if there is none.
func Bind(w *Walk, r *Range, how *Behaviour) packet.Reason {
	c := w.Conn
	o := c.Tuple(conntrack.Original)
	if !bindable(o.Proto) {
		return Setup(w.CT, w.Now, c, r, ManipSrc, w.Rng)
	}
	if c.Status()&conntrack.StatusConfirmed != 0 {
		return packet.ReasonNone
	}
	if Initialized(c, ManipSrc) {
		return packet.ReasonNATDrop
	}
	b := w.binding(r, how)
	if b == nil {
		return packet.ReasonNATExhausted
	}
	reply := c.Tuple(conntrack.Reply)
	why := w.use(b, reply.Src, reply.SrcPort)
	b.End()
	return why
}

// use gives the connection the binding as its source; peer is who is being sent to, as the binding's side sees it.
func (w *Walk) use(b *Binding, peer packet.Addr, port uint16) packet.Reason {
	w.Conn.SetLease(conntrack.Original, b.lease(w.Now, peer, port))
	r := exactly(&b.out)
	return Setup(w.CT, w.Now, w.Conn, &r, ManipSrc, w.Rng)
}

func exactly(e *Endpoint) Range {
	return Range{Flags: MapIPs | ProtoSpecified, MinAddr: e.Addr, MaxAddr: e.Addr, MinPort: e.Port, MaxPort: e.Port}
}

// binding gives the connection's source its binding, held once, found or made; nil if there is no room.
func (w *Walk) binding(r *Range, how *Behaviour) *Binding {
	for range reapTries {
		b, dead := w.tryBinding(r, how)
		if dead == nil {
			return b
		}
		w.B.reap(w.Now, dead) // it may be another host's, under another lock
	}
	return nil
}

// reapTries is how many dead bindings may stand in the way of one that is being made.
const reapTries = 8

func (w *Walk) tryBinding(r *Range, how *Behaviour) (b, dead *Binding) {
	o := w.Conn.Tuple(conntrack.Original)
	key := keyOf(o, how.Mapping)
	s := w.B.insideOf(&o.Src)
	s.mu.Lock()
	defer s.mu.Unlock()
	k, _ := w.Conn.Tuple(conntrack.Reply).Invert()
	k.Zone = o.Zone
	fits := func(b *Binding) bool {
		k.Src, k.SrcPort = b.out.Addr, b.out.Port
		return b.how == *how && r.holds(&k)
	}
	if b := s.find(w.Now, &key, fits); b != nil {
		b.refs.Add(1)
		b.Renew(w.Now)
		return b, nil
	}
	limit := w.B.Max
	if limit == 0 {
		limit = DefaultMax
	}
	if w.B.Len() >= limit {
		w.B.reapShard(s, func(b *Binding) bool { return !b.alive(w.Now) })
		if w.B.Len() >= limit {
			return nil, nil
		}
	}
	k.Src, k.SrcPort = o.Src, o.SrcPort
	w.pickPool(&k, r, how.Pooling)
	b = s.alloc()
	b.key, b.how, b.pool, b.dev = key, *how, *r, w.In
	b.out = Endpoint{k.Src, k.SrcPort, o.Proto, o.V6, o.Zone}
	b.refs.Store(2) // the index's and the caller's
	b.deadline.Store(0)
	a := assign{w: *w, b: b, k: k, s: s}
	if !a.port() {
		b.refs.Store(0)
		s.recycle(b)
		return nil, a.dead
	}
	b.Renew(w.Now)
	w.B.link(b)
	return b, nil
}

// pickPool chooses the address. A paired one follows from the internal address, so that no memory is needed for it.
func (w *Walk) pickPool(k *conntrack.Tuple, r *Range, p Pooling) {
	one := *r
	one.Flags |= Persistent
	if p == Paired || r.MinAddr == r.MaxAddr || r.Flags&MapIPs == 0 {
		one.pickAddr(k, ManipSrc, k.Zone)
		return
	}
	// The last eight bytes are all of an IPv4 address, and as much of a range as anybody has.
	lo, hi := binary.BigEndian.Uint64(r.MinAddr[8:]), binary.BigEndian.Uint64(r.MaxAddr[8:])
	k.Src = r.MinAddr
	binary.BigEndian.PutUint64(k.Src[8:], lo+w.Rng.Uint64N(hi-lo+1))
}
