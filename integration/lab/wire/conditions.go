package wire

import (
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/moat-router/moat/stack/frag"
	"github.com/moat-router/moat/stack/packet"
)

// Conditions are what a stretch of wire does to datagrams in one direction; the zero value does nothing.
type Conditions struct {
	MTU       int           // larger datagrams vanish and nobody says so; 0: no limit
	Delay     time.Duration // of every datagram
	Jitter    time.Duration // up to so much more or less, without changing the order
	Loss      float64       // 0 to 1
	Reorder   float64       // 0 to 1: they skip delay and jitter
	Duplicate float64       // 0 to 1
	Rate      int64         // bits per second; 0: no limit
	// Down tells whether nothing is carried at this time; nil: never.
	Down func(packet.Time) bool
}

// Perfect tells whether nothing ever happens to a datagram.
func (c *Conditions) Perfect() bool {
	return c.MTU == 0 && c.Delay == 0 && c.Jitter == 0 && c.Loss == 0 && c.Reorder == 0 && c.Duplicate == 0 && c.Rate == 0 && c.Down == nil
}

// queueFor is how long a datagram may wait for the rate limit before the tail is dropped.
const queueFor = time.Second

// stretch is a part of the way with conditions, and its own share of chance: what happens on one stretch does not
// depend on what happens on another.
type stretch struct {
	Conditions
	rnd  *rand.Rand
	seed uint64
	name string

	free packet.Time // when the rate lets the next datagram go
	last packet.Time // the end of the latest datagram's stretch
}

func newStretch(c Conditions, seed uint64, name string) stretch {
	return stretch{Conditions: c, seed: seed, name: name}
}

// chance is true so often.
func (s *stretch) chance(share float64) bool { return share > 0 && s.random() < share }

func (s *stretch) random() float64 {
	if s.rnd == nil {
		h := fnv.New64a()
		h.Write([]byte(s.name))
		s.rnd = rand.New(rand.NewPCG(s.seed, h.Sum64()))
	}
	return s.rnd.Float64()
}

// flight is when the copies of a datagram have passed a stretch.
type flight struct {
	copies int
	at     [2]packet.Time
}

// enter lets a datagram begin the stretch now. free and last are those of the stretch, or of the members whose rate and
// order it keeps.
func (s *stretch) enter(now packet.Time, p *packet.Packet, free, last *packet.Time) (f flight, fate Fate) {
	f = flight{copies: 1, at: [2]packet.Time{now, now}}
	switch {
	case s.Perfect():
		return f, Delivered
	case s.Down != nil && s.Down(now):
		return f, Down
	case s.MTU > 0 && frag.NetworkLen(p) > s.MTU:
		return f, TooBig
	case s.chance(s.Loss):
		return f, Lost
	}
	if s.chance(s.Duplicate) {
		f.copies = 2
	}
	for i := range f.copies {
		t, ok := s.arrival(now, len(p.Data), free, last)
		if !ok {
			return f, QueueFull
		}
		f.at[i] = t
	}
	return f, Delivered
}

// arrival is when a datagram that begins now has passed; false if the queue before the rate limit is full.
func (s *stretch) arrival(now packet.Time, size int, free, last *packet.Time) (packet.Time, bool) {
	t := now
	if s.Rate > 0 {
		start := max(now, *free)
		if start.Sub(now) > queueFor {
			return 0, false
		}
		*free = start.Add(time.Duration(float64(size*8) / float64(s.Rate) * float64(time.Second)))
		t = *free
	}
	if s.chance(s.Reorder) {
		return t, true
	}
	delay := s.Delay
	if s.Jitter > 0 {
		delay += time.Duration((2*s.random() - 1) * float64(s.Jitter))
	}
	t = max(t.Add(max(delay, 0)), *last)
	*last = t
	return t, true
}
