package gateway

import (
	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/router/control/ctfmt"
)

func (b *backend) CreateFlow(s *conntrack.Spec) error {
	return b.r.Conntrack().Create(b.r.Time(), s)
}

func (b *backend) UpdateFlows(match func(*ctfmt.Flow) bool, ch *conntrack.Change, each func(*ctfmt.Flow)) (n int) {
	b.matching(match, func(c *conntrack.Conn, _ *ctfmt.Flow) {
		if now := b.r.Time(); b.r.Conntrack().Update(now, c, ch) {
			n++
			e := c.Snapshot(now)
			each(b.flow(&e))
		}
	})
	return n
}

func (b *backend) ZeroFlows(match func(*ctfmt.Flow) bool, each func(*ctfmt.Flow)) {
	b.matching(match, func(c *conntrack.Conn, f *ctfmt.Flow) {
		f.Packets, f.Bytes = c.ZeroCounters()
		each(f)
	})
}

// matching calls f for the connections that match, oldest first.
func (b *backend) matching(match func(*ctfmt.Flow) bool, f func(*conntrack.Conn, *ctfmt.Flow)) {
	now := b.r.Time()
	all, done := b.r.Conntrack().Sorted()
	defer done()
	for _, c := range all {
		e := c.Snapshot(now)
		if flow := b.flow(&e); c.Expires() > now && match(flow) {
			f(c, flow)
		}
	}
}
