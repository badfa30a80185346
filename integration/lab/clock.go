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
	// At runs f at t, or at once if that has passed; of two for the same time the one that came first.
	At(t packet.Time, f func())
	// wait lets the lab go on until done is true, at most for d, and gives what done says then.
	wait(done func() bool, d time.Duration) bool
	close()
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

func (v *virtual) close() {}

func (v *virtual) wait(done func() bool, d time.Duration) bool {
	return v.network.Wait(done, v.Time().Add(d))
}

// pollEvery is how often a real lab asks whether done came true: a router's counters, say, announce no change.
const pollEvery = time.Millisecond

// real is the monotonic clock. One goroutine runs what is due, or datagrams that are delayed by the same would overtake
// each other.
type real struct {
	start  time.Time
	timers *host.Clock
	sooner chan struct{} // another timer is the first
	over   chan struct{}
	once   sync.Once
}

func newReal() *real {
	r := &real{start: time.Now(), timers: host.NewClock(), sooner: make(chan struct{}, 1), over: make(chan struct{})}
	go r.run()
	return r
}

func (r *real) Time() packet.Time { return packet.Time(time.Since(r.start)) }

func (r *real) At(t packet.Time, f func()) {
	first, any := r.timers.Next()
	r.timers.At(t, f)
	if any && first <= t {
		return
	}
	select {
	case r.sooner <- struct{}{}:
	default: // it will look anyway
	}
}

func (r *real) close() { r.once.Do(func() { close(r.over) }) }

// run moves the timers' clock along the real one.
func (r *real) run() {
	const idle = time.Hour
	alarm := time.NewTimer(idle)
	defer alarm.Stop()
	for {
		r.timers.Advance(r.Time())
		sleep := idle
		if at, ok := r.timers.Next(); ok {
			sleep = at.Sub(r.Time())
		}
		alarm.Reset(max(sleep, 0))
		select {
		case <-alarm.C:
		case <-r.sooner:
		case <-r.over:
			return
		}
	}
}

func (r *real) wait(done func() bool, d time.Duration) bool {
	timeout := time.NewTimer(d)
	defer timeout.Stop()
	again := time.NewTicker(pollEvery)
	defer again.Stop()
	for !done() {
		select {
		case <-again.C:
		case <-timeout.C:
			return done()
		}
	}
	return true
}
