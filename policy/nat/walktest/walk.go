package walktest

import (
	"math/rand/v2"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/policy/nat"
	"github.com/moat-router/moat/stack/packet"
)

// Links of the router, and their numbers.
const (
	Lan = "lan"
	Wan = "wan"
)

// Router is two links with conntrack and NAT between them. Fields are set before the first packet.
type Router struct {
	T   *conntrack.Table
	Now packet.Time
	Rng *rand.Rand

	SNAT *nat.Range // for what leaves by wan; nil for none
	DNAT *nat.Range // for what arrives at wan for DNATTo
	To   packet.Addr
	// Masq makes SNAT a masquerade: connections remember the interface.
	Masq bool
	// Forward is the filter; nil lets all through.
	Forward func(in string, s conntrack.State) bool
	// Helper looks at a packet of a connection before that is confirmed; nil for none.
	Helper func(p *packet.Packet, ref conntrack.Ref) packet.Reason
	// Local tells the router's own addresses; what goes there ends at INPUT.
	Local func(a packet.Addr) bool

	Events []conntrack.Event
	Log    []string
	Last   conntrack.Ref // as the last packet had it; only its State is good after the packet
	Reason packet.Reason // why the last packet died

	p *packet.Packet
}

// New makes a router with Linux's defaults and a seed of its own.
func New(params *conntrack.Params) *Router {
	return &Router{
		T:   conntrack.New(conntrack.Options{Params: params, Seed: 1, Shards: 4}),
		Rng: rand.New(rand.NewPCG(1, 2)), p: packet.New(),
	}
}

// Listen collects events and the messages about INVALID packets.
func (r *Router) Listen() {
	r.T.Subscribe(func(e conntrack.Event) { r.Events = append(r.Events, e) })
	r.T.OnInvalid = func(_ *packet.Packet, _ conntrack.HookInfo, _ uint8, msg string) { r.Log = append(r.Log, msg) }
}

// Sent is a packet that left.
type Sent struct {
	Link string
	Data []byte
}

// Route is by prefix: 192.168.1.0/24 and fd00:1::/64 are at lan, all else at wan.
func Route(a packet.Addr) string {
	if a.Is4() && a[12] == 192 && a[13] == 168 && a[14] == 1 || !a.Is4() && a[0] == 0xfd && a[3] == 1 {
		return Lan
	}
	return Wan
}

// Inject lets a datagram arrive and says what left; nil for nothing.
func (r *Router) Inject(in string, b []byte) *Sent {
	p := r.p
	p.Load(b)
	r.Last, r.Reason = conntrack.Ref{}, packet.ReasonNone
	if r.Reason = p.Parse(); r.Reason != packet.ReasonNone {
		return nil
	}
	var ref conntrack.Ref
	defer func() { r.T.Release(&ref) }()
	if r.Reason = r.T.In(r.Now, p, &ref, conntrack.HookInfo{}, r.Rng); r.Reason != packet.ReasonNone {
		return nil
	}
	r.Last = ref
	var dnat *nat.Range
	if in == Wan && p.Dst() == r.To {
		dnat = r.DNAT
	}
	if !r.nat(&ref, dnat, nat.ManipDst, false) {
		return nil
	}
	out := Route(p.Dst())
	if r.Local != nil && r.Local(p.Dst()) {
		if r.nat(&ref, nil, nat.ManipSrc, false) {
			r.Reason = r.T.Confirm(r.Now, p, &ref, r.Rng)
		}
		return nil
	}
	if p.TTL() <= 1 {
		r.Reason = packet.ReasonTTL
		return nil
	}
	p.DecTTL()
	if r.Forward != nil && !r.Forward(in, ref.State()) {
		r.Reason = packet.ReasonFilterDrop
		return nil
	}
	var snat *nat.Range
	if out == Wan {
		snat = r.SNAT
	}
	if !r.nat(&ref, snat, nat.ManipSrc, true) {
		return nil
	}
	if r.Helper != nil && ref.Conn != nil {
		if r.Reason = r.Helper(p, ref); r.Reason != packet.ReasonNone {
			return nil
		}
	}
	if r.Reason = r.T.Confirm(r.Now, p, &ref, r.Rng); r.Reason != packet.ReasonNone {
		return nil
	}
	r.Last.Info = ref.Info
	return &Sent{out, append([]byte(nil), p.Data...)}
}

// nat is the nat hook.
func (r *Router) nat(ref *conntrack.Ref, rule *nat.Range, m nat.Manip, post bool) bool {
	c := ref.Conn
	if c == nil || r.SNAT == nil && r.DNAT == nil {
		return true
	}
	p := r.p
	switch ref.Info {
	case conntrack.Related, conntrack.RelatedReply, conntrack.NewConn:
		if ref.Info != conntrack.NewConn && (p.Proto == packet.ProtoICMP || p.Proto == packet.ProtoICMPv6) {
			if !nat.TranslateICMP(r.T, p, *ref, m) {
				r.Reason = packet.ReasonNATUntranslatable
				return false
			}
			return true
		}
		if nat.Initialized(c, m) {
			break
		}
		if rule != nil {
			if m == nat.ManipSrc && r.Masq {
				c.SetMasqIndex(2)
			}
			r.Reason = nat.Setup(r.T, r.Now, c, rule, m, r.Rng)
		} else {
			r.Reason = nat.NullBinding(r.T, r.Now, c, m, r.Rng)
		}
		if r.Reason != packet.ReasonNone {
			return false
		}
	}
	r.Reason = nat.Translate(p, *ref, m)
	return r.Reason == packet.ReasonNone
}
