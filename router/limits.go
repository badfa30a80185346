package router

import (
	"sync"
	"time"

	"github.com/moat-router/moat/router/fib"
	"github.com/moat-router/moat/stack/packet"
)

// limiter holds the token buckets that keep the router from answering too much (inet_peer_xrlim_allow): one bucket per
// destination of errors. RFC 1812 4.3.2.8, RFC 4443 2.4(f). Errors are not the packet path, so one lock will do; the
// number of buckets is bounded, and when it is reached the stale ones go, then all.
type limiter struct {
	mu    sync.Mutex
	peers map[packet.Addr]*bucket
}

const (
	maxPeers = 1 << 16
	// xrlimBurst is how many errors may go out at once, in units of the rate limit (XRLIM_BURST_FACTOR).
	xrlimBurst = 6
	// An unroutable destination has a bucket of its own arithmetic (ip_error): a burst of five, then one per second,
	// whatever icmp_ratelimit says.
	noRouteBurst = 5 * time.Second
	noRouteCost  = time.Second
)

type bucket struct {
	tokens    time.Duration
	last      packet.Time
	fresh     bool // never asked: full
	redirects uint8
}

func newLimiter() *limiter { return &limiter{peers: map[packet.Addr]*bucket{}} }

func (l *limiter) bucket(a packet.Addr, now packet.Time) *bucket {
	b := l.peers[a]
	if b == nil {
		if len(l.peers) >= maxPeers {
			l.forget(now)
		}
		b = &bucket{fresh: true}
		l.peers[a] = b
	}
	return b
}

// forget drops the buckets that have been full for long; if there are none, all of them: an attacker then gains a few
// more errors, and nobody loses memory.
func (l *limiter) forget(now packet.Time) {
	for a, b := range l.peers {
		if now.Sub(b.last) > time.Minute {
			delete(l.peers, a)
		}
	}
	if len(l.peers) >= maxPeers {
		clear(l.peers)
	}
}

// take fills the bucket by the time that has passed, up to burst, and takes cost out of it if that much is there.
func (b *bucket) take(now packet.Time, cost, burst time.Duration) bool {
	if b.fresh {
		b.tokens, b.fresh = burst, false
	} else if now != b.last { // what is left over from another burst stays for the moment
		b.tokens = min(b.tokens+now.Sub(b.last), burst)
	}
	b.last = now
	if b.tokens < cost {
		return false
	}
	b.tokens -= cost
	return true
}

// allow asks whether an error may go to dst (icmpv4_xrlim_allow, icmpv6_xrlim_allow). Which types are limited is a
// sysctl; frag-needed and packet-too-big never are, since path MTU discovery hangs on them.
func (l *limiter) allow(w *worker, v6 bool, typ, code uint8, dst packet.Addr, dest fib.Result) bool {
	rate := w.s.sys.ICMPRatelimit
	if v6 {
		rate = w.s.sys.ICMPv6Ratelimit
		if typ == 2 || !w.s.sys.ICMPv6Ratemask(typ) {
			return true
		}
	} else if typ == 3 && code == 4 || w.s.sys.ICMPRatemask>>typ&1 == 0 {
		return true
	}
	if dest.Dev == w.r.lo.Index {
		return true
	}
	// A rate of 0 allows everything, but as in Linux it leaves a bucket empty, which allowNoRoute shares.
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bucket(dst, w.now).take(w.now, rate, xrlimBurst*rate)
}

// allowNoRoute asks whether an unroutable packet from src may be answered (ip_error); IPv6 has no such bucket.
func (l *limiter) allowNoRoute(now packet.Time, src packet.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bucket(src, now).take(now, noRouteCost, noRouteBurst)
}
