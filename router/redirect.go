package router

import (
	"encoding/binary"
	"time"

	"github.com/moat-router/moat/stack/packet"
)

// How often a host is told of a better way (ip_rt_redirect_*): at most nine times, each time after twice as long a pause
// as before; who then keeps silent for 20.48 s starts anew.
const (
	redirectNumber  = 9
	redirectLoad    = 20 * time.Millisecond
	redirectSilence = redirectLoad << (redirectNumber + 1)
)

// allowRedirect asks whether src may be told again.
func (l *limiter) allowRedirect(now packet.Time, src packet.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(src, now)
	quiet := now.Sub(b.last)
	if b.fresh || quiet > redirectSilence {
		b.tokens, b.fresh, b.redirects = 0, false, 0
	}
	if b.redirects >= redirectNumber {
		b.last = now
		return false
	}
	if b.redirects == 0 || quiet > redirectLoad<<b.redirects {
		b.last = now
		b.redirects++
		return true
	}
	return false
}

// sendRedirect tells p's sender that its next hop is on its own link (RFC 792; RFC 1812 5.2.7.2; ip_rt_send_redirect).
// p goes on all the same.
func (w *worker) sendRedirect(p *passage) {
	if !w.r.limits.allowRedirect(w.now, p.Src()) {
		return
	}
	gw := p.dest.Gateway
	if gw.IsZero() {
		gw = p.Dst()
	}
	w.icmpError(p, errRedirect, binary.BigEndian.Uint32(gw.Wire(false)))
}
