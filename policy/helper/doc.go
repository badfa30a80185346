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
// A command counts only where a line begins, as the sequence numbers say; what the first segment of each side says is
// not known to begin one (FTP). A command that is cut in two at the end of a segment is dropped, so that it comes again
// whole. An address in a payload that is not its sender's is no expectation (FTP: nf_conntrack_ftp's loose=0; IRC: a
// forged DCC). Of a segment one command is read. Ports are not judged: a privileged one is expected like any other, and
// numbers that are too large wrap, as in Linux.
//
// # Invariants
//
//   - A packet leaves as it came, or with one address and one port replaced and its lengths and checksum right, or not
//     at all. Amanda alone has several ports replaced.
//   - Work is bounded by the length of the payload and 128 tries for a free port.
//   - What a helper reads allocates nothing unless it is something to expect.
//
// # Concurrency
//
// Helpers keep state per connection (FTP: where lines begin), under a lock of its own that no lock of conntrack is held
// around. Expectations are entered under conntrack's.
//
// # Limits
//
// Helpers for SIP, H.323, PPTP, NetBIOS, SNMP and SANE are not there. FTP remembers two places where lines begin for each
// side: an older line that comes again is not rewritten again, as in Linux. Linux moves "sequence numbers" of ICMP errors
// in the original direction of an adjusted connection, which breaks them: we do not. Linux's quote of a rewritten
// IPv6 packet that has become too big has half a checksum, ours a whole one. Forged DCC commands are not logged.
//
// # References
//
// RFC 959, 2428 (EPRT, EPSV), 1350 (TFTP); the CTCP DCC convention; Amanda's CONNECT line. For behaviour:
// net/netfilter/nf_conntrack_{ftp,tftp,irc,amanda}.c and nf_nat_*.c, in6_pton; scenarios I01 to I28 and the
// conversations of integration/difftest.
package helper
