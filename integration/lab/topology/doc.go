// Package topology says what a lab consists of: networks, routers, hosts, and claims about them. It is data; package lab
// makes it real.
//
// # Overview
//
// Load and Parse read a YAML file, strictly: a key that is not known, a wrong unit or a name that stands for nothing is
// an error that names the line. DMZ is the topology that is built without a file.
//
// # A worked example
//
//	networks:
//	  - {name: wan, delay: 20ms, loss: 1%}
//	  - {name: lan}
//	routers:
//	  - name: gw
//	    interfaces:
//	      - {name: wan, addresses: [203.0.113.1/24]}
//	      - {name: lan, addresses: [192.168.1.1/24]}
//	    rules:
//	      v4: |
//	        *nat
//	        -A POSTROUTING -o wan -j MASQUERADE
//	        COMMIT
//	hosts:
//	  - {name: server, network: wan, addresses: [203.0.113.9/24], listen: [{proto: udp, port: 7}]}
//	  - {name: laptop, network: lan, addresses: [192.168.1.10/24], routes: [default via 192.168.1.1]}
//	checks:
//	  - {from: laptop, connect: "udp://203.0.113.9:7"}
//	  - never: {network: wan, match: "ip4 192.168.0.0/16>"}
//
// # Invariants
//
// A Topology that Verify has accepted refers to nothing that does not exist.
//
// # Concurrency
//
// Data: not safe for writing from several goroutines.
//
// # Limits
//
// A host has one interface. Networks have no link layer, so two members cannot share an address.
//
// # References
//
// ip-route(8) for routes, tc-netem(8) for what a network does to datagrams, iptables-save(8) for rules.
package topology
