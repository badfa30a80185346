// Package scenario plays recorded encounters with the Linux kernel against a router and says what differs.
//
// # Overview
//
// A scenario file is a small router (interfaces, routes, sysctls, iptables-save rules), a list of steps (packets that
// arrive, time that passes, rules that change) and, if it was recorded, what kernel 6.18 did after each step: the exact
// bytes that left, the conntrack entries, expectations, events, log lines and the rules' counters.
//
// Three parts fit together:
//
//	Load                a file or a directory of them becomes []*Scenario
//	Play, Compare       a Player is asked step by step; its answers are laid beside the recording
//	Serve               the same Player behind the lockstep protocol: one JSON line in, one out
//
// There are two Players: Machine, a moat router in this process on a virtual clock, and Process, any program that
// speaks the lockstep protocol, such as a harness around a real kernel.
//
// # A worked example
//
//	list, err := scenario.Load("integration/testdata/scenarios/B01-snat.json")
//	...
//	m := scenario.NewMachine(1)
//	defer m.Close()
//	run, err := scenario.Play(m, list[0])
//	for _, d := range scenario.Compare(list[0], run, 0) {
//		fmt.Println(d)
//	}
//
// The lockstep protocol is the same thing over a pipe:
//
//	> {"op":"scenario","interfaces":[{"name":"lan","addrs":["10.0.0.1/24"]},{"name":"wan","addrs":["192.0.2.1/24"]}]}
//	< {"ok":true}
//	> {"op":"inject","if":"lan","hex":["4500..."]}
//	< {"out":[{"if":"wan","hex":"4500..."}],"ct":[],"expect":[],"events":[],"log":[]}
//
// # Offloads
//
// An interface with "offload": true takes super-segments and partial checksums, and a step with "gso" or "partial" is of a sender
// that leaves segments or checksums to its device; packets are written down whole all the same. Both are additions to the
// protocol: an implementation that knows nothing of them gets ordinary packets.
//
//	> {"op":"inject","if":"lan","hex":["4500.."],"gso":1448}
//	< {"out":[{"if":"wan","hex":"4500..","gso":1448}],..}
//
// # Sets
//
// A line of setup, or the command of a "host" step, may be one of ipset's instead of iproute2's. The answer to "counters" then has
// the elements of each set beside the rules, as "ipset save" prints them, in order of their text and without what is left of
// their timeouts. This, too, is an addition.
//
//	> {"op":"host","cmd":"ipset add -exist deny 192.0.2.1"}
//	> {"op":"counters"}
//	< {"v4":{..},"sets":{"deny":["192.0.2.1 packets 2 bytes 80"]}}
//
// # How answers are compared
//
// Packets per interface in order (the order between interfaces is not observable): canonical bytes, where fields that
// nobody can predict are zeroed together with the checksums that depend on them, and the validity of every checksum.
// A port or id that the router chose at random is bound to a name: it must lie in its allowed range and be used
// consistently afterwards ("$p"). Conntrack entries as a set, their timeouts within 2 s. Events in order, without
// timeouts. Log lines in order. Counters as numbers: what the rule's text looks like is a matter for other tests.
//
// # Invariants
//
// A packet is sent as it was recorded, byte for byte; only one whose text holds a "$variable" is built again.
// After a failed operation the state of a Player is unchanged; after a failed "scenario" there is none.
//
// # Concurrency
//
// A Player belongs to one goroutine. Scenarios share nothing, so several Players may run side by side.
//
// # Limits
//
// "sleep" among setup commands means nothing on a virtual clock. The program behind Process is killed when it does not
// answer within its timeout.
package scenario
