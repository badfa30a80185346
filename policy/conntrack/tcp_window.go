package conntrack

import (
	"fmt"

	"github.com/moat-router/moat/stack/packet"
)

// window is the verdict of the window check.
type window uint8

const (
	windowAccept window = iota
	windowIgnore        // passes, but does not refresh anything
	windowInvalid
)

// maxAckWindow is how far back an acknowledgment may lie, at least.
const maxAckWindow = 66000

// inWindow is tcp_in_window: could a segment with these numbers really be on its way? It asks four things of sequence
// and acknowledgment numbers, and learns from segments that pass.
func (x *look) inWindow(st *tcpState, s *tcpSegment) window {
	dir, other := x.dir, x.dir.Other()
	own, peer := &st.seen[dir], &st.seen[other]
	seq, end, win := s.seq, s.end, uint32(s.win)
	ack := s.ack
	sack := ack
	if st.flags[other]&tcpSACKPerm != 0 {
		sack = s.sack(ack)
	}
	// What this side acknowledges are numbers as it saw them: a helper's edits of the other direction go out.
	shift := x.c.seqOffset(other, ack-1)
	ack -= shift
	sack -= shift

	syn := s.flags&tcpSYN != 0
	hasAck := s.flags&tcpACK != 0
	switch {
	case own.maxWin == 0 && syn:
		s.initSender(st, dir)
		if !hasAck {
			return windowAccept // a simultaneous open
		}
	case own.maxWin == 0:
		// The middle of a connection: begin with what this segment says.
		own.end = end
		own.maxWin = max(win<<st.scale[dir], 1)
		own.maxEnd = end + own.maxWin
		if peer.maxWin == 0 {
			peer.end, peer.maxEnd = sack, sack
		} else if sack == peer.end+1 {
			peer.end++ // most likely the answer to a keep-alive
		}
	case syn && after(end, own.end) && (st.state == TCPSynSent || st.state == TCPSynRecv):
		// A repeated SYN or SYN/ACK with another number or other options.
		s.initSender(st, dir)
		if dir == Reply && !hasAck {
			return windowAccept
		}
	}
	if !hasAck || s.flags&tcpRST != 0 && ack == 0 {
		// No acknowledgment, or an RST of a stack that sets ACK with 0: no statement about it.
		ack, sack = peer.end, peer.end
	}
	if s.flags&tcpRST != 0 && seq == 0 && st.state == TCPSynSent {
		seq, end = own.end, own.end // an RST in answer to a SYN
	}

	ackWin := max(own.maxWin, maxAckWindow)
	// I: not beyond what the receiver allows.
	if !before(seq, own.maxEnd+1) {
		overshot := end - own.maxEnd + 1
		ackOK := after(sack, peer.end-ackWin-1)
		inWin := peer.maxWin != 0 && after(end, own.end-peer.maxWin-1)
		if inWin && ackOK && overshot <= peer.maxWin && before(sack, peer.end+1) {
			// More than allowed, but not by far: if it gets through and is acknowledged, the acknowledgment must fit.
			own.end = end
			st.flags[dir] |= tcpUnacked
			return x.outside(st, windowIgnore, "%d bytes more than expected", overshot)
		}
		return x.outside(st, windowInvalid, "SEQ is over upper bound %d (over the window of the receiver)", own.maxEnd+1)
	}
	// II: acknowledges nothing that was not sent.
	if !before(sack, peer.end+1) {
		return x.outside(st, windowInvalid, "ACK is over upper bound %d (ACKed data not seen yet)", peer.end+1)
	}
	// III: not all of it was acknowledged long ago.
	if peer.maxWin != 0 && !after(end, own.end-peer.maxWin-1) {
		return x.outside(st, windowIgnore, "SEQ is under lower bound %d (already ACKed data retransmitted)", own.end-peer.maxWin-1)
	}
	// IV: not an acknowledgment from long ago.
	if !after(sack, peer.end-ackWin-1) {
		return x.outside(st, windowIgnore, "ignored ACK under lower bound %d (possible overly delayed)", peer.end-ackWin-1)
	}

	if !syn {
		win <<= st.scale[dir]
	}
	own.maxWin = max(own.maxWin, win+(sack-ack))
	if after(end, own.end) {
		own.end = end
		st.flags[dir] |= tcpUnacked
	}
	if hasAck && (st.flags[dir]&tcpMaxAckSet == 0 || after(ack, own.maxAck)) {
		own.maxAck = ack
		st.flags[dir] |= tcpMaxAckSet
	}
	if peer.maxWin != 0 && after(end, own.maxEnd) {
		peer.maxWin += end - own.maxEnd
	}
	if after(sack+win, peer.maxEnd-1) {
		peer.maxEnd = sack + win
		if win == 0 {
			peer.maxEnd++
		}
	}
	if ack == peer.end {
		st.flags[other] &^= tcpUnacked
	}
	if s.seg == segACK {
		if st.lastDir == dir && st.lastSeq == seq && st.lastAck == ack && st.lastEnd == end && st.lastWin == s.win {
			st.retrans++
		} else {
			st.lastDir, st.lastSeq, st.lastAck, st.lastEnd, st.lastWin = dir, seq, ack, end, s.win
			st.retrans = 0
		}
	}
	return windowAccept
}

// outside is the verdict on a segment outside of the window: all is well where the check is lenient.
func (x *look) outside(st *tcpState, w window, format string, bound uint32) window {
	if x.par.TCPBeLiberal || st.flags[x.dir]&tcpLiberal != 0 {
		return windowAccept
	}
	if x.logs(packet.ProtoTCP) {
		x.log(packet.ProtoTCP, fmt.Sprintf(format, bound))
	}
	return w
}

// initSender begins the window of a direction with its SYN or SYN/ACK. Scaling counts only if both offer it (RFC 7323
// 1.3).
func (s *tcpSegment) initSender(st *tcpState, dir Dir) {
	own := &st.seen[dir]
	own.end, own.maxEnd = s.end, s.end
	own.maxWin = max(uint32(s.win), 1)
	s.options(st, dir)
	if dir == Reply && st.flags[0]&st.flags[1]&tcpWindowScale == 0 {
		st.scale[0], st.scale[1] = 0, 0
	}
}

// options reads what a SYN offers: window scaling and SACK.
func (s *tcpSegment) options(st *tcpState, dir Dir) {
	o := s.b[20:]
	if len(o) == 0 {
		return
	}
	st.scale[dir] = 0
	st.flags[dir] &= tcpLiberal
	for kind, v := range tcpOptions(o) {
		switch {
		case kind == 4 && len(v) == 0:
			st.flags[dir] |= tcpSACKPerm
		case kind == 3 && len(v) == 1:
			st.scale[dir] = min(v[0], 14) // RFC 7323 2.3
			st.flags[dir] |= tcpWindowScale
		}
	}
}

// sack is the right edge of the segment's SACK blocks, if that is beyond its acknowledgment (RFC 2018 3).
func (s *tcpSegment) sack(ack uint32) uint32 {
	o := s.b[20:]
	if len(o) == 0 || len(o) == 12 && be32(o) == 0x0101080a {
		return ack // none, or the timestamp that every segment has
	}
	for kind, v := range tcpOptions(o) {
		if kind == 5 && len(v) >= 8 && len(v)%8 == 0 {
			for ; len(v) > 0; v = v[8:] {
				if edge := be32(v[4:]); after(edge, ack) {
					ack = edge
				}
			}
			break
		}
	}
	return ack
}

// tcpOptions gives kind and value of each option, up to the first malformed one.
func tcpOptions(o []byte) func(func(uint8, []byte) bool) {
	return func(yield func(uint8, []byte) bool) {
		for len(o) > 0 && o[0] != 0 {
			if o[0] == 1 {
				o = o[1:]
				continue
			}
			if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
				return
			}
			if !yield(o[0], o[2:o[1]]) {
				return
			}
			o = o[o[1]:]
		}
	}
}
