package link

import (
	"errors"

	"github.com/moat-router/moat/stack/packet"
)

// Errors that a Link returns.
var (
	ErrClosed = errors.New("link is closed")
	ErrDown   = errors.New("link is down")
	ErrFull   = errors.New("link is full")
)

// Link moves batches of datagrams with their offload metadata. There are two kinds: a TUN (stack/tun) and an
// in-memory pipe (this package).
type Link interface {
	// Name is the device's name, for people. The name that rules see is the router's business.
	Name() string
	// MTU in bytes: the largest datagram, IP header included, that may leave here (a super-segment counts by its
	// segments).
	MTU() int
	// Queues is how many Serve loops may run side by side; at least 1.
	Queues() int
	// Offloads tells what Send takes as it is; a packet that needs more is segmented and completed by the caller
	// (stack/frag).
	Offloads() Offloads
	// Serve reads queue q until the link is closed (ErrClosed) or breaks, handing each batch to h. The packets are
	// the link's: h runs to completion, may edit them in place and Send them on, and must not keep them. p.Parse has
	// not run. A link whose far end goes down keeps serving and goes on when it comes back.
	Serve(q int, h func(batch []*packet.Packet)) error
	// Send writes a batch from any goroutine; q is the sender's worker number (the link folds it to a queue). It
	// returns how many left and, if fewer than all, why the next one did not.
	Send(q int, batch []*packet.Packet) (int, error)
	// Close ends Serve and frees the device. It may be called twice.
	Close() error
}

// Offloads is what a link can take in Send beside plain datagrams.
type Offloads struct {
	Csum bool // NeedsCsum
	TSO4 bool
	TSO6 bool
	USO  bool
}
