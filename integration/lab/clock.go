package lab

import (
	"time"

	"github.com/moat-router/moat/stack/host"
	"github.com/moat-router/moat/stack/packet"
)

// clock is the time of a lab: that of the machine, or one that the lab moves.
type clock interface {
	Time() packet.Time
	After(d time.Duration, f func())
	// wait lets the lab go on until done is true, at most for d, and gives what done says then.
	wait(done func() bool, d time.Duration) bool
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

func (v *virtual) wait(done func() bool, d time.Duration) bool {
	return v.network.Wait(done, v.Time().Add(d))
}

// pollEvery is how often a real lab asks whether done came true: a router's counters, say, announce no change.
const pollEvery = time.Millisecond

// real is the monotonic clock.
type real struct{ start time.Time }

func newReal() *real { return &real{time.Now()} }

func (r *real) Time() packet.Time { return packet.Time(time.Since(r.start)) }

func (r *real) After(d time.Duration, f func()) { time.AfterFunc(d, f) }

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
