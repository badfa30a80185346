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
// exceptions. Forwarded IPv4 packets ask it only if ip_forward_use_pmtu says so, as their senders do path MTU discovery
// themselves, or if the path was said to be smaller than is believed.
type pmtuCache struct {
	learned atomic.Bool // something was ever learned: the packet path need not ask before

	mu    sync.Mutex
	paths map[packet.Addr]pathMTU
}

type pathMTU struct {
	mtu    int
	till   packet.Time
	locked bool // less was claimed than is believed (IPv4): all packets keep to it
}

const (
	pmtuExpires = 10 * time.Minute // net.ipv4.route.mtu_expires, net.ipv6.route.mtu_expires
	pmtuMin4    = 552              // net.ipv4.route.min_pmtu: who claims less is believed this much
	maxPaths    = 1 << 12
)

// known is what was learned of the path to dst.
func (c *pmtuCache) known(dst packet.Addr, now packet.Time) (p pathMTU, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok = c.paths[dst]
	return p, ok && now < p.till
}

func (c *pmtuCache) learn(dst packet.Addr, p pathMTU) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paths == nil || len(c.paths) >= maxPaths {
		c.paths = map[packet.Addr]pathMTU{}
	}
	c.paths[dst] = p
	c.learned.Store(true)
}

// pathMTU is the MTU on p's way out: that of the route or the interface, or less where less was learned. The route of a copy
// that TEE made is that to its gateway.
func (w *worker) pathMTU(p *passage, out *device) int {
	mtu := out.pathMTU(p)
	if !w.r.paths.learned.Load() {
		return mtu
	}
	dst := p.Dst()
	if p.Duplicate {
		dst = p.toward
	}
	if k, ok := w.r.paths.known(dst, w.now); ok && (k.locked || p.in == nil || p.V6 || w.s.sys.ForwardUsePMTU) {
		return min(mtu, k.mtu)
	}
	return mtu
}

// learnPMTU looks at an error that has come to us: if it says that an ICMP packet of ours (an echo reply, mostly) was
// too big, the path has a smaller MTU (icmp_err, icmpv6_err). What it says of TCP and UDP is for their sockets.
func (w *worker) learnPMTU(p *passage) {
	h := p.L4Bytes()
	mtu := int(binary.BigEndian.Uint16(h[6:]))
	if p.V6 {
		mtu = int(binary.BigEndian.Uint32(h[4:]))
	}
	if !p.V6 {
		switch w.s.sys.NoPMTUDisc {
		case 0:
		case 2, 3: // 3 would believe those that a socket can check, which is not so of ICMP
			return
		default:
			mtu = 0
		}
	}
	tooBig := !p.V6 && h[0] == 3 && h[1] == 4 || p.V6 && h[0] == 2
	q, ok := p.Quote()
	if !tooBig || !ok {
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
	now := int(out.mtu.Load())
	if d.MTU != 0 {
		now = d.MTU
	}
	if k, ok := w.r.paths.known(q.Dst(), w.now); ok {
		if k.locked {
			return
		}
		now = min(now, k.mtu)
	}
	next := pathMTU{mtu: mtu, till: w.now.Add(pmtuExpires)}
	if !p.V6 && mtu < pmtuMin4 {
		next.mtu, next.locked = min(now, pmtuMin4), true
	}
	if mtu < now {
		w.r.paths.learn(q.Dst(), next)
	}
}
