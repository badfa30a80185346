package nat

import "github.com/moat-router/moat/policy/conntrack"

// assign looks for the external port of a new binding (RFC 4787 4.2). The search is bounded as that of Setup.
type assign struct {
	w    Walk
	b    *Binding
	s    *insideShard // held
	k    conntrack.Tuple
	dead *Binding // stands in the way, and may be reaped

	lo, size uint32
	anyPort  bool // a neighbour does not matter any more
}

// port finds and claims a port. Without one it is false; with dead set it is worth trying again when that one is gone.
func (a *assign) port() bool {
	a.portRange()
	own := a.b.key.in.Port
	switch how := a.b.how.Assignment; how {
	case RandomPort:
		return a.random(0, 1)
	case SequentialPort:
		return a.sequential()
	case PreservePort:
		return a.try(own) || a.random(0, 1)
	case ContiguousPort:
		if p, ok := a.besides(own); ok && a.try(p) || a.dead != nil {
			return a.dead == nil
		}
	}
	parity := uint32(own) & 1
	if a.try(own) || a.random(parity, 2) {
		return true
	}
	// Better a port of the wrong kind than none.
	a.anyPort = true
	return a.random(parity, 2) || a.random(parity^1, 2)
}

// portRange sets what the rule allows, or what Linux allows to a port of this class.
func (a *assign) portRange() {
	r := &a.b.pool
	switch icmp := !callable(a.b.key.in.Proto); {
	case r.Flags&ProtoSpecified != 0:
		a.lo, a.size = uint32(r.MinPort), uint32(r.MaxPort)-uint32(r.MinPort)+1
	case icmp:
		a.lo, a.size = 0, 65536
	default:
		a.lo, a.size = portClass(a.b.key.in.Port)
	}
}

// try takes a port if it is in the range and free: of other bindings, of the router itself, and of connections that have
// no binding.
func (a *assign) try(port uint16) bool {
	if uint32(port)-a.lo >= a.size || a.dead != nil {
		return false
	}
	b, t := a.b, a.w.B
	b.out.Port = port
	if t.Reserved != nil && t.Reserved(b.out) {
		return false
	}
	a.k.Src, a.k.SrcPort = b.out.Addr, port
	reply, _ := a.k.Invert()
	reply.Zone = a.w.Conn.Tuple(conntrack.Reply).Zone
	if a.w.CT.Taken(a.w.Now, &reply, a.w.Conn) {
		return false
	}
	other := t.claim(b)
	if other != nil && !other.alive(a.w.Now) {
		a.dead = other
	}
	return other == nil
}

// random looks at ports of a remainder modulo step, from random places on.
func (a *assign) random(remainder, step uint32) bool {
	lo, size := a.lo, a.size
	if a.dead != nil {
		return false
	}
	if lo%step != remainder {
		lo, size = lo+1, size-1
	}
	n := (size + step - 1) / step
	if n == 0 {
		return false
	}
	for attempts := min(n, maxAttempts); ; attempts /= 2 {
		off := a.w.Rng.Uint32N(n)
		for i := range attempts {
			p := uint16(lo + (off+i)%n*step)
			if a.alone(p) && a.try(p) {
				return true
			}
		}
		if attempts >= n || attempts < minAttempts || a.dead != nil {
			return false
		}
	}
}

// alone tells whether an even port that is to be one of two has a free odd one beside it.
func (a *assign) alone(port uint16) bool {
	if a.b.how.Assignment != ContiguousPort || port&1 == 1 || a.anyPort {
		return true
	}
	e := a.b.out
	e.Port = port + 1
	return !a.w.B.held(&e)
}

// besides is the port that keeps internal neighbours together: n, which is even, and n+1.
func (a *assign) besides(own uint16) (uint16, bool) {
	k := a.b.key
	k.in.Port ^= 1
	if k.scope == AddressAndPortDependent {
		k.port ^= 1 // RTP and RTCP go to neighbours, too
	}
	n := a.s.find(a.w.Now, &k, nil)
	if n == nil || n.out.Addr != a.b.out.Addr || n.out.Port&1 != k.in.Port&1 {
		return 0, false
	}
	return n.out.Port ^ 1, own&1 == (n.out.Port^1)&1
}

// sequential looks at the ports behind the one that was given last.
func (a *assign) sequential() bool {
	latest := a.w.B.latest.Load()
	for i := range min(a.size, 2*maxAttempts) {
		next := latest + 1 + i
		if next-a.lo >= a.size {
			next = a.lo + (next-a.lo)%a.size
		}
		if a.try(uint16(next)) {
			a.w.B.latest.Store(next)
			return true
		}
		if a.dead != nil {
			return false
		}
	}
	return false
}
