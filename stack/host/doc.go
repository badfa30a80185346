// Package host is what lives at the end of a link: the sockets of the router itself, and whole hosts of in-process
// labs. Both are a gVisor network stack.
//
// # Overview
//
// Stack has TCP and UDP sockets for the router. Transit never enters it, and of what is addressed to the router it
// gets only packets for which it has a socket (HasSocket); echo replies, resets and ICMP errors are the router's own
// work, since they must equal Linux's to the byte. Host is a Stack with links and an answer to pings: a computer in a lab.
// Told by which routes (HostConfig.Route), it follows the weak end system model, as Linux does, over a gVisor that follows
// the strong one, and hears what it says to itself; else everything leaves by its first link.
//
// # A worked example
//
//	s := host.New(host.Config{Out: func(p *packet.Packet) { walk.Output(p) }})
//	s.SetLink(1, "lan", 1500)
//	s.AddAddress(1, netip.MustParsePrefix("192.168.1.1/24"))
//	s.Serve(host.Echo, "tcp", netip.MustParseAddrPort("0.0.0.0:7"))
//	if s.HasSocket(p) { s.Deliver(p, 1) }      // at the end of INPUT
//
// # Life of a packet
//
// Deliver copies it and gives it to gVisor as received on its interface. What gVisor answers lands, in the link
// endpoint's WritePackets, in a bounded ring; a worker takes it out, gives TCP the looks of Linux (linux.go) and calls
// Config.Out. So a packet that the router delivers to itself never re-enters the walk from inside the walk. A full
// ring drops, counted by Dropped.
//
// A Host has no ring and no worker: its link only takes a copy, so WritePackets gives the datagram its looks and sends it
// at once (transmit.go). If the link takes super-segments of both families, TCP makes them: 64 KiB travel as one packet
// with a partial checksum, and arrive as one. Two live hosts with a NAT between them move some 20 Gb/s of TCP so, and
// 2 Gb/s in packets of 1500 bytes (integration/lab has the benchmarks).
//
// # Virtual time, and "quiet now"
//
// gVisor's TCP works on goroutines of its own. With Config.Clock set there is no worker: Settle does its work in the
// caller's goroutine, and returns when the stack is quiet. Quiet means: every segment that was delivered is processed
// (gVisor's processors have passed a barrier with empty queues), no timer is due, the ring is empty, and no built-in
// service has anything to do. Only goroutines of the caller's, blocked in a Conn, are outside of this rule; a Conn on
// virtual time therefore never blocks but drives the network itself through Config.Wait.
//
// gVisor's processors are paused but for the barrier. So it does not depend on the scheduler which segments one
// acknowledgement answers; with Config.Seed nothing else does either, and one seed gives one run.
//
// # Invariants
//
// WritePackets returns nil whatever happens: gVisor panics on errors that it does not know. Out is never called from
// inside Deliver; the link of a Host is, and must not call back. Timers of equal deadline fire in the order in which they
// were set.
//
// # Concurrency
//
// All methods are safe from any goroutine, but for Settle and Pump: one at a time.
//
// # Limits
//
// Connections that are served by different processors of gVisor (there are GOMAXPROCS) send at the same time: with one
// seed each sends the same, but on a busy host their order on the wire may differ.
//
// Source addresses of Dial come from Config.Route. gVisor keeps a route of its own only to know an interface's MTU; a
// router, and a Host with routes, route what comes out again. So the MTU that counts is that of the interface which has
// the source address. A UDP socket is not told that its path
// is narrower than it thought (Linux: EMSGSIZE for connected ones); what it sends next is cut.
//
// # References
//
// RFC 9293 (TCP), RFC 768 (UDP), RFC 792 and 4443 (ICMP of hosts); tcp_select_initial_window of net/ipv4/tcp_output.c
// for the window of a SYN/ACK.
package host
