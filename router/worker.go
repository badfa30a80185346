package router

import (
	"sync/atomic"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/router/fib"
	"github.com/moat-router/moat/stack/frag"
	"github.com/moat-router/moat/stack/packet"
)

// maxDepth is how many walks may nest: a packet that causes an error, a copy that TEE makes, a packet to ourselves.
// One more dies as ReasonLoop. Linux has the same guard in its per-CPU recursion limits.
const maxDepth = 8

// worker is one run-to-completion loop. Everything in it belongs to one goroutine.
type worker struct {
	policy.Worker
	r     *Router
	s     *state           // the snapshot of the packet at hand
	now   packet.Time      // its arrival
	free  []*packet.Packet // buffers for packets that the router makes
	ctx   []*passage
	stats *stats
	one   [1]*packet.Packet // a batch of one
	// waiting are packets of the batch at hand that are to leave by waitFor's queue waitQueue.
	waiting   []*packet.Packet
	waitFor   *device
	waitQueue int
	line      []byte   // a log line in the making
	echo      [40]byte // options of an answer
	cut       *frag.Cutter
	routes    routeCache
	looped    []*passage // sent to ourselves: comes in over lo when the walk at hand is over, as in Linux
	// sending tells that an ICMP message of ours is on its walk: no error about it, or about what it brings about, is made
	// (icmp_xmit_lock).
	sending [policy.NumFamilies]bool
	copying bool // a copy that TEE made is on its walk (in_nf_duplicate)
}

// passage is a packet on its walk: what netfilter sees of it, and what routing decided.
type passage struct {
	policy.Packet
	own      *packet.Packet // the buffer that belongs to this passage, nil if a link or the reassembly owns the bytes
	absent   policy.Chains  // places without rules, for who wants to know; none is always right
	in       *device        // nil for packets the router made
	out      *device
	dest     fib.Result
	options  packet.IPOptions
	looped   bool           // it comes from ourselves: it was routed on its way out
	echo     bool           // the copy of a broadcast of ours that comes back to us
	copyTo   *policy.Dev    // where TEE's copy was sent: POSTROUTING takes it for the ingress (nf_dup_ipv4_route)
	redirect bool           // it leaves by the interface it came by: the sender should know a better way
	lost     int            // see gather; 0: no
	bareHead bool           // it was gathered, and no hop-by-hop options came first
	held     *packet.Packet // the datagram that reassembly lent us
	fits     int            // the MTU of the way that an answer of ours was made for; 0: any
	toward   packet.Addr    // of a copy: the router that it is sent to
	ownCut   bool           // a copy of what may be cut: so may it, whatever its header says
	came     *device        // of a copy: where the packet came in that was copied, nil if nowhere
}

// stats are one worker's counters; readers add them up.
type stats struct {
	drops [packet.NumReasons]atomic.Uint64
	_     [64]byte
}

// begin takes a context for a packet whose bytes somebody else owns.
func (w *worker) begin(b *packet.Packet) *passage {
	var p *passage
	if n := len(w.ctx); n > 0 {
		p = w.ctx[n-1]
		w.ctx = w.ctx[:n-1]
	} else {
		p = new(passage)
	}
	*p = passage{} // and then field by field: a literal would be made elsewhere and copied
	p.Packet.Packet, p.W, p.Now = b, &w.Worker, w.now
	return p
}

// make takes a context with a buffer of its own, for a packet that the router makes.
func (w *worker) make() *passage {
	var own *packet.Packet
	if n := len(w.free); n > 0 {
		own = w.free[n-1]
		w.free = w.free[:n-1]
		own.Reset()
	} else {
		own = packet.New()
	}
	p := w.begin(own)
	p.own = own
	return p
}

// end is the end of every walk: the reason is counted, references go back.
func (w *worker) end(p *passage, why packet.Reason) {
	if why != packet.ReasonNone && why != packet.ReasonFragQueued {
		w.stats.drops[why].Add(1)
		if w.r.onDrop != nil && p.Packet.Packet != nil {
			w.r.onDrop(&p.Packet, why)
		}
	}
	w.CT.Release(&p.CT)
	if p.held != nil {
		w.r.frags.Done(p.held)
		p.held = nil
	}
	if p.own != nil {
		w.free = append(w.free, p.own)
		p.own = nil
	}
	w.ctx = append(w.ctx, p)
}

// nested runs a walk, perhaps inside another one, unless they nest too deep. When the outermost is over, what was sent
// to the router itself on the way comes in.
func (w *worker) nested(p *passage, walk func(*passage) packet.Reason) {
	why := packet.ReasonLoop
	if w.Depth < maxDepth {
		w.Depth++
		why = walk(p)
		w.Depth--
	}
	w.end(p, why)
	if w.Depth == 0 && len(w.looped) > 0 {
		w.drain()
	}
}

// maxLooped is how many packets one arrival may bring in over lo before the rest of them dies.
const maxLooped = 64

// drain lets in what waits on lo, in order; it may bring about more of it.
func (w *worker) drain() {
	w.Depth++
	for i := 0; i < len(w.looped); i++ {
		p, why := w.looped[i], packet.ReasonLoop
		if i < maxLooped {
			why = w.arrive(p)
		}
		w.end(p, why)
	}
	w.looped = w.looped[:0]
	w.Depth--
}
