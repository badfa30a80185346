package router

import (
	"errors"
	"sync/atomic"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/frag"
	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

// device is an interface of the router: what rules know of it, and the link behind it.
type device struct {
	policy.Dev
	link link.Link // nil for lo
	// queues is how many of them the link has.
	queues int
	mtu    atomic.Int32
	up     atomic.Bool
	// csumGood says that a fragment or a flagged packet that arrives here counts as verified by a NIC
	// (rx_checksum_offload).
	csumGood bool
	// allGood says so of every packet (the csum_offload of scenarios).
	allGood bool

	counts []devCount // by worker
}

// devCount is what one worker has moved by an interface. It alone writes here; see policy.Ruleset for why its counters
// need no locked instruction.
type devCount struct {
	rx, tx   traffic
	txErrors atomic.Uint64
	_        [64]byte
}

type traffic struct{ packets, bytes uint64 }

//go:norace
func (t *traffic) add(n int) {
	t.packets++
	t.bytes += uint64(n)
}

// minMTU6 is the MTU that every IPv6 link has (RFC 8200 5).
const minMTU6 = 1280

func (d *device) isUp() bool { return d.up.Load() }

// pathMTU is the MTU on p's way out here: that of the route, if it has one (also if it is larger, as in Linux), else that
// of the interface.
func (d *device) pathMTU(p *passage) int {
	mtu := p.dest.MTU
	if mtu == 0 {
		mtu = int(d.mtu.Load())
	}
	if p.V6 {
		mtu = max(mtu, minMTU6)
	}
	return mtu
}

// queue is that of out by which p leaves: the same for all packets of a connection in both directions. The kernel behind a TUN
// sends what it has for a flow by the queue that the flow was last written to, so that its packets stay on one worker of each
// link, and in order. What has no connection leaves by the queue of the worker's own number.
func (w *worker) queue(p *passage, out *device) int {
	if out.queues > 1 && p.CT.Conn != nil {
		return int(p.CT.Conn.ID() % uint32(out.queues))
	}
	return w.ID
}

// send cuts p to fit and writes it out (ip_finish_output, ip6_finish_output).
func (w *worker) send(p *passage, out *device) packet.Reason {
	mtu := w.pathMTU(p, out)
	if p.Duplicate && !p.V6 && p.FragMax != 0 && !p.ownCut {
		w.icmpError(p, errTooBig, uint32(mtu)) // made whole from fragments, it leaves in fragments or not at all, and has DF
		return packet.ReasonTooBig
	}
	can, q := out.link.Offloads(), w.queue(p, out)
	if !frag.Needed(p.Packet.Packet, mtu, can) {
		if p.in != nil && p.own == nil && p.held == nil {
			return w.wait(out, q, p.Packet.Packet)
		}
		w.one[0] = p.Packet.Packet
		return w.put(out, q, w.one[:])
	}
	if p.fits != 0 {
		mtu = min(mtu, p.fits) // it was put together in pieces, and then NAT sent it another way (ip_append_data, ip6_append_data)
	}
	why := packet.ReasonNone
	way := frag.Way{MTU: mtu, Can: can, ID: w.Rand.Uint32(), Own: p.in == nil && (!p.Duplicate || p.ownCut), IgnoreDF: p.ownCut,
		TooBig: func(segment *packet.Packet) {
			whole := p.Packet.Packet
			p.Packet.Packet = segment
			w.icmpError(p, errTooBig, uint32(mtu))
			p.Packet.Packet = whole
			why = packet.ReasonTooBig
		}}
	err := w.cut.Cut(p.Packet.Packet, way, func(b *packet.Packet) error {
		w.one[0] = b
		if r := w.put(out, q, w.one[:]); r != packet.ReasonNone {
			why = r // the rest of it may still get through
		}
		return nil
	})
	switch {
	case errors.Is(err, frag.ErrTooBig):
		w.icmpError(p, errTooBig, uint32(mtu))
		return packet.ReasonTooBig
	case err != nil:
		return packet.ReasonFragFailed
	}
	return why
}

// wait lets a packet of the batch at hand leave together with those behind it: the bytes are the link's until the batch
// is through, and system calls in a row find their code in the cache.
func (w *worker) wait(out *device, queue int, b *packet.Packet) packet.Reason {
	if w.waitFor != out || w.waitQueue != queue {
		w.flush()
		w.waitFor, w.waitQueue = out, queue
	}
	w.waiting = append(w.waiting, b)
	return packet.ReasonNone
}

// flush sends what waits. What the link refuses has died after all.
func (w *worker) flush() {
	b := w.waiting
	w.waiting = w.waiting[:0]
	for len(b) > 0 {
		n, why := w.write(w.waitFor, w.waitQueue, b)
		b = b[n:]
		if why == packet.ReasonNone || len(b) == 0 {
			continue
		}
		w.stats.drops[why].Add(1)
		if w.r.onDrop != nil {
			w.r.onDrop(&policy.Packet{Packet: b[0], W: &w.Worker, Now: w.now, Out: &w.waitFor.Dev}, why)
		}
		b = b[1:]
	}
}

// put sends one packet that cannot wait, behind those that do.
func (w *worker) put(out *device, queue int, b []*packet.Packet) packet.Reason {
	w.flush()
	_, why := w.write(out, queue, b)
	return why
}

// write hands a batch to the link: how many left, and why the next one did not.
func (w *worker) write(out *device, queue int, b []*packet.Packet) (int, packet.Reason) {
	n, err := out.link.Send(queue, b)
	for _, p := range b[:n] {
		out.counts[w.ID].tx.add(len(p.Data))
	}
	switch err {
	case nil:
		return n, packet.ReasonNone
	case link.ErrDown, link.ErrClosed:
		return n, packet.ReasonLinkDown
	case link.ErrFull:
		return n, packet.ReasonLinkFull
	}
	out.counts[w.ID].txErrors.Add(1)
	return n, packet.ReasonLinkError
}
