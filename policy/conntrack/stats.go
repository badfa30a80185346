package conntrack

import "sync/atomic"

type counters struct {
	invalid, drop, earlyDrop, error, insert, insertFailed, clashResolve, expectNew, expectCreate, expectDelete atomic.Uint64
}

// Stats are the counters of conntrack -S.
type Stats struct {
	Entries, Invalid, Drop, EarlyDrop, Error, Insert, InsertFailed, ClashResolve, ExpectNew, ExpectCreate, ExpectDelete uint64
}

// Stats reads the counters.
func (t *Table) Stats() Stats {
	s := &t.stats
	return Stats{
		Entries: uint64(t.Count()), Invalid: s.invalid.Load(), Drop: s.drop.Load(), EarlyDrop: s.earlyDrop.Load(), Error: s.error.Load(),
		Insert: s.insert.Load(), InsertFailed: s.insertFailed.Load(), ClashResolve: s.clashResolve.Load(),
		ExpectNew: s.expectNew.Load(), ExpectCreate: s.expectCreate.Load(), ExpectDelete: s.expectDelete.Load(),
	}
}
