// Package policy is netfilter's part of the walk: hooks, tables, chains, verdicts, and the nat hook. It decides; it
// knows neither links nor routes, and reads no clock.
//
// # Overview
//
// A Packet is a datagram with everything that rides along (netfilter's skb): interfaces, mark, connection. A Ruleset
// is both families' tables, immutable but for counters and the state inside matches; Run sends a Packet through the
// chain of one table at one hook. Translate is the nat hook: it asks the nat table about the first packet of a
// connection and translates all of them, also RELATED ICMP errors. What rules may ask of the router around them stands
// in Env.
//
// Rules are built by policy/iptables out of iptables-save text; their matches and targets are in policy/xt, one file
// each.
//
// # A worked example
//
//	*nat
//	-A PREROUTING -d 1.2.3.10/32 -j DNAT --to-destination 192.168.1.10
//
//	Run(Raw, PreRouting, p)       Accept: the table was never loaded
//	conntrack.In                  p.CT = {Conn, NewConn}
//	Run(Mangle, PreRouting, p)    Accept
//	Translate(PreRouting, p)      Run(NAT, PreRouting, p): the rule matches, DNAT binds the connection (nat.Setup);
//	                              then nat.Translate writes 192.168.1.10 into the packet. The next packet of the
//	                              connection does not meet the rule.
//
// # Invariants
//
// A table that drops sets Packet.Reason. A REJECT drops and leaves its answer in Packet.Reject for the router to send
// while the packet is as the rule saw it. Counters count packets and bytes as iptables does: a super-segment is one
// packet.
//
// # Concurrency
//
// A Packet and a Worker belong to one goroutine. A Ruleset may be run by many: counters are per worker, matches with
// state guard it themselves. Nothing here allocates per packet.
//
// # Limits
//
// The built-in chains are those of iptables; there are no bridges, no ARP, no ingress hook, no nftables.
//
// # References
//
// net/ipv4/netfilter/ip_tables.c, net/ipv6/netfilter/ip6_tables.c and net/netfilter/nf_nat_core.c for behaviour;
// scenarios H05, H15 (traversal and traces), B14 (nat is asked once), A10 to A15, D01 to D15 (RELATED).
package policy
