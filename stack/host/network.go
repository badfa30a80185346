package host

import (
	"runtime"
	"sync"
	"time"

	"github.com/moat-router/moat/stack/packet"
)

// Network moves hosts and routers that share a Clock. Its Wait is what Config.Wait and HostConfig.Wait want: sockets
// on virtual time move the whole network while they wait.
//
//	n := host.NewNetwork(clock)
//	a, _ := host.NewHost(la, host.HostConfig{Addresses: …, Clock: clock, Wait: n.Wait})
//	n.Add(a.Pump)
//	n.Add(router.Pump)
//
// The rule: nothing moves but inside Wait, Run and Settle, and time passes only when nothing else can happen. As long
// as one goroutine uses the network, every run is the same. Once a second goroutine waits at the same time, others may
// be busy that are not seen here; then the network grants them a little real time before the virtual one passes, and
// the order of events depends on the scheduler.
type Network struct {
	Clock *Clock

	mu    sync.Mutex // held by whoever moves the network
	parts []func() int

	state   sync.Mutex
	waiting map[*packet.Time]struct{} // how far each Wait may go
	shared  bool                      // two have waited at the same time
	awake   int                       // Waits that ended well, of goroutines that have not come back
}

// In a shared network the caller's goroutines get patience times grace of real time before virtual time passes. One that
// was given what it waited for is likely to have something to say: it gets more, once.
const (
	grace         = time.Millisecond
	patience      = 5
	patienceAwake = 100
)

// politeness is how often others may run before virtual time passes in a Wait: what the caller has just started with "go" is
// to begin first. The scheduler takes the one who yields again at once now and then, so once is not enough.
const politeness = 4

// NewNetwork gives a network without parts.
func NewNetwork(c *Clock) *Network {
	return &Network{Clock: c, waiting: map[*packet.Time]struct{}{}}
}

// Add registers a part by what moves it: it handles what waits for it now, and returns how much that was.
func (n *Network) Add(pump func() int) {
	n.mu.Lock()
	n.parts = append(n.parts, pump)
	n.mu.Unlock()
}

// Settle moves the network until it is quiet, without time passing, and returns how much moved.
func (n *Network) Settle() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.settle()
}

func (n *Network) settle() (total int) {
	for {
		moved := n.due()
		for _, pump := range n.parts {
			moved += pump()
		}
		if moved == 0 {
			return total
		}
		total += moved
	}
}

// due runs the timers whose time has come.
func (n *Network) due() int {
	if at, ok := n.Clock.Next(); ok && at <= n.Clock.Time() {
		return n.Clock.Advance(n.Clock.Time())
	}
	return 0
}

// Run moves the network until the clock stands at until and all is quiet.
func (n *Network) Run(until packet.Time) { n.Wait(func() bool { return false }, until) }

// Wait moves the network until done is true or, at the latest, the clock stands at until; it returns what done says
// then. Without a deadline (the largest packet.Time) and with nothing left to happen it goes on waiting for the
// caller's other goroutines, as a blocked read does.
func (n *Network) Wait(done func() bool, until packet.Time) bool {
	n.state.Lock()
	n.waiting[&until] = struct{}{}
	n.shared = n.shared || len(n.waiting) > 1
	n.awake = max(n.awake-1, 0)
	n.state.Unlock()
	ok := false
	defer func() {
		n.state.Lock()
		delete(n.waiting, &until)
		if ok {
			n.awake++
		}
		n.state.Unlock()
	}()
	yielded := 0
	for idle := 0; ; {
		n.mu.Lock()
		moved := n.settle()
		ok = done()
		if ok || n.Clock.Time() >= until {
			n.mu.Unlock()
			return ok
		}
		patience, limit := n.horizon()
		next, timer := n.Clock.Next()
		switch {
		case moved > 0:
			idle = 0
		case yielded < politeness:
			yielded++
			n.mu.Unlock()
			runtime.Gosched()
			continue
		case idle < patience || !timer && limit == forever:
			idle++ // let the others run first
			n.mu.Unlock()
			runtime.Gosched()
			time.Sleep(grace)
			continue
		default:
			if !timer || next > limit {
				next = limit
			}
			n.passed()
			n.Clock.Advance(next)
			idle = 0
		}
		n.mu.Unlock()
	}
}

// horizon is how far the clock may go, to the earliest deadline of all who wait, and how patient it has to be before.
func (n *Network) horizon() (patient int, limit packet.Time) {
	n.state.Lock()
	defer n.state.Unlock()
	limit = forever
	for at := range n.waiting {
		limit = min(limit, *at)
	}
	switch {
	case n.shared && n.awake > 0:
		patient = patienceAwake
	case n.shared:
		patient = patience
	}
	return patient, max(limit, n.Clock.Time())
}

// passed notes that patience is at its end: who has not come back by now went its own way.
func (n *Network) passed() {
	n.state.Lock()
	n.awake = 0
	n.state.Unlock()
}
