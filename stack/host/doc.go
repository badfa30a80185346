// Package host is what lives at the end of a link: the sockets of the router itself, and whole hosts of in-process
// labs. Both are a gVisor network stack.
//
// # Overview
//
// Stack has TCP and UDP sockets for the router. Transit never enters it, and of what is addressed to the router it
// gets only packets for which it has a socket (HasSocket); echo replies, resets and ICMP errors are the router's own
// work, since they must equal Linux's to the byte. Host is a Stack with one link, a default route and an answer to
// pings: a computer in a lab.
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
// # Virtual time, and "quiet now"
//
// gVisor's TCP works on goroutines of its own. With Config.Clock set there is no worker: Settle does its work in the
// caller's goroutine, and returns when the stack is quiet. Quiet means: every segment that was delivered is processed
// (gVisor's processors have passed a barrier with empty queues), no timer is due, the ring is empty, and no built-in
// service has anything to do. Only goroutines of the caller's, blocked in a Conn, are outside of this rule; a Conn on
// virtual time therefore never blocks but drives the network itself through Config.Wait.
//
// # Invariants
//
// WritePackets returns nil whatever happens: gVisor panics on errors that it does not know. Out is never called from
// inside Deliver. Timers of equal deadline fire in the order in which they were set.
//
// # Concurrency
//
// All methods are safe from any goroutine, but for Settle and Pump: one at a time.
//
// # Limits
//
// Source addresses of Dial come from Config.Route. gVisor keeps a route
// of its own only to know an interface's MTU; the router routes what comes out again.
//
// # References
//
// RFC 9293 (TCP), RFC 768 (UDP), RFC 792 and 4443 (ICMP of hosts); tcp_select_initial_window of net/ipv4/tcp_output.c
// for the window of a SYN/ACK.
package host
