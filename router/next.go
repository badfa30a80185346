package router

import "github.com/moat-router/moat/stack/packet"

// Next is when a router on the manual clock does something by itself that may be seen on a link: when fragments have
// waited too long, or a socket's timer is due; false if there is no such time. Who moves several routers and hosts together
// must not Advance past it. That connections time out is nobody's business on a link: Advance ends each at its time.
func (r *Router) Next() (at packet.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	earlier := func(t packet.Time, has bool) {
		if has && (!ok || t < at) {
			at, ok = t, true
		}
	}
	earlier(r.frags.Next())
	if r.hostClock != nil {
		earlier(r.hostClock.Next())
	}
	return at, ok
}
