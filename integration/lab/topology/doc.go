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
//	  - name: phone
//	    interfaces:
//	      - {name: wifi, network: lan, addresses: [192.168.1.20/24]}
//	      - {name: lte, network: wan, addresses: [203.0.113.20/24], link: {loss: 1%, out: {rate: 1mbit}, in: {rate: 16mbit}}}
//	    routes: [default via 192.168.1.1 metric 100]
//	dns:
//	  - {host: server, domain: example.org, records: [www A 203.0.113.9]}
//	checks:
//	  - {from: laptop, connect: "udp://server.example.org:7"}
//	  - {from: laptop, resolve: www.example.org, answer: [203.0.113.9]}
//	  - ip: {host: phone, run: link set wifi down}
//	  - never: {network: wan, match: "ip4 192.168.0.0/16>"}
//
// # What a link does
//
// A network has conditions (delay, jitter, loss, reorder, duplicate, rate, down), and so has the link between an interface
// and its network: for both directions, and in "out" (what the machine sends) and "in" (what it receives) for one. A
// datagram passes the sender's link outwards, the network, and the receiver's link inwards.
//
//	mtu of a network    that of its interfaces
//	mtu of a link       that of this interface: it announces it, cuts to it and sends ICMP for it
//	mtu in out or in    a black hole: what is larger vanishes, and nobody says so
//	rate                bits per second; a second's worth waits, the rest is dropped
//	down                [{at: 5s, for: 2s}] from the start of the lab; the machine does not notice
//
// # Names
//
// A host under "dns" answers on port 53 for the names of hosts (NAME and NAME.DOMAIN; of "networks" only, if given) and for
// "records", lines of a zone file that take a host's place if they have its name. A host asks the addresses in its
// "resolver", else the name servers of its networks, else the first of the file.
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
// Networks have no link layer, so two members cannot share an address. Routers ask no name server, and are none: forward
// port 53 to one.
//
// # References
//
// ip-route(8) for routes, tc-netem(8) for what a network does to datagrams, iptables-save(8) for rules.
package topology
