package router

import (
	"strconv"
	"time"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/policy/nflog"
	"github.com/moat-router/moat/router/fib"
	"github.com/moat-router/moat/stack/packet"
)

// A worker is the policy.Env of the packets that it carries.
var _ policy.Env = (*worker)(nil)

func index(d *policy.Dev) int {
	if d == nil {
		return 0
	}
	return d.Index
}

// AddrType implements policy.Env.
func (w *worker) AddrType(v6 bool, a packet.Addr, dev *policy.Dev) policy.AddrType {
	return policy.AddrType(w.s.fib.AddrType(v6, a, index(dev)))
}

// MasqueradeAddr implements policy.Env.
func (w *worker) MasqueradeAddr(p *policy.Packet, out *policy.Dev) (packet.Addr, bool) {
	d := w.s.fib.Lookup(fib.Key{V6: p.V6, Dst: p.Dst(), OIF: out.Index, Mark: p.Mark})
	return w.s.fib.MasqueradeAddr(p.V6, out.Index, d.Gateway, p.Dst())
}

// RedirectAddr implements policy.Env.
func (w *worker) RedirectAddr(p *policy.Packet, in *policy.Dev) (packet.Addr, bool) {
	return w.s.fib.RedirectAddr(p.V6, index(in), p.Dst())
}

// ReversePath implements policy.Env.
func (w *worker) ReversePath(p *policy.Packet, how policy.ReversePath) bool {
	k := fib.Key{V6: p.V6, Dst: p.Dst(), Src: p.Src(), Mark: p.Mark, IIF: index(p.In)}
	if !p.V6 {
		k.TOS = p.TOS() & 0x1e
	}
	return w.s.fib.ReversePath(k, fib.Reverse(how))
}

// PathMTU implements policy.Env.
func (w *worker) PathMTU(p *policy.Packet, reverse bool) int {
	k := fib.Key{V6: p.V6, Dst: p.Dst(), Src: p.Src(), Mark: p.Mark, IIF: index(p.In)}
	if reverse {
		k.Dst, k.Src, k.IIF = k.Src, packet.Addr{}, 0
	}
	d := w.s.fib.Lookup(k)
	dev := w.r.dev(d.Dev)
	if dev == nil {
		return 0
	}
	mtu := d.MTU
	if mtu == 0 {
		mtu = int(dev.mtu.Load())
	}
	if w.r.paths.learned.Load() {
		if l, ok := w.r.paths.known(k.Dst, w.now); ok {
			mtu = min(mtu, l.mtu)
		}
	}
	return mtu
}

// Tee implements policy.Env: a copy starts a life of its own at OUTPUT, untracked, and is never copied again, nor
// is what it brings about // (nf_dup_ipv4, nf_dup_ipv6).
func (w *worker) Tee(p *policy.Packet, gateway packet.Addr, oif string) {
	if w.copying {
		return
	}
	k := fib.Key{V6: p.V6, Dst: gateway}
	if oif != "" {
		if d := w.r.byName[oif]; d != nil {
			k.OIF = d.Index
		} else {
			return
		}
	}
	if !p.V6 {
		k.TOS = p.TOS() & 0x1e
	}
	d := w.s.fib.Output(k)
	if !reachable(d) {
		return
	}
	q := w.make()
	q.Load(p.Data)
	q.Offload = p.Offload
	if !p.V6 {
		packet.SetIPv4Checksum(q.Data[:p.HeaderLen()]) // options may be noted there, and the sum not have followed yet
	}
	if q.Parse() != packet.ReasonNone {
		w.end(q, packet.ReasonNone)
		return
	}
	q.Mark, q.Trace, q.Duplicate, q.Summed = p.Mark, p.Trace, true, p.Summed
	q.FragMax = p.FragMax // it is cut again, though not where it was
	// What connection tracking has made whole may be cut again, what local delivery has may not (skb->ignore_df).
	q.ownCut = p.FragMax != 0 && !p.V6 && w.s.gather[policy.V4] || p.In == nil
	q.CT.Info = conntrack.Untracked
	if !p.V6 {
		q.SetDF(true) // no one cuts the copy, or errors about it would come back
	}
	if p.Hook == policy.PreRouting || p.Hook == policy.Input {
		q.DecTTL() // a copy that comes by here again dies at last
	}
	q.dest, q.toward, q.came = d, gateway, w.r.dev(index(p.In))
	q.copyTo = &w.r.dev(d.Dev).Dev
	w.copying = true
	w.nested(q, w.output)
	w.copying = false
}

// Trace implements policy.Env.
func (w *worker) Trace(p *policy.Packet, t policy.TableID, chain, what string, n int) {
	b := nflog.AppendTrace(w.line[:0], t.String(), chain, what, n, p.Packet, logContext(p))
	w.line = b
	w.Log(4, b)
}

// Log implements policy.Env.
func (w *worker) Log(level uint8, line []byte) { w.r.log.line(w.now, level, line) }

// NFLog implements policy.Env.
//
// Where nobody listens to a group, the kernel says nothing; so does a router without a sink.
func (w *worker) NFLog(_ *policy.Packet, group uint16, line []byte) {
	if w.r.log.to == nil {
		return
	}
	b := append(w.line[:0], "NFLOG group="...)
	b = append(strconv.AppendUint(b, uint64(group), 10), ' ')
	w.line = append(b, line...)
	w.r.log.line(w.now, nflogLevel, w.line)
}

// nflogLevel is that of NFLOG lines in the log, info: the target has no level of its own.
const nflogLevel = 6

// Wall implements policy.Env.
func (w *worker) Wall(t packet.Time) time.Time { return w.r.epoch.Add(time.Duration(t)) }
