// Package frag is the last step before the wire: it cuts a datagram to fit, and out.
//
// # Overview
//
// A Cutter takes one datagram, the MTU of its way out and what the link takes off our hands, and emits what really
// leaves: the datagram itself, its fragments, or the segments of a super-segment with complete checksums.
//
//	fits                                   the datagram, its checksum completed if the link does not do that
//	reassembled here (Packet.Pieces)       the geometry that came in: the same cuts, IPv4 with the same id, IPv6 with a new one
//	IPv4 without DF, too long              fragments as long as the MTU lets them be
//	super-segment (Packet.GSO)             itself over a link that segments, else its segments
//	anything else that is too long         ErrTooBig: Packet Too Big or fragmentation needed is due
//
// # A worked example
//
// Two fragments of 400 payload bytes came in and were made whole for the rules. Out of an interface of MTU 1500 the
// whole would fit; what leaves is 400 + 400 again, because a path behind may be narrower than ours and the sender knew:
//
//	in   ip4 198.51.100.9>192.168.1.10 id=0x1234 mf / udp 1000>53 ...     off=400 / raw[400]
//	out  ip4 198.51.100.9>192.168.1.10 id=0x1234 mf / udp 1000>53 ...     off=400 / raw[400]
//
// # Invariants
//
// Concatenating the fragments that are emitted gives the datagram. No fragment is longer than the MTU, nor, for a
// reassembled datagram, than the longest fragment that came in (for IPv6: or than 1280). Segments equal, byte for byte,
// what the sender would have sent without offload.
//
// # Concurrency
//
// A Cutter belongs to one worker: it owns the buffers in which pieces are made. Emitted packets are lent for the
// duration of the call. Nothing is allocated.
//
// # Limits
//
// The home address option (RFC 6275) does not count among the headers that are repeated.
//
// # References
//
// RFC 791 3.2, RFC 8200 4.5, RFC 6864; net/ipv4/ip_output.c (ip_do_fragment), net/ipv6/ip6_output.c (ip6_fragment),
// net/ipv4/tcp_offload.c, net/ipv4/udp_offload.c; scenarios A02, A06, B23, E14, F09, G12, G14, G15, G16.
package frag
