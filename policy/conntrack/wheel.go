package conntrack

import (
	"math/bits"

	"github.com/moat-router/moat/stack/packet"
)

// The timer wheel of a shard: four levels of 64 slots, a tick of 2^26 ns (67 ms), 13 days in all; what lies
// further waits in the last slot and is placed again. A packet that refreshes a connection only stores the deadline:
// when its slot comes up, a connection that is not due is placed again by its deadline.
const (
	tickBits   = 26
	levelBits  = 6
	levelSlots = 1 << levelBits
	levels     = 4

	slotDue  = levels * levelSlots // the list of those that are due and wait to be killed
	slotNone = slotDue + 1
)

type wheel struct {
	now      uint32         // every slot before this tick is empty
	queued   int            // connections in all slots
	occupied [levels]uint64 // which slots are not empty
	heads    [slotDue + 1]link
}

func tickOf(t packet.Time) uint32 { return uint32(max(t, 0) >> tickBits) }

// place queues c by its deadline; the caller holds the owner's lock.
func (w *wheel) place(t *Table, c *Conn) {
	due := max(tickOf(c.Expires()), w.now)
	delta := min(due-w.now, 1<<(levels*levelBits)-1)
	due = w.now + delta
	level := 0
	if delta > 0 {
		level = (bits.Len32(delta) - 1) / levelBits
	}
	slot := due >> (level * levelBits) & (levelSlots - 1)
	w.occupied[level] |= 1 << slot
	c.due.Store(due)
	w.link(t, c, level*levelSlots+int(slot))
}

func (w *wheel) link(t *Table, c *Conn, slot int) {
	head := w.heads[slot]
	c.slot, c.wheelNext, c.wheelPrev = uint16(slot), head, 0
	if head != 0 {
		t.at(head).wheelPrev = c.self
	}
	w.heads[slot] = c.self
	w.queued++
}

// remove takes c out of its slot.
func (w *wheel) remove(t *Table, c *Conn) {
	if c.slot == slotNone {
		return
	}
	if c.wheelPrev != 0 {
		t.at(c.wheelPrev).wheelNext = c.wheelNext
	} else {
		w.heads[c.slot] = c.wheelNext
		if c.wheelNext == 0 && c.slot < slotDue {
			w.occupied[c.slot/levelSlots] &^= 1 << (c.slot % levelSlots)
		}
	}
	if c.wheelNext != 0 {
		t.at(c.wheelNext).wheelPrev = c.wheelPrev
	}
	c.slot = slotNone
	w.queued--
}

// next is the first tick, not before now, at which a slot that is not empty comes up.
func (w *wheel) next() (uint32, bool) {
	best, found := uint32(0), false
	for l := range levels {
		if w.occupied[l] == 0 {
			continue
		}
		cur := w.now >> (l * levelBits)
		// The slot of level 0 that we stand in is due now; one of a higher level was emptied when we came to it,
		// so what lies there is for the next round.
		first := uint32(0)
		if l > 0 {
			first = 1
		}
		rot := bits.RotateLeft64(w.occupied[l], -int((cur+first)&(levelSlots-1)))
		at := (cur + first + uint32(bits.TrailingZeros64(rot))) << (l * levelBits)
		if !found || at < best {
			best, found = at, true
		}
	}
	return best, found
}

// advance moves the wheel to now. Connections whose time has come go to the due list and to due, each with a
// reference. It looks at no more than budget connections and says whether it came to the end.
func (w *wheel) advance(t *Table, now packet.Time, budget *int, due []*Conn) ([]*Conn, bool) {
	target := tickOf(now)
	for {
		at, ok := w.next()
		if !ok || at > target {
			w.now = max(w.now, target)
			return due, true
		}
		moved := at > w.now
		w.now = at
		for l := levels - 1; l >= 0; l-- {
			if l > 0 && (!moved || at&(1<<(l*levelBits)-1) != 0) {
				continue
			}
			slot := l*levelSlots + int(at>>(l*levelBits)&(levelSlots-1))
			var done bool
			if due, done = w.drain(t, slot, now, budget, due); !done {
				return due, false
			}
		}
		if at == target {
			return due, true
		}
	}
}

// drain empties a slot: connections that are due go to the due list, the others are placed again.
func (w *wheel) drain(t *Table, slot int, now packet.Time, budget *int, due []*Conn) ([]*Conn, bool) {
	l := w.heads[slot]
	w.heads[slot] = 0
	w.occupied[slot/levelSlots] &^= 1 << (slot % levelSlots)
	for l != 0 {
		c := t.at(l)
		l = c.wheelNext
		w.queued--
		switch {
		case *budget <= 0:
			w.link(t, c, slot)
			w.occupied[slot/levelSlots] |= 1 << (slot % levelSlots)
		case c.Expires() <= now:
			*budget--
			c.refs.Add(1)
			due = append(due, c)
			c.due.Store(0)
			w.link(t, c, slotDue)
		default:
			*budget--
			w.place(t, c)
		}
	}
	return due, *budget > 0
}
