package router

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

// tickEvery is how often timers are looked at in a live router. Deadlines are seconds; a look-up takes a past one for
// absent, so nothing depends on this being exact.
const tickEvery = 100 * time.Millisecond

// tickBudget is how many connections one step of that looks at: about a millisecond.
const tickBudget = 2048

// Serve carries packets until ctx ends or a link breaks: one goroutine per link queue, one for timers, one for the
// router's own sockets. It returns nil when ctx ended it.
func (r *Router) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	next := 0
	for _, d := range r.devs {
		if d == nil || d.link == nil {
			continue
		}
		for q := range d.link.Queues() {
			if next >= len(r.workers)-2 {
				return fmt.Errorf("the router was built for %d workers, and its links have more queues", len(r.workers)-2)
			}
			w := r.workers[next]
			next++
			wg.Go(func() {
				err := d.link.Serve(q, func(batch []*packet.Packet) {
					w.enter(r.Time())
					w.arrivals(d, batch...)
				})
				if err != nil && !errors.Is(err, link.ErrClosed) {
					cancel(fmt.Errorf("interface %s: %w", d.Name, err))
				}
			})
		}
	}
	wg.Go(func() { r.housekeeping(ctx) })
	<-ctx.Done()
	for _, d := range r.devs {
		if d != nil && d.link != nil {
			d.link.Close()
		}
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// tickSome is tick in small steps, so that a million connections that end together hold nobody up: true if there is
// more to do.
func (r *Router) tickSome() (more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ct.Tick(r.Time(), tickBudget) {
		return true
	}
	r.tick()
	return false
}

func (r *Router) housekeeping(ctx context.Context) {
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			for r.tickSome() {
				runtime.Gosched()
			}
		}
	}
}

// arrivals is step 1: a link hands us a batch.
func (w *worker) arrivals(in *device, batch ...*packet.Packet) {
	for _, b := range batch {
		in.counts[w.ID].rx.add(len(b.Data))
		if in.allGood {
			b.CsumGood = true
		}
		w.receive(b, in)
	}
	w.flush()
}
