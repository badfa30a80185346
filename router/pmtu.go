package router

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moat-router/moat/router/fib"
	"github.com/moat-router/moat/stack/packet"
)

// pmtuCache is what the router has learned about the paths of its own packets (RFC 1191, RFC 8201): Linux's route
// exceptions. Forwarded packets do not ask it (ip_forward_use_pmtu is 0): their senders do path MTU discovery.
type pmtuCache struct {
	learned atomic.Bool // something was ever learned: the packet path need not ask before

	mu    sync.Mutex
	paths map[packet.Addr]pathMTU
}

type pathMTU struct {
	mtu  int
	till packet.Time
}

const (
	pmtuExpires = 10 * time.Minute // net.ipv4.route.mtu_expires, net.ipv6.route.mtu_expires
	pmtuMin4    = 552              // net.ipv4.route.min_pmtu: who claims less is believed this much
	maxPaths    = 1 << 12
)

// cap gives the smaller of mtu and what is known of the path to dst.
func (c *pmtuCache) cap(dst packet.Addr, mtu int, now packet.Time) int {
	if !c.learned.Load() {
		return mtu
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.paths[dst]; ok && now < p.till && p.mtu < mtu {
		return p.mtu
	}
	return mtu
}

func (c *pmtuCache) learn(dst packet.Addr, mtu int, now packet.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paths == nil || len(c.paths) >= maxPaths {
		c.paths = map[packet.Addr]pathMTU{}
	}
	c.paths[dst] = pathMTU{mtu, now.Add(pmtuExpires)}
	c.learned.Store(true)
}

// learnPMTU looks at an error that has come to us: if it says that an ICMP packet of ours (an echo reply, mostly) was
// too big, the path has a smaller MTU (icmp_err, icmpv6_err). What it says of TCP and UDP is for their sockets.
func (w *worker) learnPMTU(p *passage) {
	h := p.L4Bytes()
	mtu := int(binary.BigEndian.Uint16(h[6:]))
	if p.V6 {
		mtu = int(binary.BigEndian.Uint32(h[4:]))
	}
	tooBig := !p.V6 && h[0] == 3 && h[1] == 4 || p.V6 && h[0] == 2
	q, ok := p.Quote()
	if !tooBig || !ok || mtu == 0 {
		return
	}
	if p.V6 {
		// IPv6 does not ask whether the quoted packet was ours.
		if q.Proto() != protoICMPv6 || q.L4Len() < 8 {
			return
		}
	} else {
		// IPv4 does, and looks behind the quoted header, also of a later fragment, for the type of an echo reply.
		b := q.Bytes()
		at := int(b[0]&15) * 4
		if q.Proto() != protoICMP || len(b) < at+8 || b[at] != 0 || !w.s.fib.Owns(q.Src(), 0) {
			return
		}
	}
	d := w.s.fib.Lookup(fib.Key{V6: p.V6, Dst: q.Dst(), Src: q.Src()})
	out := w.r.dev(d.Dev)
	if d.Type != fib.Unicast || out == nil {
		return
	}
	if p.V6 && mtu < minMTU6 {
		return // no IPv6 path is so small: not believed at all
	}
	if !p.V6 {
		mtu = max(mtu, pmtuMin4)
	}
	if mtu < w.r.paths.cap(q.Dst(), int(out.mtu.Load()), w.now) {
		w.r.paths.learn(q.Dst(), mtu, w.now)
	}
}
