// Package pcap writes captures: pcapng files that Wireshark and tcpdump read.
//
// # Overview
//
// A Writer holds one file with one or several interfaces, raw IP, timestamps of the router's clock in
// nanoseconds, and for each packet its direction and a comment: what became of it.
//
// # A worked example
//
//	w, err := pcap.New(file, start, pcap.Interface{Name: "wan"}, pcap.Interface{Name: "lan"})
//	w.Write(0, now, link.In, p, "DROP: filter-drop (FORWARD rule 3)")
//	file.Close()
//
// # Invariants
//
// The packet is not changed: a partial checksum (NeedsCsum) is completed on a copy, and a super-segment is written as
// the one packet that the router saw. Each packet is in the file when Write returns, so that a capture of a process
// that was killed can be read.
//
// # Concurrency
//
// A Writer may be shared by all workers; they take turns.
//
// # Limits
//
// Not for the fast path: a Write is a system call. IPv6 super-segments carry a payload length that is too small for
// them, as in captures of Linux.
//
// # References
//
// draft-ietf-opsawg-pcapng; LINKTYPE_RAW of tcpdump.org's list.
package pcap
