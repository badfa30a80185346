// Package dns is the name server of a lab and the resolver of its hosts: as much of DNS as a test of NAT, split horizons
// and broken paths needs.
//
// # Overview
//
// A Zone has records, in the words of zone files, and answers questions: bytes in, bytes out, so that it works behind any
// socket, on virtual time too. A Client is a stub resolver that asks a list of servers through any dialer, one
// question after the other: a run with it is repeatable, which one with net.Resolver, which asks for both families at
// once, is not.
//
// # A worked example
//
//	z, err := dns.NewZone("example.org")
//	z.Add("www 300 A 192.0.2.1")
//	z.AddHost("server", []netip.Addr{netip.MustParseAddr("192.0.2.9")})   // A, and PTR of 192.0.2.9
//	answer, _ := z.Datagram(question)
//
// # Invariants
//
// What is not a question gets no answer. An answer that does not fit the asker's buffer (512 bytes, or what EDNS says, at
// most 1232) comes empty with TC, and whole over TCP.
//
// # Concurrency
//
// A Zone that is no longer added to may be asked from any goroutine; so may a Client.
//
// # Limits
//
// One zone that knows everything, without delegation, recursion or transfers: other names do not exist. Of the types A,
// AAAA, CNAME, MX, NS, PTR, SRV and TXT. No DNSSEC.
//
// # References
//
// RFC 1034 and 1035; RFC 2308 (negative answers), 4592 (wildcards), 6891 (EDNS), 7766 (TCP).
package dns
