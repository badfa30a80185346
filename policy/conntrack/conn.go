package conntrack

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/moat-router/moat/stack/packet"
)

// Conn is one tracked connection: two tuples, and NAT is nothing but a changed reply tuple. It lives in a slab
// without pointers for the collector; what few connections have (helper, master, counters, labels) stands in an ext
// outside. The methods here may be called from any worker that holds it in a Ref.
type Conn struct {
	tuple    [2]Tuple
	status   atomic.Uint32 // Status in the lower half, cached events in the upper
	mark     atomic.Uint32
	deadline atomic.Int64 // packet.Time; a packet that refreshes it stores it and does no more

	next    [2]atomic.Uint32 // link: hash chain of each tuple, written under the lock of that tuple's shard
	srcNext link             // chain by original source, under the lock of its bucket

	wheelNext, wheelPrev link          // under the owner's lock
	due                  atomic.Uint32 // tick of the slot that it is queued in
	slot                 uint16        // which slot; slotNone if it is not queued
	masq                 uint16        // interface that MASQUERADE chose the address of, 0 for none

	refs atomic.Int32 // 0: the slot is free
	self link         // its own place: owner shard and index in its slab
	seq  uint32
	ext  atomic.Uint32 // index of its ext, 0 for none

	lock  sync.Mutex // of proto, and of what else packets change together
	proto [7]uint64  // tcpState, udpState, sctpState or greState
}

// Tuple is the connection's tuple in one direction; it does not change once the connection is confirmed.
func (c *Conn) Tuple(d Dir) *Tuple { return &c.tuple[d] }

// Status is ct->status now.
func (c *Conn) Status() Status { return Status(c.status.Load() & statusMask) }

// SetStatus adds status bits and returns those that were set before.
func (c *Conn) SetStatus(s Status) Status { return Status(c.status.Or(uint32(s)) & statusMask) }

// Mark is the connmark now.
func (c *Conn) Mark() uint32 { return c.mark.Load() }

// SetMark sets the connmark and reports whether it changed (an event then follows).
func (c *Conn) SetMark(m uint32) bool {
	if c.mark.Swap(m) == m {
		return false
	}
	c.cache(CauseMark)
	return true
}

// Zone is the connection's zone as --zone gave it; 0 is the default zone.
func (c *Conn) Zone() uint16 { return max(c.tuple[Original].Zone, c.tuple[Reply].Zone) }

// Expires is when the entry times out.
func (c *Conn) Expires() packet.Time { return packet.Time(c.deadline.Load()) }

// ID is a number that no other connection of this table had lately; they grow in order of creation.
func (c *Conn) ID() uint32 { return c.seq }

// Counters are the packets and bytes seen in one direction; 0 without nf_conntrack_acct.
func (c *Conn) Counters(d Dir) (packets, bytes uint64) {
	e := c.extension()
	if e == nil {
		return 0, 0
	}
	return e.acct[d].packets.Load(), e.acct[d].bytes.Load()
}

// Labels are the connection's 128 label bits, bit n in byte n/8.
func (c *Conn) Labels() (l [16]byte) {
	if e := c.extension(); e != nil {
		for i := range l {
			l[i] = byte(e.labels[i/4].Load() >> (i % 4 * 8))
		}
	}
	return l
}

// HasLabels tells whether the connection has room for labels: it began while rules used them, or has one already.
func (c *Conn) HasLabels() bool {
	return int32(c.seq-c.table().labelsFrom.Load()) > 0 || c.Labels() != [16]byte{}
}

// SetLabel sets label bit n (0 to 127) and reports whether it was clear before.
func (c *Conn) SetLabel(n int) bool {
	if n < 0 || n > 127 || !c.addLabel(n) {
		return false
	}
	c.cache(CauseLabel)
	return true
}

// HelperName is the helper assigned to the connection; "" for none.
func (c *Conn) HelperName() string {
	if h := c.Helper(); h != nil {
		return h.Name
	}
	return ""
}

// Helper is the helper assigned to the connection; nil for none.
func (c *Conn) Helper() *Helper {
	if e := c.extension(); e != nil {
		return e.helper.Load()
	}
	return nil
}

// Master is the connection that expected this one; nil for most.
func (c *Conn) Master() *Conn {
	if e := c.extension(); e != nil {
		return e.master
	}
	return nil
}

// SetReply changes the reply tuple: NAT's way to have replies recognised (nf_conntrack_alter_reply). Only for
// connections that are not confirmed.
func (c *Conn) SetReply(t Tuple) { c.tuple[Reply] = t }

// MasqIndex is the interface whose address MASQUERADE took, 0 for none.
func (c *Conn) MasqIndex() int { return int(c.masq) }

// SetMasqIndex notes it; only for connections that are not confirmed.
func (c *Conn) SetMasqIndex(i int) { c.masq = uint16(i) }

// chunkLen is how many connections are allocated at once.
const chunkLen = 1 << chunkBits

const chunkBits = 6

// chunk is a piece of a shard's slab. Its one pointer stands at its front, so the collector looks at eight bytes of
// it and at no connection.
type chunk struct {
	table *Table
	conns [chunkLen]Conn
}

// table finds the table from a connection alone: c is element self of the chunk's array.
func (c *Conn) table() *Table {
	i := uintptr(c.self>>1) % chunkLen
	back := unsafe.Offsetof(chunk{}.conns) + i*unsafe.Sizeof(Conn{})
	return (*chunk)(unsafe.Add(unsafe.Pointer(c), -int(back))).table
}

// The protocol states share the room of Conn.proto; each is pointer-free and not larger (see the compile-time checks
// beside the types).
func (c *Conn) tcp() *tcpState   { return (*tcpState)(unsafe.Pointer(&c.proto)) }
func (c *Conn) udp() *udpState   { return (*udpState)(unsafe.Pointer(&c.proto)) }
func (c *Conn) sctp() *sctpState { return (*sctpState)(unsafe.Pointer(&c.proto)) }
func (c *Conn) gre() *greState   { return (*greState)(unsafe.Pointer(&c.proto)) }
