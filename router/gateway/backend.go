package gateway

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/policy/nat"
	"github.com/moat-router/moat/router"
	"github.com/moat-router/moat/router/control"
	"github.com/moat-router/moat/router/control/ctfmt"
	"github.com/moat-router/moat/stack/packet"
	"github.com/moat-router/moat/stack/tun"
)

// backend is a router as the control socket sees it.
type backend struct {
	r       *router.Router
	started time.Time  // when its clock was 0
	links   []*tun.TUN // of its interfaces, where they are any
}

// Backend lets a control.Server answer for a router that has no gateway around it, such as a lab's. started is the time
// of day at which its clock was 0.
func Backend(r *router.Router, started time.Time) control.Backend {
	return &backend{r: r, started: started}
}

func (b *backend) wall(t packet.Time) time.Time { return b.started.Add(time.Duration(t)) }

// flow says of a connection what listings and events print.
func (b *backend) flow(e *conntrack.Event) *ctfmt.Flow {
	f := &ctfmt.Flow{
		Orig: e.Orig, Reply: e.Reply, State: e.State, Status: e.Status, Mark: e.Mark, ID: e.ID, Use: 1,
		Timeout: int64(e.Timeout / time.Second), Zone: max(e.Orig.Zone, e.Reply.Zone),
		Acct: e.HasAcct, Packets: e.Packets, Bytes: e.Bytes, Labels: e.Labels, Tags: e.Tags, Helper: e.Helper, Now: b.wall(e.Time),
	}
	switch {
	case e.Orig.Zone != 0 && e.Reply.Zone == 0:
		f.ZoneDir = conntrack.ZoneOrig
	case e.Orig.Zone == 0 && e.Reply.Zone != 0:
		f.ZoneDir = conntrack.ZoneReply
	}
	if e.HasStamp {
		f.Start = b.wall(e.Start)
		if e.Type == conntrack.EventDestroy {
			f.Stop = b.wall(e.Stop)
		}
	}
	return f
}

func expectation(e *conntrack.ExpectInfo) *ctfmt.Expectation {
	return &ctfmt.Expectation{
		Tuple: e.Tuple, Mask: maskTuple(e), Master: e.Master, Timeout: int64(e.Timeout / time.Second),
		Permanent: e.Flags&conntrack.ExpectPermanent != 0, Inactive: e.Flags&conntrack.ExpectInactive != 0, Helper: e.Helper,
	}
}

// maskTuple is the mask as listings print it: what an expectation does not care for is zero. The destination is always
// wanted in full.
func maskTuple(e *conntrack.ExpectInfo) conntrack.Tuple {
	full := packet.Addr{}
	for i := range full {
		full[i] = 0xff
	}
	return conntrack.Tuple{Src: e.Mask.Src, Dst: full, SrcPort: e.Mask.Port, DstPort: 0xffff, Proto: e.Tuple.Proto, V6: e.Tuple.V6}
}

func (b *backend) Flows(f func(*ctfmt.Flow) bool) {
	now := b.r.Time()
	b.r.Conntrack().Range(func(c *conntrack.Conn) bool {
		if c.Expires() <= now {
			return true
		}
		e := c.Snapshot(now)
		return f(b.flow(&e))
	})
}

func (b *backend) Expectations(f func(*ctfmt.Expectation) bool) {
	now := b.r.Time()
	b.r.Conntrack().RangeExpects(func(e *conntrack.Expect) bool {
		i := e.Info(now)
		return f(expectation(&i))
	})
}

func (b *backend) Bindings(f func(*ctfmt.Binding) bool) {
	now := b.r.Time()
	b.r.Bindings().Range(now, func(x *nat.Binding) bool {
		i := x.Info(now)
		out := ctfmt.Binding{
			Proto: i.Inside.Proto, V6: i.Inside.V6, Zone: i.Inside.Zone, Timeout: int64(i.Left / time.Second),
			Internal: ctfmt.Endpoint{Addr: i.Inside.Addr, Port: i.Inside.Port}, External: ctfmt.Endpoint{Addr: i.Outside.Addr, Port: i.Outside.Port},
			Mapping: i.Behaviour.Mapping.String(), Filtering: i.Behaviour.Filtering.String(), Connections: i.Connections, Callers: i.Callers,
		}
		switch i.Behaviour.Mapping {
		case nat.AddressDependent:
			out.Destination = i.To.Addr.IP().String()
		case nat.AddressAndPortDependent:
			out.Destination = ctfmt.Endpoint{Addr: i.To.Addr, Port: i.To.Port}.String()
		}
		return f(&out)
	})
}

func (b *backend) DeleteFlows(match func(*ctfmt.Flow) bool) (n int) {
	b.matching(match, func(c *conntrack.Conn, _ *ctfmt.Flow) {
		if b.r.Conntrack().Kill(b.r.Time(), c) {
			n++
		}
	})
	return n
}

func (b *backend) FlushFlows()        { b.r.FlushConntrack() }
func (b *backend) FlushBindings()     { b.r.Bindings().Flush() }
func (b *backend) FlushExpectations() { b.r.Conntrack().FlushExpects(b.r.Time()) }

func (b *backend) Count() (flows, expectations int) {
	b.r.Conntrack().RangeExpects(func(*conntrack.Expect) bool { expectations++; return true })
	return b.r.Conntrack().Count(), expectations
}

func (b *backend) ConntrackStats() []control.ConntrackStats {
	s := b.r.Conntrack().Stats()
	return []control.ConntrackStats{{
		Invalid: s.Invalid, Insert: s.Insert, InsertFailed: s.InsertFailed, Drop: s.Drop, EarlyDrop: s.EarlyDrop, Error: s.Error,
		ClashResolve: s.ClashResolve, ExpectNew: s.ExpectNew, ExpectCreate: s.ExpectCreate, ExpectDelete: s.ExpectDelete,
	}}
}

func (b *backend) Subscribe(f func(*ctfmt.Event)) (cancel func()) {
	return b.r.Conntrack().Subscribe(func(e conntrack.Event) {
		out := ctfmt.Event{Time: b.wall(e.Time)}
		switch e.Type {
		case conntrack.EventNew:
			out.Kind = ctfmt.EventNew
		case conntrack.EventUpdate:
			out.Kind = ctfmt.EventUpdate
		case conntrack.EventDestroy:
			out.Kind = ctfmt.EventDestroy
		case conntrack.EventExpNew:
			out.Kind, out.Expectation = ctfmt.EventNew, expectation(&e.Exp)
		case conntrack.EventExpDestroy:
			out.Kind, out.Expectation = ctfmt.EventDestroy, expectation(&e.Exp)
		}
		if out.Expectation == nil {
			out.Flow = b.flow(&e)
		}
		f(&out)
	})
}

func (b *backend) SaveRules(family policy.Family, table string, counters bool) (string, error) {
	return b.r.SaveRules(family, table, counters)
}

func (b *backend) RestoreRules(r control.Restore) error {
	return b.r.RestoreWith(router.Rules{Name: r.Name, Text: r.V4}, router.Rules{Name: r.Name, Text: r.V6},
		router.RestoreOptions{NoFlush: r.NoFlush, Test: r.Test, Counters: r.Counters})
}

func (b *backend) EditRules(family policy.Family, args []string) (string, error) {
	return b.r.EditRules(family, args)
}

func (b *backend) IP(words string) (string, error) { return b.r.Show(words) }

func (b *backend) Links() (out []control.LinkInfo) {
	for _, s := range b.r.Links() {
		l := control.LinkInfo{
			Index: s.Index, Name: s.Name, Device: s.Name, MTU: s.MTU, Up: s.Up, Addresses: s.Addresses,
			Rx: control.Traffic(s.Rx), Tx: control.Traffic(s.Tx),
		}
		if i := slices.IndexFunc(b.links, func(t *tun.TUN) bool { return t.Name() == s.Device }); i >= 0 {
			l.Device = s.Device
			t := b.links[i]
			l.Rx.Errors += t.Stats().BadHeader
			if n, err := t.KernelDrops(); err == nil {
				l.Rx.Dropped += n // what came faster than we read: dropped in the TUN's own queue
			}
		}
		out = append(out, l)
	}
	return out
}

func (b *backend) Collector() prometheus.Collector {
	return control.NewCollector(func() (m control.Metrics) {
		for r := range packet.NumReasons {
			m.Drops[r] = b.r.Drops(r)
		}
		m.Flows, m.Expectations = b.Count()
		m.Bindings = b.r.Bindings().Len()
		m.FlowsMax = b.r.Conntrack().Params().Max
		m.Conntrack = b.ConntrackStats()
		m.Links = b.Links()
		m.FragsHeld = b.r.FragmentQueues()
		return m
	})
}
