// Package natcheck measures what a NAT does, from both of its sides and by real packets, and holds it against what RFC
// 4787 (UDP), RFC 5382 (TCP) and RFC 5508 (ICMP) require.
//
// # Overview
//
//	Rows       the requirements, each with the measurement that answers it, or the reason why there is none
//	Measure    all of them, on any scenario.Player: moat in this process, or a kernel
//	Judge      met, configurable, deviates
//	Report     the table, for a terminal and as docs/rfc.md
//	Message    STUN, as much of it as a measurement takes
//
// Two hosts inside and two servers outside send datagrams into the NAT and look at what comes out. Mapping and filtering of
// UDP are found as RFC 5780 does, with STUN requests and answers from where they ask for; the client believes what
// it is told, and only what arrives counts.
//
// # A worked example
//
// Is the filtering of plain MASQUERADE endpoint-independent?
//
//	A > X:3478   Binding request, CHANGE-REQUEST address and port    leaves as 203.0.113.1:20002
//	Y:3479 > 203.0.113.1:20002   Binding answer                      does not arrive
//	...          the same with CHANGE-REQUEST port only              does not arrive
//	...          the same without                                    arrives: address-and-port-dependent
//
// # Invariants
//
// Each row begins with a NAT that was just set up. moat is measured on virtual time and with a fixed seed, so a report
// about it does not change from run to run. Where time is real, timers are read from the kernel's connection
// table, not waited for.
//
// # Concurrency
//
// A Player is used by one measurement at a time. Several measurements may run side by side.
//
// # Limits
//
// IPv4. What a row says is what its packets showed, not a proof for all packets.
//
// # References
//
// RFC 4787, 5382, 5508; RFC 5780 and 8489 (STUN); RFC 6888 and 7857 for what came later.
package natcheck
