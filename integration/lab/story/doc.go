// Package story plays what moat was built for, with hosts and real sockets, and tells what each of them saw.
//
// # Overview
//
// A Story builds the DMZ (topology.DMZ) once for every variant of its rules, lets the outside host send, and looks at the
// wire: what it received is what counts, not what the router believes.
//
//	icmp-leak   which addresses do ICMP errors of a rejecting firewall tell? With the rules that people try, and beside
//	            it the same network with a NAT that does not translate RELATED errors
//	fragments   why is the second fragment of an IKE message rejected, and what helps?
//
// # A worked example
//
//	s, _ := story.Find("icmp-leak")
//	r, err := s[0].Play(lab.Options{Mode: lab.Virtual})
//	story.Print(os.Stdout, s[0], r)
//
// # Invariants
//
// A leak is decided from the received bytes alone: an address in the outer source or in the quote that the outside host
// did not itself use. Each variant has a network of its own, gone before the next one begins.
//
// # Concurrency
//
// Stories share nothing.
//
// # Limits
//
// Where nothing may arrive, a kernel host waits a fifth of a second for it.
//
// # References
//
// RFC 5508 4.2 (translation of ICMP errors); RFC 7296 2 (IKE over UDP); scenarios A01 to A13.
package story
