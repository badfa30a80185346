// Package fib answers where a datagram goes, with the semantics of the Linux routing tables.
//
// # Overview
//
// A [Builder] is told of links and then takes iproute2's own words ("ip addr add", "ip route add", "ip rule add"). It
// keeps what Linux keeps: interfaces with their addresses, the tables local, main, default and any numbered one, and
// the list of policy rules; it makes by itself the routes that follow from addresses. [Builder.Build] compiles that
// into an immutable [FIB], which the router swaps by one pointer and which answers on the packet path:
//
//	Lookup       the route for a key                                  fib_lookup, ip6_pol_route
//	AddrType     local, broadcast, multicast, unicast ...             inet_addr_type, xt_addrtype
//	SelectAddr   which of our addresses to speak from                 inet_select_addr, ipv6_dev_get_saddr
//	Validate     may this source come in here?                        fib_validate_source
//	ReversePath  the rpfilter match's form of the same question       ipt_rpfilter, ip6t_rpfilter
//
// # A worked example
//
//	b := fib.NewBuilder()
//	b.AddLink("wan", 1500) // index 2; lo is 1
//	b.AddLink("lan", 1500) // index 3
//	b.Command("ip addr add 10.0.0.2/30 dev wan; ip addr add 192.168.1.1/24 dev lan")
//	b.Command("ip route add default via 10.0.0.1")
//	f := b.Build()
//	f.Lookup(fib.Key{Dst: packet.Addr4([]byte{8, 8, 8, 8})})
//	// {Type: Unicast, Dev: 2, Gateway: 10.0.0.1, PrefSrc: 10.0.0.2, Table: 254}
//
// # Life of a look-up
//
// The rules are asked in order of priority. One that matches and names a table looks for the longest prefix there;
// of the routes at that prefix the first that fits TOS and interface wins, by metric; if none fits, the next shorter
// prefix is tried. No route, or a throw route, sends the question on to the next rule. As long as nobody has touched
// the IPv4 rules, local and main are one trie, as in Linux: the longest prefix of both wins.
//
// # Invariants
//
// A FIB never changes. Lookup does not allocate and takes no lock. A failed Command leaves the Builder as it was.
// Addresses are IPv4-mapped inside [packet.Addr], prefixes are native inside netip, so both families share one code
// path; the few differences of Linux (metric 0 or 1024, order of addresses, scopes) are fields of a row.
//
// # Concurrency
//
// A FIB may be read by anybody. A Builder belongs to one goroutine.
//
// # Limits
//
// One next hop per route: multipath ("nexthop", an appended IPv6 gateway of the same metric) is refused. No nexthop
// objects, no IPv6 source routes ("from" in a route), no IPv4 route via an IPv6 gateway, no goto/nop, realms, l3mdev
// or port selectors in rules. Gateways are taken as reachable: there is no neighbour table.
//
// # References
//
// Linux net/ipv4/{fib_trie,fib_semantics,fib_frontend,fib_rules,devinet}.c, net/ipv6/{ip6_fib,route,addrconf,
// fib6_rules}.c, net/core/fib_rules.c; RFC 6724 (source selection), RFC 4291 2.6.1 (subnet-router anycast), RFC 3704
// (reverse path). A differential test holds it against a live kernel.
package fib
