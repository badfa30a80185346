// Package router is the order of events: what happens to a datagram from the link it came by to the link it leaves by.
//
// # Overview
//
// stack knows bytes, policy knows decisions; this package knows which comes when. A packet's life is in walk.go, in
// the order in which it happens, and every step names the Linux function whose place it takes:
//
//	 1  a link hands us a datagram               receive          stack/link, stack/tun
//	 2  is it an IP datagram?                    arrive           stack/packet       RFC 791, RFC 8200
//	 3  wait until it is whole                   gather           stack/defrag
//	    ── PREROUTING ──────────────────────     prerouting
//	 4  raw: shall we track it?                                   policy
//	 5  whose packet is it?                                       conntrack.In
//	 6  mangle; nat: DNAT, only for state NEW                     policy/nat
//	 7  where does it go?                        route            router/fib
//	    ── INPUT ──────      ── FORWARD ────
//	 8a input, deliver       8b forward                           RFC 1812 5.3
//	    ── POSTROUTING ─────────────────────     postrouting
//	 9  mangle; nat: SNAT; helpers
//	10  now the connection is real                                conntrack.Confirm
//	11  cut to fit, and out                      transmit         stack/frag, stack/link
//
// The router's own packets (echo replies, ICMP errors, resets, what its sockets say) enter at OUTPUT (output.go) and
// go on to POSTROUTING.
//
// # A worked example
//
// 198.51.100.9 sends UDP to 1.2.3.10, which is DNATed to 192.168.1.10 and then rejected in FORWARD:
//
//	PREROUTING nat   198.51.100.9>1.2.3.10 becomes 198.51.100.9>192.168.1.10; an unconfirmed entry remembers it
//	FORWARD filter   REJECT: an ICMP error is made, 10.0.0.2>198.51.100.9 quoting 198.51.100.9>192.168.1.10
//	                 and is attached to that entry (RELATED, reply direction)
//	POSTROUTING nat  the entry translates it: 1.2.3.10>198.51.100.9 quoting 198.51.100.9>1.2.3.10
//
// No private address leaves, although the entry is never confirmed and no table holds it. A look-up by the quoted
// packet would have found nothing: that is the leak of routers without this step.
//
// # Invariants
//
// A packet that does not go on dies for a packet.Reason, which is counted; there is no bare return in the walk. One
// packet sees one snapshot (state) of rules, routes and sysctls, whatever is replaced meanwhile. Time and randomness
// are the worker's; nothing below this package reads a clock.
//
// # Concurrency
//
// One worker per link queue runs to completion: read, walk, write. What workers share is conntrack (sharded), the
// reassembly (one lock, fragments only), the snapshot (one atomic pointer) and state inside rules. The control plane
// holds Router.mu and publishes new snapshots.
//
// # Limits
//
// No multicast routing; multicast and broadcast are delivered locally at most. No ARP: links are point to point. One
// routing domain. Policy routing as router/fib documents it.
//
// # References
//
// RFC 791, 792, 1122, 1812, 4443, 8200; Linux net/ipv4/ip_input.c, ip_forward.c, ip_output.c, icmp.c and their IPv6
// twins for behaviour.
package router
