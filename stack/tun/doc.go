// Package tun opens TUN devices of Linux as links that offload.
//
// # Overview
//
// The device is opened through songgao/water and carries a virtio-net header in front of each datagram
// (IFF_VNET_HDR), so that a super-segment of 64 KiB crosses as one packet with its checksum still to be filled in.
// That is worth a factor of ten in TCP throughput over a device as water opens it by itself.
//
// # A worked example
//
//	t, err := tun.Open(tun.Options{Name: "moat-wan", MTU: 1500, Up: true})
//	go t.Serve(0, func(batch []*packet.Packet) { other.Send(0, batch) })
//
// # Life of a device
//
// water has no option for IFF_VNET_HDR, and an fd that is attached cannot be changed afterwards. But the flag is kept
// by the device: a helper queue creates it with IFF_MULTI_QUEUE|IFF_VNET_HDR, water attaches as the next queue, the
// helper is closed. TUNGETIFF then proves for each queue that the flag stuck. In the other order it does not, without
// an error. All queues are attached at once, since attaching by name after the interface was moved to another network
// namespace would silently create a new device in the old one.
//
// # Invariants
//
// A header that contradicts its datagram never reaches the handler: it is counted (Stats.BadHeader). What Send writes
// is one write(2) of header and datagram from the packet's own buffer. A name that is taken is refused unless
// Options.Attach says otherwise. Close leaves nothing behind: no descriptor, no device, no goroutine.
//
// # Concurrency
//
// One Serve per queue; Send from any goroutine. Reading is a raw read until EAGAIN inside the runtime's poller, with a
// Gosched every 256 packets so that one busy queue does not starve the rest: against os.File that was measured at
// +31 % of TCP throughput and +13 % of packets.
//
// # Limits
//
// Linux only; elsewhere Open returns ErrUnsupported. CsumGood is not passed on to the kernel (DATA_VALID): it may rest
// on a promise of the configuration, and the kernel would then believe it without looking.
//
// # References
//
// Documentation/networking/tuntap.rst; virtio 1.2, 5.1.6; drivers/net/tun.c and include/linux/virtio_net.h for
// behaviour.
package tun
