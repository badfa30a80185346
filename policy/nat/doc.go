// Package nat decides and applies translations: SNAT, DNAT, MASQUERADE, REDIRECT, NETMAP and prefix translation, and that
// of ICMP errors about translated connections.
//
// # Overview
//
// A translation is a changed reply tuple. Setup looks for a tuple within a rule's Range that nobody has and makes its
// inverse the connection's reply tuple; from then on every packet follows from the two tuples: Translate makes a
// packet look like the inverse of the other direction's tuple, one end (Manip) at each hook. The rules are asked once for each
// manip of a connection; NullBinding stands for "no rule".
//
// # A worked example
//
// A client behind SNAT to 1.2.3.1 sends from 192.168.1.10:5000 to 198.51.100.9:53.
//
//	original   192.168.1.10:5000 > 198.51.100.9:53
//	reply      198.51.100.9:53 > 192.168.1.10:5000    before Setup: the inverse
//	reply      198.51.100.9:53 > 1.2.3.1:5000         after Setup with ManipSrc
//
// The packet leaves as the inverse of the reply tuple, 1.2.3.1:5000 > 198.51.100.9:53. The answer is found by the reply
// tuple and gets the inverse of the original one at PREROUTING: 198.51.100.9:53 > 192.168.1.10:5000. An ICMP error
// of a router on the way quotes 1.2.3.1:5000 > 198.51.100.9:53; TranslateICMP turns the quote back into what the client
// sent, and the error's destination with it.
//
// # How a tuple is found
//
//  1. for sources: no change if the range holds it and it is free; else what the source has at another destination (the
//     index by original source of package conntrack);
//  2. an address of the range, by a hash over source and destination (--persistent: over the source);
//  3. the port that it has, if it is in the range and free; else a search from a random place, at most 128 looks, then
//     64 from another place, and so on down to 16: bounded, so a full range costs a constant. Without ports in the rule
//     the new port is of the old one's class (1–511, 600–1023, 1024–65535); destination ports change only where a rule
//     says so.
//
// # Behaviours
//
// What is above is Linux's NAT: what a source is seen as holds as far as it is free, who may answer is decided by the
// connection, and all of it ends with the connection. A rule with a Behaviour promises more (RFC 4787 4, 5), and a Binding
// keeps the promise: the internal endpoint, the external one that it is seen as, and who may call there.
//
//	Bind       at POSTROUTING: the connection's source gets its binding, found or made      bind.go, assign.go
//	Inbound    at PREROUTING, where no rule decided: a packet to an external endpoint becomes a connection to the inside,
//	           or dies as ReasonNATFiltered                                                  inbound.go, permit.go
//	Renew      at POSTROUTING: what leaves in either direction's name renews the binding
//
//	made       by the first packet; its external endpoint is nobody else's
//	held       by each of its connections (conntrack.Lease): it does not end before they do
//	idle       five minutes for UDP, four for TCP, one for ICMP, from the last packet outwards (RFC 4787 REQ-5, REQ-6; RFC
//	           5382 REQ-5; RFC 5508 REQ-2), whatever comes in
//	ended      absent for look-ups; Sweep frees it
//
// A packet between two hosts inside by way of an external endpoint (a hairpin) gets both translations at PREROUTING, so
// that the called one sees the caller's external endpoint (RFC 4787 REQ-9). In the example above, with endpoint-independent
// filtering, 203.0.113.7:99 > 1.2.3.1:5000 goes to 192.168.1.10:5000 minutes after the answer from 198.51.100.9.
//
// # Invariants
//
//   - Setup is for connections that are not confirmed; their reply tuple changes before anybody else can see it.
//   - If nothing is free the packet goes on with a taken tuple and dies at confirm (ReasonNATExhausted), as in Linux: the
//     other manip may still bring it out of the clash.
//   - Checksums are changed by differences and are as right or wrong as they came, but SCTP's CRC, which is computed
//     anew, and ICMP errors, which are refused if theirs is wrong (RFC 5508 REQ-3).
//   - A redirect about a translated connection is dropped: what it says is of the other side's addresses.
//
// # Concurrency
//
// Everything works on one packet and one connection that its caller holds; the table does the locking. Randomness is
// the caller's. Bindings are sharded by internal address, and their index by external endpoint once more; a shard of the
// first kind is locked before one of the second, and conntrack's shards come last. Packets of connections that are there
// take no lock here. What nobody asked for costs nothing: without a binding there is one comparison for each new
// connection.
//
// # Limits
//
// Without a Behaviour mappings are endpoint-independent as far as they are free, as in Linux. Bindings are for TCP, UDP,
// UDP-Lite, SCTP and the queries of ICMP, at whose ids nobody may call; other protocols are translated as in Linux. A
// table holds DefaultMax bindings, and a binding lets 128 others call that it has no connection with. Bindings are not kept
// over a restart. GRE keys are changed only for connections with a master, which only a PPTP helper would
// make. DCCP has no ports since kernel 6.17 and only its addresses are translated.
//
// # References
//
// Linux net/netfilter/nf_nat_core.c, nf_nat_proto.c, nf_nat_masquerade.c, xt_NETMAP.c, net/ipv6/netfilter/ip6t_NPT.c
// (behaviour, kernel 6.18); RFC 3022, 4787, 5382, 5508, 6296.
package nat
