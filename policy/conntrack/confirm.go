package conntrack

import (
	"math/rand/v2"
	"time"

	"github.com/moat-router/moat/stack/packet"
)

// Settled tells that Confirm and a helper would find nothing to do: the connection is in the table, nothing has
// happened to it that would be told, and it has neither a helper nor numbers to move.
func (c *Conn) Settled() bool {
	return c.status.Load()&(uint32(StatusConfirmed|StatusSeqAdjust)|causeMask) == uint32(StatusConfirmed) && c.ext.Load() == 0
}

// Confirm is the end of the walk (nf_confirm): sequence numbers are adjusted where a helper changed the length of a
// payload, a new connection goes into the table, and what happened is told. Helpers run before it.
func (t *Table) Confirm(now packet.Time, p *packet.Packet, ref *Ref, rng *rand.Rand) packet.Reason {
	c := ref.Conn
	if c == nil {
		return packet.ReasonNone
	}
	if ref.Info != RelatedReply && c.Status()&StatusSeqAdjust != 0 && p.HasL4() && !t.adjustSeq(p, c, ref.Info.Dir()) {
		t.stats.drop.Add(1)
		return packet.ReasonHelperDrop
	}
	if c.Status()&StatusConfirmed == 0 && ref.Info.Dir() == Original {
		if why := t.insert(now, ref); why != packet.ReasonNone {
			return why
		}
		c = ref.Conn
	}
	t.deliver(now, c)
	return packet.ReasonNone
}

// insert is __nf_conntrack_confirm. Somebody may have taken either tuple since it was looked up: another worker with
// the same flow's packet, or a NAT that could not see us.
func (t *Table) insert(now packet.Time, ref *Ref) packet.Reason {
	c := ref.Conn
	ho, hr := t.hash(&c.tuple[Original]), t.hash(&c.tuple[Reply])
	so, sr := t.shardOf(ho), t.shardOf(hr)
	t.lock2(so, sr)
	if c.Status()&StatusDying != 0 {
		t.unlock2(so, sr)
		t.stats.insertFailed.Add(1)
		return packet.ReasonConfirmClash
	}
	winner := t.holder(now, so, ho, c, Original)
	forward := winner != nil
	if winner == nil {
		winner = t.holder(now, sr, hr, c, Reply)
	}
	if winner == nil {
		t.enter(now, c, ho, hr)
		t.unlock2(so, sr)
		t.confirmed(c)
		return packet.ReasonNone
	}
	takenOver, why := t.clash(now, c, winner, forward, sr, hr)
	t.unlock2(so, sr)
	switch {
	case takenOver:
		t.dropExpects(now, c) // TFTP expects with the first packet already
		t.mergeAcct(winner, c, ref.Info)
		c.put()
		ref.Conn = winner
	case why != packet.ReasonNone:
		t.dropExpects(now, c)
		t.stats.insertFailed.Add(1)
		t.stats.drop.Add(1)
		return why
	}
	t.stats.clashResolve.Add(1)
	return packet.ReasonNone
}

// enter puts c into hash and wheel, which then hold it; the caller holds the shards of both tuples.
func (t *Table) enter(now packet.Time, c *Conn, ho, hr uint64) {
	if e := c.extension(); e != nil {
		e.start.Store(int64(now))
	}
	so, sr := &t.shards[t.shardOf(ho)], &t.shards[t.shardOf(hr)]
	c.SetStatus(StatusConfirmed)
	t.chain(so, c, Original, ho)
	t.chain(sr, c, Reply, hr)
	so.wheel.place(t, c)
	c.hold()
}

func (t *Table) confirmed(c *Conn) {
	t.stats.insert.Add(1)
	e := c.extension()
	if e != nil && e.helper.Load() != nil {
		c.cache(CauseHelper)
	}
	if e != nil && e.master != nil {
		c.cache(CauseRelated)
	} else {
		c.cache(CauseNew)
	}
}

// holder is who stands under of's tuple of this direction; the caller holds the shard. One whose time has run out gives way,
// and so does one whose zone is another for the direction in which it stands there (nf_ct_key_equal).
func (t *Table) holder(now packet.Time, shard int, h uint64, of *Conn, dir Dir) *Conn {
	s, k := &t.shards[shard], &of.tuple[dir]
	for l := link(s.bucket(h).Load()); l != 0; {
		c, d := t.at(l), l.dir()
		if c.tuple[d].same(k) && c.tuple[d].Zone == of.tuple[d].Zone && c.Expires() > now {
			return c
		}
		l = link(c.next[d].Load())
	}
	return nil
}

// clash is nf_ct_resolve_clash, for protocols without a handshake; the caller holds both shards. Where both are the same
// flow, the winner takes the packet over (and is held for it); one that stands in the way of the replies alone, as zones
// make it possible, does not. Else, if only the original tuple is taken, the loser is
// entered for its replies alone and for a second.
func (t *Table) clash(now packet.Time, c, winner *Conn, forward bool, sr int, hr uint64) (takenOver bool, why packet.Reason) {
	why = packet.ReasonConfirmClash
	if c.status.Load()&flagNoRoom != 0 {
		why = packet.ReasonNATExhausted
	}
	if !AllowsClash(c.tuple[Original].Proto) {
		return false, why
	}
	if st := winner.Status(); st&StatusDying == 0 && (forward && st&StatusNATDoneMask == 0 || winner.tuple == c.tuple) {
		winner.hold()
		return true, packet.ReasonNone
	}
	if !forward || t.holder(now, sr, hr, c, Reply) != nil {
		return false, why
	}
	c.deadline.Store(int64(now.Add(time.Second)))
	c.status.Or(flagNoForward)
	c.SetStatus(StatusConfirmed | StatusFixedTimeout | StatusNATClash)
	t.chain(&t.shards[sr], c, Reply, hr)
	t.shards[c.self.shard()].wheel.place(t, c)
	c.hold()
	return false, packet.ReasonNone
}

// AllowsClash tells whether two connections of one flow may be resolved into one (l4proto->allow_clash).
func AllowsClash(proto uint8) bool {
	switch proto {
	case packet.ProtoUDP, packet.ProtoUDPLite, packet.ProtoGRE:
		return true
	}
	return false
}

func (t *Table) mergeAcct(winner, loser *Conn, info Info) {
	w, l := winner.extension(), loser.extension()
	if w == nil || l == nil || !w.hasAcct || !l.hasAcct {
		return
	}
	d := info.Dir()
	w.acct[d].packets.Add(l.acct[Original].packets.Load())
	w.acct[d].bytes.Add(l.acct[Original].bytes.Load())
}

// Exhausted notes that NAT found no free tuple: confirm will name that as the reason (nf_nat goes on with a taken one).
func (c *Conn) Exhausted() { c.status.Or(flagNoRoom) }
