package story

import (
	"cmp"
	"slices"
	"sync"

	"github.com/moat-router/moat/integration/lab"
	"github.com/moat-router/moat/integration/lab/wire"
)

// record is what crossed the networks of a lab during one case.
type record struct {
	mu   sync.Mutex
	list []wire.Sighting
	stop func()
}

func newRecord(l *lab.Lab) *record {
	r := new(record)
	r.stop = l.Watch(func(s wire.Sighting) {
		r.mu.Lock()
		r.list = append(r.list, s)
		r.mu.Unlock()
	})
	return r
}

// sent are the datagrams of a host, in order of time.
func (r *record) sent(host string) []wire.Sighting {
	return r.where(func(s *wire.Sighting) bool { return s.From.Name == host })
}

// received are those that it got.
func (r *record) received(host string) []wire.Sighting {
	return r.where(func(s *wire.Sighting) bool { return s.Fate == wire.Delivered && s.To.Name == host })
}

func (r *record) where(is func(*wire.Sighting) bool) (out []wire.Sighting) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.list {
		if is(&r.list[i]) {
			out = append(out, r.list[i])
		}
	}
	slices.SortStableFunc(out, func(a, b wire.Sighting) int { return cmp.Compare(a.At, b.At) })
	return out
}
