package defrag

import (
	"slices"
	"sort"

	"github.com/moat-router/moat/stack/packet"
)

// queue is one datagram that is not whole yet.
type queue struct {
	key
	deadline packet.Time
	seq      uint64 // of its birth: orders what expires at the same time
	heapAt   int
	older    *queue // neighbours in the list by age of the same kind
	newer    *queue
	source   *source
	rid      uint64 // the source's fragment count when this queue saw its last one

	pieces []piece // in order of arrival
	runs   []run   // in order of offset, disjoint
	length int     // of the fragmentable part, as far as is known
	meat   int     // bytes that are here
	first  bool    // fragment 0 is here
	last   bool    // the end is known
	ecn    uint8
	max    int  // size of the largest fragment with its IP header
	maxDF  int  // the same among those with DF
	bad    bool // some fragment's checksum was not vouched for
	dev    int  // of the last fragment
	cost   int

	raw   []byte // fragment 0 as it came
	head  int
	nhOff int
	next  uint8
}

// piece is a fragment in the queue.
type piece struct {
	off  int
	data []byte
	df   bool
}

// run is a range of bytes that arrived in order, each fragment right behind the one before.
type run struct{ off, end int }

// fit is how a new fragment lies among those that are here.
type fit uint8

const (
	fitNew fit = iota
	fitDuplicate
	fitOverlap
)

// place finds room for [off,end) and takes it (inet_frag_queue_insert). Beyond everything that is here it lengthens
// the last run or begins one; elsewhere it must fall between two runs.
func (q *queue) place(off, end int) fit {
	n := len(q.runs)
	if n == 0 || q.runs[n-1].end < end {
		switch {
		case n == 0 || off > q.runs[n-1].end:
			q.runs = append(q.runs, run{off, end})
		case off == q.runs[n-1].end:
			q.runs[n-1].end = end
		default:
			return fitOverlap
		}
		return fitNew
	}
	i := sort.Search(n, func(i int) bool { return q.runs[i].end > off })
	switch r := q.runs[i]; {
	case r.off >= end:
		q.runs = slices.Insert(q.runs, i, run{off, end})
		return fitNew
	case off >= r.off && end <= r.end:
		return fitDuplicate
	}
	return fitOverlap
}

// fate is what became of a fragment that was offered to its queue.
type fate struct {
	reason packet.Reason // ReasonFragQueued: it is in
	kill   bool          // the queue dies with it
}

// add offers a fragment. The order of the checks is Linux's: it decides what dies.
func (q *queue) add(f *fragment) fate {
	malformed := fate{packet.ReasonFragMalformed, q.kind != kind6}
	if f.kind.v6() && f.end > maxLen {
		return fate{packet.ReasonFragMalformed, false}
	}
	if !f.more {
		if f.end < q.length || q.last && f.end != q.length {
			return malformed
		}
		q.last, q.length = true, f.end
	} else {
		if f.end&7 != 0 {
			switch q.kind {
			case kind4:
				f.end &^= 7
			case kind6:
				return fate{packet.ReasonNone, true}
			case kind6Local:
				return fate{packet.ReasonFragMalformed, false}
			}
		}
		if f.end > q.length {
			if q.last {
				return malformed
			}
			q.length = f.end
		}
	}
	if f.end <= f.off {
		return malformed
	}
	f.payload = f.payload[:f.end-f.off]
	if f.kind == kind4 {
		f.size = f.head + len(f.payload)
	}
	switch q.place(f.off, f.end) {
	case fitDuplicate:
		return fate{packet.ReasonFragDuplicate, false}
	case fitOverlap:
		return fate{packet.ReasonFragOverlap, true}
	}
	q.keep(f)
	return fate{packet.ReasonFragQueued, false}
}

// keep copies what the whole will need.
func (q *queue) keep(f *fragment) {
	q.dev = f.dev
	q.meat += len(f.payload)
	q.ecn |= f.ecn
	q.max = max(q.max, f.size)
	if f.df {
		q.maxDF = max(q.maxDF, f.size)
	}
	q.bad = q.bad || !f.csumGood
	data := f.payload
	if f.off == 0 {
		q.first = true
		q.raw = slices.Clone(f.raw[:f.at+len(f.payload)])
		q.head, q.nhOff, q.next = f.head, f.nhOff, f.next
		data = q.raw[f.at:]
	} else {
		data = slices.Clone(data)
	}
	q.pieces = append(q.pieces, piece{f.off, data, f.df})
}

// whole tells whether nothing is missing.
func (q *queue) whole() bool { return q.first && q.last && q.meat == q.length }

// ceOver gives what the ECN field of the whole must be ored with (RFC 3168 5.3): CE if any fragment carried it;
// not ok if fragments that can and that cannot carry marks are mixed.
func ceOver(ecn uint8) (or uint8, ok bool) {
	const notECT, ce = 1 << 0, 1 << 3
	if ecn&notECT != 0 && ecn != notECT {
		return 0, false
	}
	if ecn&ce != 0 {
		return 3, true
	}
	return 0, true
}
