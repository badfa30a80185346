// Package lab builds networks of hosts and routers inside one process: for a newcomer's first look, for questions about
// NAT, and for tests.
//
// # Overview
//
// A topology.Topology says what there is; Open makes it run, in one of two ways that look alike from outside:
//
//	virtual  hosts are gVisor network stacks, time is virtual and moves only while somebody waits: a run of minutes
//	         takes milliseconds, and the same seed gives the same run. No privilege, any system.
//	kernel   hosts are network namespaces with TUN devices, in real time. Root, or a user namespace (Decide). A host that
//	         is said to be virtual (kind, HostConf.Virtual) is a gVisor stack in real time beside them.
//
// Everything that crosses a network is seen: Sightings, Timeline, Watch, captures.
//
// Hosts of both kinds have several interfaces if they are told so, and route as Linux does: virtual ones by the tables
// of moat's own routers, with the same words (Host.IP). Addresses, routes and cables may change while everything runs
// (Host.SetAddr, Host.Link). With a name server in the topology names are asked for by packets, also by programs in
// kernel hosts, whose /etc/resolv.conf is their own.
//
//	topology   what there is: data and YAML
//	wire       the networks: who gets a datagram, and what happens to it on the way
//	dns        the name server, and a resolver whose runs can be repeated
//	lab        hosts and routers at their ends, in both ways
//	check      claims about a lab, as TAP or JUnit
//	story      what "moat lab" plays
//
// # A worked example
//
//	l, err := lab.Open(topology.DMZ().WithRules("fw", v4, v6), lab.Options{})
//	defer l.Close()
//	conn, err := l.Host("outside").Dial("udp", "1.2.3.10:99")
//	conn.Write([]byte("anybody?"))
//	l.Advance(time.Second)
//	fmt.Print(l.Timeline())
//
// In a test New does the rest: it builds from a few calls, and shows the timeline when the test fails.
//
// # Invariants
//
// What Open made, Close removes; so does the end of the process, however it comes: namespaces have no names and devices
// live in them only. A virtual lab does nothing by itself.
//
// # Concurrency
//
// Labs share nothing. Methods are safe from any goroutine; on virtual time a run is repeatable as long as one goroutine
// uses the lab (host.Network says why).
//
// # Limits
//
// Hosts forward nothing. Without a name server names of hosts are looked up by DialContext itself, in the topology. The
// wire of a network chooses the next hop by the sender's routes of the moment, without marks. A virtual host keeps to the
// MTU of the interface that has its source address, also where a rule sends it over another.
//
// # References
//
// network_namespaces(7), user_namespaces(7), tun(4).
package lab
