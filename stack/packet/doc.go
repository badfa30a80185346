// Package packet knows the bytes of a datagram: where its headers are, how to change them with all their checksums, and
// how to write it down in one line.
//
// # Overview
//
//	Packet, Parse           one datagram in a buffer, and the door that proves its lengths           packet.go parse.go
//	accessors               addresses, ports, TOS, views on headers (gVisor's header types)         access.go ext.go
//	edits                   SetSrc, SetDstPort, DecTTL, Overwrite, Replace: RFC 1624, never over payload   edit.go
//	Quote                   the packet inside of an ICMP error, read leniently, edited with all sums    quote.go
//	checksums               Delta, Sum, TransportSumOK, CompleteChecksum                     checksum.go verify.go
//	options                 IPv4: ReadOptions, ForwardOptions, EchoOptions; IPv6: CheckHopByHop     options.go hopbyhop.go
//	the notation            Build, Text, Walk, Canon, Get                        notation.go build.go text.go canon.go
//	Reason                  why a packet died                                                            reason.go
//
// # A worked example
//
// The SNAT of one datagram, and of the error that comes back about it:
//
//	p.Load(datagram)                          // 192.168.1.10:4000 > 9.9.9.9:53
//	if why := p.Parse(); why != ReasonNone {
//		return why
//	}
//	p.SetSrc(public)                          // IPv4 header checksum and UDP checksum follow
//	p.SetSrcPort(61000)                       // UDP checksum follows
//
//	if q, ok := e.Quote(); ok {               // 9.9.9.9 > public, quoting public:61000 > 9.9.9.9:53
//		q.SetSrc(private)                     // quoted header checksum, quoted UDP checksum
//		q.SetSrcPort(4000)
//		q.Close()                             // the ICMP checksum takes it all in
//	}
//	e.SetDst(private)
//
// # The notation
//
// Tests, traces, logs and scenario files share it. A datagram is one line, its layers separated by " / ":
//
//	ip4 SRC>DST [ttl=64] [id=0x1234] [df] [mf] [rb] [off=BYTES] [tos=N] [proto=N] [opts=HEX] [len=N] [ihl=N] [ver=N] [sum=bad|N]
//	ip6 SRC>DST [hlim=64] [tc=N] [fl=N] [nh=N] [plen=N]
//	frag6 [off=BYTES] [mf] [id=N] [nh=N]
//	hbh HEX | dstopt HEX | rt6 HEX [nh=N]      the header behind its first two bytes: 8n-2 bytes
//	udp SPORT>DPORT [len=N] [ulen=N] [sum=bad|none|N]
//	tcp SPORT>DPORT [FLAGS] [seq=N] [ack=N] [win=N] [mss=N] [ws=N] [sackok] [ts=V:E] [opts=HEX] [len=N] [urg=N] [doff=N] [sum=bad|N]
//	icmp TYPE/CODE [id=N] [seq=N] [mtu=N] [ptr=N] [gw=A.B.C.D] [len=N] [trunc=N] [sum=bad|N]
//	icmp6 TYPE/CODE [id=N] [seq=N] [mtu=N] [ptr=N] [len=N] [trunc=N] [sum=bad|N]
//	raw HEX | text "ASCII, \r \n \xNN" | pat N
//
// FLAGS are letters of SAFRPUEC, or "-". len=N on a transport layer is N bytes of payload "abc..zabc..". Layers behind
// icmp and icmp6 are what the error quotes; trunc=N cuts the quote. Lengths, checksums and protocol numbers are right
// unless a key says otherwise. Behind "||" the datagram may be cut, and one piece taken:
//
//	ip4 198.51.100.9>192.168.1.10 / udp 1000>53 len=2000 || frag 400 idx=2 [id=N]
//
// Text writes the same language; it gives payloads by their length, wrong checksums as sum=BAD, quoted packets in
// brackets, and later fragments as raw[LENGTH].
//
// # Invariants
//
// After Parse has accepted a packet no accessor and no edit reaches behind its end, whatever its transport header says
// or lacks. An edit leaves every checksum as right or as wrong as it was; only Replace, Quote.Close and
// the functions that say so make one anew. A UDP checksum of 0 stays 0, and a sum that comes out as 0 is sent as 0xffff. Of a packet with a partial
// checksum (NeedsCsum) only the pseudo-header sum follows edits. Bytes that a truncated quote lacks are never touched.
//
// # Concurrency
//
// A Packet and a Quote belong to one goroutine. Everything else is a value or a pure function. Build, Walk and their
// relatives allocate; nothing else does.
//
// # Limits
//
// No jumbograms (RFC 2675). Source routes are found, not followed. Extension headers are walked as Linux does: ESP ends
// the chain, mobility, HIP and shim6 headers count as transport protocols. Text layers may not hold " / ".
//
// # References
//
// RFC 791, 768, 792, 1071, 1624, 1812, 2113, 2675, 3828, 4443, 6864, 6946, 8200, 9260, 9293; net/ipv4/ip_input.c,
// ip_options.c, ip_forward.c; net/ipv6/ip6_input.c, exthdrs.c, exthdrs_core.c; net/netfilter/nf_nat_proto.c, utils.c,
// nf_nat_helper.c; scenarios C12, D01 to D15, E03, E10, F05, F06, G*.
package packet
