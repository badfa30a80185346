// Package nflog writes the kernel's log lines: those of the LOG target, of TRACE and of conntrack's own complaints,
// byte for byte as Linux 6.18 prints them (net/netfilter/nf_log_syslog.c), so that whatever reads firewall logs today
// reads ours.
//
// # Overview
//
// A line is a prefix, the interfaces, and the headers in words. Append writes one for LOG, AppendTrace and
// AppendInvalid put the kernel's own prefixes in front. All of them append to a slice of the caller's.
//
// # A worked example
//
// A rule "-j LOG --log-prefix 'new: '" sees a datagram on its way from lan to wan:
//
//	new: IN=lan OUT=wan MAC= SRC=192.168.1.10 DST=198.51.100.9 LEN=36 TOS=0x00 PREC=0x00 TTL=63 ID=4660 DF PROTO=UDP SPT=5000 DPT=53 LEN=16
//
// There is a space at the end. MAC= is empty since a TUN has no link layer, and not there at all where a packet has
// no ingress interface. Inside of an ICMP error the quoted packet stands in brackets.
//
// # Invariants
//
// Every read is checked against the end of the packet: what is cut says INCOMPLETE or TRUNCATED where the kernel says
// it, with the kernel's arithmetic (a header that claims to end behind the packet gives 4294967288 bytes). A line is
// never longer than MaxLine: the kernel's buffer ends there, and so do we.
//
// # Concurrency
//
// No state. Nothing allocates if the slice has BufferSize bytes to spare.
//
// # Limits
//
// --log-uid prints nothing: the router's own sockets belong to no user. --log-macdecode prints what a device without
// a link layer gives, an empty MAC=.
//
// # References
//
// net/netfilter/nf_log_syslog.c, include/net/netfilter/nf_log.h; scenarios H14-log, H15-trace,
// H18-conntrack-invalid-nf-log-invalid; testdata/kernel-6.18.txt.
package nflog
