package nat

import (
	"time"

	"github.com/moat-router/moat/stack/packet"
)

// BindingInfo is what a binding is at one moment, for listings.
type BindingInfo struct {
	Inside, Outside Endpoint
	// To is the destination that the mapping is for, as far as it depends on one: Mapping of Behaviour says how far.
	To          Endpoint
	Behaviour   Behaviour
	Left        time.Duration // until it ends, if nothing leaves through it any more and no connection holds it
	Connections int           // that hold it
	Callers     int           // external endpoints that filtering lets call at this moment; 0 where it lets in everybody
}

// Info looks at a binding of Range.
func (b *Binding) Info(now packet.Time) BindingInfo {
	i := BindingInfo{
		Inside: b.key.in, Outside: b.out, Behaviour: b.how,
		To:          Endpoint{Addr: b.key.to, Port: b.key.port, Proto: b.key.in.Proto, V6: b.key.in.V6, Zone: b.key.in.Zone},
		Left:        max(b.Expires().Sub(now), 0),
		Connections: int(max(b.refs.Load()-1, 0)), // the index has one of them
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for p := b.permits; p != nil; p = p.next {
		if p.conns > 0 || p.deadline > now {
			i.Callers++
		}
	}
	return i
}
