// Package link is the wire: how batches of IP datagrams enter and leave the router.
//
// # Overview
//
// Link is the interface that the router sees. It has two implementations: a TUN of the kernel (stack/tun) and the
// End of an in-memory Pipe (this package), which labs, replays and tests use. Beside the datagram travels what a
// virtio-net header would carry (packet.Offload), so that a super-segment of 64 KiB crosses a pipe as it crosses a
// TUN.
//
// # A worked example
//
//	a, b := link.Pipe("left", "right", link.PipeOptions{})
//	a.Send(0, []*packet.Packet{p})          // waits in b's ring
//	b.Pump(func(batch []*packet.Packet) {}) // deterministic: the caller's goroutine runs the handler
//	go b.Serve(0, h)                        // or live: a goroutine of its own
//
// # Life of a datagram in a pipe
//
// Send copies the bytes and the offload metadata into the ring of the other end and returns; the sender may reuse
// its packet at once. Serve or Pump copies them out into packets of its own, which the handler may edit in place.
// Two copies of a datagram are the price for rings that hold bytes instead of 64 KiB buffers: an idle pipe holds next to
// nothing, and a busy one what waited in it at the most.
//
// # Invariants
//
// A datagram is handed over once, in the order of Send. A full ring refuses (ErrFull), nothing is overwritten. A
// pipe with either end down takes nothing (ErrDown), as a TUN whose kernel end is down; what already waits in a ring
// stays there. A datagram over the MTU is refused (ErrTooBig): cutting it is the router's work.
//
// # Concurrency
//
// Send is safe from any goroutine. One Serve or Pump at a time per End.
//
// # Limits
//
// One queue per End. At most 4 MiB wait in each direction, whatever the number of slots. No delay, no loss: a decorator that wants them wraps a Link, as Tap does for captures.
//
// # References
//
// virtio 1.2, 5.1.6 (the header that Offload mirrors); tun(4) of Linux for the behaviour when down or full.
package link
