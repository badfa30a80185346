// Package bench compares moat side by side with the kernel and with others who route in user space.
//
// # Overview
//
// The benchmark is a test of this package, since it needs namespaces, devices and root, and nobody imports it. A short run
// of it belongs to the tests and fails only on errors; numbers are for longer ones:
//
//	go test ./integration/bench -run SideBySide -v -bench.rounds 5 -bench.secs 1 -bench.cpus one -bench.out docs
//	go test ./integration/bench -run Flood -v -bench.rounds 3 -bench.secs 2
//
// # A worked example
//
//	client 10.1.0.2 ── tc ── router 10.1.0.1, 10.2.0.1 ── ts ── server 10.2.0.2
//
// Client, router and server are network namespaces. The client speaks to 10.1.0.1; the router sends it to 10.2.0.2 (DNAT) and
// from 10.2.0.1 (SNAT). Kernel and moat have the same rules, testdata/bench.rules.v4: NAT and ten filter rules.
//
// # Invariants
//
// Rounds are interleaved, every contender once in each and in turning order, so that ratios survive a machine whose speed
// drifts. A ratio is that of medians in one run. Loads count what came back: there is no figure for what was only sent.
//
// A flood is more than any router takes. What came of it is counted at both ends, and what was dropped in front of the router where
// the kernel counts it: in the queue of the TUN.
//
// # Limits
//
// Linux and root. The loads are written in Go and cost more than those in C would: they share the processor with the
// router, so ratios are nearer to 1 than those of routers alone. slirp4netns and pasta are relays, no routers: they take part
// where they are installed, the client reaching the server's own address through them.
package bench
