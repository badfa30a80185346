package router

import (
	"time"

	"github.com/moat-router/moat/router/fib"
	"github.com/moat-router/moat/stack/packet"
)

// readOptions looks at IPv4 options once the route is known (ip_rcv_options): a malformed one is answered with a
// parameter problem, a source route is refused (RFC 7126 4.3, 4.4), and record route and timestamp are noted.
func (w *worker) readOptions(p *passage) packet.Reason {
	if p.V6 || p.HeaderLen() == 20 {
		return packet.ReasonNone
	}
	o, bad, ok := p.ReadOptions(w.optionsEnv(w.specificDestination(p)))
	p.options = o
	if !ok {
		w.icmpError(p, errParameter, uint32(bad)<<24)
		return packet.ReasonIPOptions
	}
	if o.SourceRoute != 0 {
		return packet.ReasonSourceRoute
	}
	return packet.ReasonNone
}

// forwardOptions writes the egress address where the options ask for it (ip_forward_options).
func (w *worker) forwardOptions(p *passage) {
	if p.V6 || p.HeaderLen() == 20 {
		return
	}
	src := w.s.fib.Lookup(fib.Key{Dst: p.Dst(), Src: p.Src(), TOS: p.TOS() & 0x1e, Mark: p.Mark, IIF: p.in.Index, OIF: p.out.Index}).PrefSrc
	if src.IsZero() {
		src = p.dest.PrefSrc
	}
	p.ForwardOptions(&p.options, src)
}

// specificDestination is the address by which p's sender knows us: p's destination if it is ours, else what we would
// answer from (fib_compute_spec_dst).
func (w *worker) specificDestination(p *passage) packet.Addr {
	if p.dest.Type == fib.Local {
		return p.Dst()
	}
	src, scope := p.Src(), fib.ScopeLink
	if src[12] != 0 {
		k := fib.Key{Dst: src, TOS: p.TOS() & 0x1e}
		if w.s.sourcePolicy(p.in).SrcValidMark {
			k.Mark = p.Mark
		}
		if d := w.s.fib.Lookup(k); reachable(d) {
			return d.PrefSrc
		}
		scope = fib.ScopeUniverse
	}
	return w.s.fib.SelectAddr(false, p.in.Index, src, scope)
}

// msOfDay is the clock of IP and ICMP timestamps: milliseconds since midnight UTC (RFC 791 3.1, RFC 792).
func (w *worker) msOfDay() uint32 {
	t := w.Wall(w.now).UTC()
	return uint32(t.Sub(t.Truncate(24*time.Hour)) / time.Millisecond)
}

// echoOptions are the options that an answer to p carries (RFC 1122 3.2.2.6 asks it of echo replies; Linux does it for
// errors, too); false: there is no answer.
func (w *worker) echoOptions(p *passage, src packet.Addr) (options []byte, own packet.IPOptions, ok bool) {
	if p.V6 || p.HeaderLen() == 20 {
		return nil, own, true
	}
	return p.EchoOptions(w.echo[:0], &p.options, src, w.optionsEnv(src))
}

func (w *worker) optionsEnv(local packet.Addr) packet.OptionsEnv {
	return packet.OptionsEnv{
		Local:     local,
		Elsewhere: func(a packet.Addr) bool { return w.s.fib.AddrType(false, a, 0) == fib.Unicast },
		Clock:     w.msOfDay(),
	}
}
