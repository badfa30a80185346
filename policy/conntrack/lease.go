package conntrack

import "github.com/moat-router/moat/stack/packet"

// Lease is a hold that a connection has on something that outlives it: a NAT binding. Only connections that were made by
// a rule with a NAT behaviour have one.
type Lease interface {
	// Renew is told that its side of the connection has sent something outwards.
	Renew(now packet.Time)
	// End is told, once, that the connection is gone. It must not call the table.
	End()
}

// SetLease gives the connection a lease, for what the sender of direction d holds; only for connections that are not
// confirmed, and once for each direction.
func (c *Conn) SetLease(d Dir, l Lease) { c.addExt().lease[d] = l }

// Lease is what the sender of direction d holds; nil for most.
func (c *Conn) Lease(d Dir) Lease {
	if e := c.extension(); e != nil {
		return e.lease[d]
	}
	return nil
}
