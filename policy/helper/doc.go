// Package helper reads protocols that open further connections, so that those are RELATED and meet the same
// translation: FTP, TFTP, IRC (DCC) and Amanda.
//
// # Overview
//
// A connection gets a helper by "-j CT --helper NAME" (policy/conntrack). Run is what happens to each of its packets at
// the end of the walk, before the connection is confirmed: the helper looks for an address and a port in the payload,
// enters an expectation, and, if the connection is translated, writes the translated address and port into the payload.
//
// # A worked example
//
//	192.168.1.10>198.51.100.9:21   PORT 192,168,1,10,19,137        through SNAT to 1.2.3.1
//	expectation                    198.51.100.9:any > 1.2.3.1:5001
//	what leaves                    PORT 1,2,3,1,19,137             five bytes shorter: sequence numbers are adjusted
//	198.51.100.9:20>1.2.3.1:5001   RELATED, and DNATed to 192.168.1.10:5001 without a rule (nat.FollowMaster)
//
// # What a helper does not trust
//
// A command counts only where a line begins, as the sequence numbers say (FTP). A command that is cut in two at the
// end of a segment is dropped, so that it comes again whole. An address in a payload that is not its sender's is no
// expectation (FTP: nf_conntrack_ftp's loose=0; IRC: a forged DCC). Ports are not judged: a privileged one is
// expected like any other, as in Linux.
//
// # Concurrency
//
// Helpers keep state per connection (FTP: where lines begin), each under a lock of its own.
//
// # References
//
// RFC 959, 2428 (EPRT, EPSV), 1350 (TFTP); the CTCP DCC convention; Amanda's CONNECT line. For behaviour:
// net/netfilter/nf_conntrack_{ftp,tftp,irc,amanda}.c and nf_nat_*.c; scenarios I01 to I06.
package helper
