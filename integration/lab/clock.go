package lab

import (
	"sync"
	"time"

	"github.com/moat-router/moat/stack/host"
	"github.com/moat-router/moat/stack/packet"
)

// clock is the time of a lab: that of the machine, or one that the lab moves.
type clock interface {
	Time() packet.Time
	After(d time.Duration, f func())
	// wait lets the lab go on until done is true, at most for d, and gives what done says then. changed is called for
	// whatever may make it true.
	wait(done func() bool, d time.Duration) bool
	changed()
}

// virtual is a clock that moves only while somebody waits.
type virtual struct {
	*host.Clock
	network *host.Network
}

func newVirtual() *virtual {
	c := host.NewClock()
	return &virtual{c, host.NewNetwork(c)}
}

func (v *virtual) After(d time.Duration, f func()) { v.AfterFunc(d, f) }

func (v *virtual) changed() {}

func (v *virtual) wait(done func() bool, d time.Duration) bool {
	return v.network.Wait(done, v.Time().Add(d))
}

// pollEvery is how often a real lab asks again without news: a router's counters change after a datagram has crossed the
// network to it.
const pollEvery = 5 * time.Millisecond

// real is the monotonic clock.
type real struct {
	start time.Time
	mu    sync.Mutex
	news  chan struct{} // closed and replaced by changed
}

func newReal() *real { return &real{start: time.Now(), news: make(chan struct{})} }

func (r *real) Time() packet.Time { return packet.Time(time.Since(r.start)) }

func (r *real) After(d time.Duration, f func()) { time.AfterFunc(d, f) }

func (r *real) changed() {
	r.mu.Lock()
	close(r.news)
	r.news = make(chan struct{})
	r.mu.Unlock()
}

func (r *real) wait(done func() bool, d time.Duration) bool {
	timeout := time.NewTimer(d)
	defer timeout.Stop()
	again := time.NewTicker(pollEvery)
	defer again.Stop()
	for {
		r.mu.Lock()
		news := r.news
		r.mu.Unlock()
		if done() {
			return true
		}
		select {
		case <-news:
		case <-again.C:
		case <-timeout.C:
			return done()
		}
	}
}
