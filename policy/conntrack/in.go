package conntrack

import (
	"math/rand/v2"

	"github.com/moat-router/moat/stack/packet"
)

// HookInfo is where a packet meets conntrack, and what else it carries.
type HookInfo struct {
	Local bool    // OUTPUT: the router made the packet, its checksums are not asked for
	Mark  uint32  // the packet's mark, for --zone mark
	Dev   *string // name of the ingress interface, of a Local packet of the egress: for what OnInvalid logs
}

// verdict is what a tracker says of a packet (the return values of nf_conntrack_handle_packet).
type verdict uint8

const (
	accept verdict = iota
	invalid
	again // the connection was ended to be begun anew: look up once more
	drop
)

// In finds the packet's connection or begins one (nf_conntrack_in) and says so in ref. ref may bring a template. A
// Reason comes back only where the packet must die; INVALID is a ref without a connection.
func (t *Table) In(now packet.Time, p *packet.Packet, ref *Ref, h HookInfo, rng *rand.Rand) packet.Reason {
	if ref.Conn != nil || ref.Info == Untracked {
		return packet.ReasonNone
	}
	tmpl := ref.Template
	*ref = Ref{}
	if !p.HasL4() {
		t.stats.invalid.Add(1)
		return packet.ReasonNone
	}
	var x look // field by field: a literal would be made elsewhere and copied
	x.t, x.now, x.p, x.par, x.hook = t, now, p, t.params.Load(), h
	x.tmpl, x.zones, x.l4, x.rng = tmpl, tmpl.zones(h.Mark), p.L4Bytes(), rng
	if done := x.icmp(ref); done {
		return packet.ReasonNone
	}
	for {
		c, info, why := x.resolve()
		if c == nil {
			if why == packet.ReasonNone {
				t.stats.invalid.Add(1)
			}
			return why
		}
		x.c, x.info, x.dir = c, info, info.Dir()
		switch x.track() {
		case accept:
			if info == EstablishedReply && c.Status()&StatusSeenReply == 0 && c.SetStatus(StatusSeenReply)&StatusSeenReply == 0 {
				c.cache(CauseReply)
			}
			ref.Conn, ref.Info = c, info
			return packet.ReasonNone
		case again:
			c.put()
			continue
		case drop:
			c.put()
			t.stats.drop.Add(1)
			return packet.ReasonConntrackInvalid
		default:
			c.put()
			t.stats.invalid.Add(1)
			return packet.ReasonNone
		}
	}
}

// look is one packet on its way through In.
type look struct {
	t     *Table
	now   packet.Time
	p     *packet.Packet
	par   *Params
	hook  HookInfo
	tmpl  *Template
	zones zones
	l4    []byte
	rng   *rand.Rand
	key   Tuple

	c    *Conn
	info Info
	dir  Dir
}

// resolve is resolve_normal_ct: the connection of the packet's tuple, found or begun, and how the packet relates to it.
func (x *look) resolve() (*Conn, Info, packet.Reason) {
	k := &x.key
	x.p.Ends(&k.Src, &k.Dst)
	k.Proto, k.V6 = x.p.Proto, x.p.V6
	if !k.readPorts(x.l4) {
		return nil, 0, packet.ReasonNone
	}
	c, d := x.t.lookup(x.now, k, x.zones)
	if c == nil {
		var why packet.Reason
		if c, why = x.begin(*k); c == nil {
			return nil, 0, why
		}
		d = Original
	}
	if d == Reply {
		return c, EstablishedReply, packet.ReasonNone
	}
	switch s := c.Status(); {
	case s&StatusSeenReply != 0:
		return c, Established, packet.ReasonNone
	case s&StatusExpected != 0:
		return c, Related, packet.ReasonNone
	}
	return c, NewConn, packet.ReasonNone
}

// begin is init_conntrack: a connection that the packet alone holds until it is confirmed.
func (x *look) begin(k Tuple) (*Conn, packet.Reason) {
	t := x.t
	k.Zone = x.zones[Original]
	reply, ok := k.Invert()
	if !ok {
		return nil, packet.ReasonNone
	}
	reply.Zone = x.zones[Reply]
	c := t.blank(x.now, x.par, k, reply)
	if c == nil {
		t.stats.drop.Add(1)
		return nil, packet.ReasonConntrackFull
	}
	x.cacheEvents(c)
	x.fromTemplate(c)
	if e := t.takeExpect(x.now, &k, x.zones); e != nil {
		t.expected(c, e, x)
	} else if x.tmpl != nil && x.tmpl.Helper != "" {
		t.assign(c, x.tmpl.Helper)
	} else if x.par.Helper {
		t.assignByPort(c)
	}
	return c, packet.ReasonNone
}

// blank is a connection that nothing but its caller knows of (nf_conntrack_alloc); nil where the table is full.
func (t *Table) blank(now packet.Time, par *Params, k, reply Tuple) *Conn {
	h := t.hash(&k)
	if n := t.count.Add(1); par.Max > 0 && n > int64(par.Max) && !t.earlyDrop(now, h) {
		t.count.Add(-1)
		return nil
	}
	number := t.shardOf(h)
	s := &t.shards[number]
	s.mu.Lock()
	c := s.alloc(t, number)
	s.mu.Unlock()
	if c == nil {
		t.count.Add(-1)
		return nil
	}
	c.tuple[Original], c.tuple[Reply] = k, reply
	c.seq = t.seq.Add(1)
	c.refs.Store(1)
	if par.Acct {
		c.addExt().hasAcct = true
	}
	if par.Timestamp {
		c.addExt().hasStamp = true
	}
	return c
}

func (x *look) fromTemplate(c *Conn) {
	m := x.tmpl
	if m == nil {
		return
	}
	if tp := x.t.policies[m.Timeout]; m.Timeout != "" && tp != nil {
		c.addExt().timeouts = tp
	}
	if m.ZoneDir != ZoneBoth && x.zones == (zones{}) {
		c.addExt().zoneDir = m.ZoneDir // of any other zone the tuples tell
	}
}

// cacheEvents decides whether a new connection collects events, and which (nf_ct_ecache_ext_add): of its own accord only
// if nf_conntrack_events says so, but a rule with a mask is asked for them.
func (x *look) cacheEvents(c *Conn) {
	m := x.tmpl
	masked := m != nil && (m.HasEvents || m.HasExpEvents)
	switch {
	case x.par.Events == 0 && !masked, x.par.Events == 2 && x.t.subs.Load() == nil:
		return
	}
	c.status.Store(flagEvents)
	if masked {
		e := c.addExt()
		e.ctEvents, e.expEvents = Cause(m.Events), Cause(m.ExpEvents)
	}
}

// earlyDrop makes room in a full table: it ends the connections that are not assured in the first of eight neighbouring
// buckets that has any.
func (t *Table) earlyDrop(now packet.Time, h uint64) bool {
	var victims [8]*Conn
	s := &t.shards[t.shardOf(h)]
	for i := range 8 {
		n := 0
		s.mu.Lock()
		b := *s.buckets.Load()
		for l := link(b[(bucketOf(len(b), h)+i)&(len(b)-1)].Load()); l != 0 && n < len(victims); {
			c, d := t.at(l), l.dir()
			if st := c.Status(); st&(StatusAssured|StatusDying) == 0 || c.Expires() <= now {
				c.hold()
				victims[n] = c
				n++
			}
			l = link(c.next[d].Load())
		}
		s.mu.Unlock()
		dropped := false
		for _, c := range victims[:n] {
			if t.kill(now, c) {
				dropped = true
				t.stats.earlyDrop.Add(1)
			}
			c.put()
		}
		if dropped {
			return true
		}
	}
	return false
}

// timeouts are those of the connection's policy, or the sysctls.
func (x *look) timeouts() *Timeouts {
	if e := x.c.extension(); e != nil && e.timeouts != nil {
		return e.timeouts
	}
	return &x.par.Timeouts
}

// Release ends what the packet's walk held: a connection that nobody confirmed is freed.
func (t *Table) Release(ref *Ref) {
	if ref.Conn != nil {
		ref.Conn.put()
	}
	*ref = Ref{}
}

// Hold takes a second reference for a copy of the Ref; it must be released, too.
func (r Ref) Hold() Ref {
	if r.Conn != nil {
		r.Conn.hold()
	}
	return r
}

// ForError is the Ref of an error or reset that the router makes about the packet (nf_conntrack_attach): RELATED, in
// the other direction. It holds the connection, confirmed or not, and must be released.
func (r Ref) ForError() Ref {
	if r.Conn == nil {
		return Ref{}
	}
	info := RelatedReply
	if r.Info.Dir() == Reply {
		info = Related
	}
	return Ref{Conn: r.Conn, Info: info}.Hold()
}
