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
	o, bad, ok := p.ReadOptions(packet.OptionsEnv{
		Local: w.specificDestination(p),
		Elsewhere: func(a packet.Addr) bool {
			return w.s.fib.AddrType(false, a, 0) == fib.Unicast
		},
		Clock: w.msOfDay(),
	})
	if !ok {
		w.icmpError(p, errParameter, uint32(bad)<<24)
		return packet.ReasonIPOptions
	}
	if o.SourceRoute != 0 {
		return packet.ReasonSourceRoute
	}
	p.options = o
	return packet.ReasonNone
}

// forwardOptions writes the egress address where the options ask for it (ip_forward_options).
func (w *worker) forwardOptions(p *passage) {
	if p.V6 || p.HeaderLen() == 20 {
		return
	}
	src := w.s.fib.Lookup(fib.Key{Dst: p.Dst(), Src: p.Src(), TOS: p.TOS() & 0x1e, Mark: p.Mark, IIF: p.in.Index}).PrefSrc
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
	d := w.s.fib.Lookup(fib.Key{Dst: p.Src(), TOS: p.TOS() & 0x1e, Mark: p.Mark})
	return d.PrefSrc
}

// msOfDay is the clock of IP and ICMP timestamps: milliseconds since midnight UTC (RFC 791 3.1, RFC 792).
func (w *worker) msOfDay() uint32 {
	t := w.Wall(w.now).UTC()
	return uint32(t.Sub(t.Truncate(24*time.Hour)) / time.Millisecond)
}

// EchoedOptions are the options that an answer to p carries.
func (p *passage) EchoedOptions() []byte { return nil }
