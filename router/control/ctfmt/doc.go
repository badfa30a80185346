// Package ctfmt prints connections as conntrack-tools and /proc/net/nf_conntrack print them.
//
// # Overview
//
// Flow is a copy of one connection for people: plain values, no locks. Six forms of it exist: the text of
// "conntrack -L", its XML, JSON of our own (conntrack-tools 1.4.7 has none), the command lines of "-o save", and the lines
// of /proc/net/nf_conntrack and of the older /proc/net/ip_conntrack. Expectation is the same for expected connections.
//
// # A worked example
//
// A client at 192.168.1.10 asks a name server through SNAT to 203.0.113.1; nobody has answered yet:
//
//	udp      17 29 src=192.168.1.10 dst=198.51.100.9 sport=5000 dport=53 [UNREPLIED] src=198.51.100.9 dst=203.0.113.1 sport=53 dport=5000 mark=0 use=1
//
// with -o extended "ipv4     2 " stands in front, with -o id "id=..." at the end.
//
// # Invariants
//
// Append functions append to b and never fail. What a field's absence means is said at the field.
//
// # Concurrency
//
// Values only; nothing is shared.
//
// # Limits
//
// Security contexts and SYN proxy data are not printed: moat has none. Label bits are printed as numbers.
//
// # References
//
// libnetfilter_conntrack's snprintf_default, snprintf_xml; nf_conntrack_standalone.c (ct_seq_show); measured with
// conntrack v1.4.7 on kernel 6.18.
package ctfmt
