// Package veth is a link for those who may not open /dev/net/tun: the near end of a pair of Ethernet devices, of which the
// far end belongs to the kernel of a network namespace.
//
// # Overview
//
// Whoever is root of a user namespace may make such a pair and open a packet socket, with no device file that others
// guard. Datagrams go in and out of the socket; the Ethernet around them is the kernel's business. The far end has no
// neighbours to ask (NOARP), and leaves nothing to hardware that is not there: datagrams arrive whole, of at most the MTU,
// with their checksums.
//
// # A worked example
//
//	host, err := netns.New()
//	near, err := netns.New()                      // where nobody looks
//	l, err := veth.Open(near, host, "eth0", 1500) // eth0 is in host, as a TUN device would be
//	host.Configure("eth0", netns.Config{Up: true, Addresses: []string{"192.168.1.10/24"}})
//
// # Invariants
//
// Close removes both ends; so does the end of either's namespace.
//
// # Concurrency
//
// As link.Link has it.
//
// # Limits
//
// Linux. One queue, no offloads, a system call for each datagram: a TUN device is many times as fast.
//
// # References
//
// veth(4), packet(7).
package veth
