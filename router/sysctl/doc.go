// Package sysctl holds the kernel's knobs that a gateway turns, under their Linux names.
//
// # Overview
//
// [Values] is an immutable set of them: the packet path reads typed fields, people read and write text by name with
// [Values.Get] and [Values.Set], which gives a changed copy. The limits are those of Linux; the defaults of [Linux] were read
// from a fresh network namespace of kernel 6.18. [Gateway] is the careful start of "moat run", [Lockstep] that of recorded
// scenarios, [Profile] names sets of timeouts. docs/sysctls.md lists all of them, made from the same table.
//
// # A worked example
//
//	v := sysctl.Gateway().WithDevices([]string{"lo", "wan", "lan"})
//	v, err := v.Set("net.netfilter.nf_conntrack_udp_timeout", "60")
//	v, err = v.Set("net/ipv4/conf/wan/rp_filter", "1")
//	v.Source(2).RPFilter // 1: strict on wan
//
// # Invariants
//
// A Values never changes once it was handed out. A name that is in the table can be set to whatever Linux would take; one
// that is not is an error with a suggestion. Sysctls that Linux has and that mean nothing in a router without neighbours,
// autoconfiguration or sockets of its own are kept and shown, and marked "no effect" in the table.
//
// # Concurrency
//
// Values may be read from anywhere; the owner swaps a pointer.
//
// # Limits
//
// Setting conf.default does not reach interfaces that exist (Linux does that for IPv4 interfaces without an address).
//
// # References
//
// Linux Documentation/networking/{ip-sysctl,nf_conntrack-sysctl}.rst; RFC 4787, 5382, 5508 for the profile rfc4787.
package sysctl
