package host

import (
	"container/heap"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/moat-router/moat/stack/packet"
)

// Clock is a clock for gVisor that stands still until somebody moves it. Several stacks may share one. It implements
// tcpip.Clock.
type Clock struct {
	mu     sync.Mutex
	now    packet.Time
	timers timerHeap
	set    uint64 // timers ever set: breaks ties
}

var _ tcpip.Clock = (*Clock)(nil)

// epoch is packet.Time 0 for those who ask for a date; any date but the zero time.Time would do.
var epoch = time.Unix(946684800, 0)

// NewClock gives a clock that stands at packet.Time 0.
func NewClock() *Clock { return &Clock{} }

// Time is where the clock stands.
func (c *Clock) Time() packet.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Now implements tcpip.Clock.
func (c *Clock) Now() time.Time { return epoch.Add(time.Duration(c.Time())) }

// NowMonotonic implements tcpip.Clock.
func (c *Clock) NowMonotonic() tcpip.MonotonicTime {
	return tcpip.MonotonicTime{}.Add(time.Duration(c.Time()))
}

// Next is the deadline of the earliest timer; false if there is none.
func (c *Clock) Next() (packet.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.timers) == 0 {
		return 0, false
	}
	return c.timers[0].at, true
}

// Advance moves the clock to the given time, never back, and runs in the caller's goroutine the timers that are due on
// the way, in order of (deadline, setting). It returns how many ran. A network needs its packets delivered between two
// deadlines: walk from Next to Next and settle in between.
func (c *Clock) Advance(to packet.Time) (ran int) {
	for {
		c.mu.Lock()
		if len(c.timers) == 0 || c.timers[0].at > to {
			c.now = max(c.now, to)
			c.mu.Unlock()
			return ran
		}
		t := heap.Pop(&c.timers).(*timer)
		c.now = max(c.now, t.at)
		c.mu.Unlock()
		t.f() // without the lock: timers set timers
		ran++
	}
}

// AfterFunc implements tcpip.Clock. A deadline that has passed already is due at the next Advance.
func (c *Clock) AfterFunc(d time.Duration, f func()) tcpip.Timer {
	t := &timer{c: c, f: f, index: -1}
	t.Reset(d)
	return t
}

// At runs f when the clock stands at t, or at the next Advance if that has passed.
func (c *Clock) At(t packet.Time, f func()) {
	timer := &timer{c: c, f: f, index: -1}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.push(timer, t)
}

// push sets a timer that is not in the heap. c.mu is held.
func (c *Clock) push(t *timer, at packet.Time) {
	c.set++
	t.at, t.seq = at, c.set
	heap.Push(&c.timers, t)
}

// ownClock is the clock of one stack: it tells the stack that a timer of its own has run.
type ownClock struct {
	*Clock
	ran func()
}

func (c ownClock) AfterFunc(d time.Duration, f func()) tcpip.Timer {
	return c.Clock.AfterFunc(d, func() { f(); c.ran() })
}

type timer struct {
	c     *Clock
	f     func()
	at    packet.Time
	seq   uint64
	index int // in the heap; -1: stopped or expired
}

// Stop implements tcpip.Timer.
func (t *timer) Stop() bool {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	if t.index < 0 {
		return false
	}
	heap.Remove(&t.c.timers, t.index)
	return true
}

// Reset implements tcpip.Timer.
func (t *timer) Reset(d time.Duration) {
	c := t.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.index >= 0 {
		heap.Remove(&c.timers, t.index)
	}
	c.push(t, c.now.Add(max(d, 0)))
}

type timerHeap []*timer

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.index = len(*h)
	*h = append(*h, t)
}
func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = -1
	return t
}
