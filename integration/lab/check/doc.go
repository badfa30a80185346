// Package check holds claims of a topology file against a running lab, and reports as TAP or JUnit.
//
// # Overview
//
// Run takes the checks of a topology in order; each acts from one host and looks at what came back. "never" is different:
// it watches from the beginning and is decided at the end. A pattern (package
// pattern) says in packet notation which datagrams are meant.
//
// # A worked example
//
//	checks:
//	  - {from: laptop, ping: 203.0.113.9}
//	  - {from: outside, connect: "udp://1.2.3.10:99", error: icmp 3/3, error_by: 1.2.3.10}
//	  - {from: laptop, send: "ip4 192.168.1.10>203.0.113.9 / udp 4000>7 len=4", receive: {host: server, match: "ip4 203.0.113.1>203.0.113.9 / udp >7"}}
//	  - {from: laptop, connect: "tcp://server:7", size: 100000}
//	  - ip: {router: gw, run: "route replace default via 198.51.100.2 dev lte"}
//	  - never: {network: wan, match: "ip4 192.168.0.0/16>"}
//	  - never: {network: wan, match: "* / [ip4 >192.168.0.0/16"}
//
// # Invariants
//
// Only "ip" changes the network; no check changes the topology. What a check waits for it waits for in the lab's time.
//
// # Concurrency
//
// One Run at a time on a lab.
//
// # Limits
//
// Only the latest sightings are there for a "receive" that stands alone.
//
// # References
//
// testanything.org, version 13; the JUnit schema as CI systems read it.
package check
