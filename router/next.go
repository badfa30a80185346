package router

import "github.com/moat-router/moat/stack/packet"

// Next is when the earliest timer of a router on the manual clock is due; false if there is none. Who moves several
// routers and hosts together must not Advance past it.
func (r *Router) Next() (at packet.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	earlier := func(t packet.Time, has bool) {
		if has && (!ok || t < at) {
			at, ok = t, true
		}
	}
	earlier(r.ct.Next())
	earlier(r.frags.Next())
	if r.hostClock != nil {
		earlier(r.hostClock.Next())
	}
	return at, ok
}
