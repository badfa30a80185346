package router

import (
	"encoding/binary"

	"github.com/moat-router/moat/router/fib"
	"github.com/moat-router/moat/stack/defrag"
	"github.com/moat-router/moat/stack/packet"
)

// gather is step 3: a fragment is held until its datagram is whole; then the whole goes on in the place of the last
// fragment, and remembers how it was cut. Where Linux' conntrack gathers IPv6 with destination options or a routing
// header in front of the fragment header, its local delivery later takes what stood behind it for the first of these:
// then lost is its place.
func (w *worker) gather(p *passage, user uint32) packet.Reason {
	index := 0
	if p.in != nil {
		index = p.in.Index
	}
	p.CompleteChecksum() // its place is behind a header that goes; only an atomic fragment has one to complete
	whole, why := w.r.frags.Add(w.now, p.Packet.Packet, index, user)
	if why != packet.ReasonNone || whole == nil {
		return why // none: Linux lets this one pass as it is
	}
	if p.V6 && user != defrag.UserLocal {
		lost := false
		for it := p.ExtHeaders(); ; {
			next, off, _, ok := it.Next()
			if !ok {
				break
			}
			if next == packet.ProtoFragment {
				if lost {
					p.lost = off
				}
				break
			}
			lost = lost || next != packet.ProtoHopByHop
		}
	}
	p.bareHead = p.V6 && p.Data[6] != packet.ProtoHopByHop
	p.Packet.Packet = whole
	p.held = whole
	return packet.ReasonNone
}

// expireFragments is called when time has passed: a datagram that did not become whole is reported to its sender, if
// its first fragment is here (RFC 792 code 1, RFC 8200 4.5). In IPv4 Linux reports it only for datagrams that were for
// the router itself.
func (w *worker) expireFragments() {
	w.r.frags.Expire(w.now, func(e defrag.Expired) {
		w.stats.drops[packet.ReasonFragTimeout].Add(1)
		if e.First == nil {
			return
		}
		in := w.r.dev(e.In)
		if in == nil {
			return
		}
		q := w.make()
		q.Load(e.First)
		if !e.V6 {
			// Its payload was cut to a multiple of eight bytes, and its header still says how long it was: so it is quoted.
			q.SetLen(max(len(e.First), int(binary.BigEndian.Uint16(e.First[2:]))))
		}
		if q.Parse() != packet.ReasonNone {
			w.end(q, packet.ReasonNone)
			return
		}
		q.Data = q.Data[:min(len(q.Data), len(e.First))]
		q.In, q.in = &in.Dev, in
		if !q.V6 {
			if w.lookup(q) != packet.ReasonNone || q.dest.Type != fib.Local {
				w.end(q, packet.ReasonNone)
				return
			}
		}
		w.icmpError(q, errReassembly, 0)
		w.end(q, packet.ReasonNone)
	})
}
