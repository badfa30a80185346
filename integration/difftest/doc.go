// Package difftest looks for differences between moat and the Linux kernel of this machine that nobody has thought of.
//
// # Overview
//
// Random routers (interfaces, routes, sysctls, iptables rules of all tables for one or both families) meet random
// packets: flows with replies and odd segments, ICMP errors about what left, fragments, chains of extension headers,
// options, bad checksums; and random changes of rules, routes, addresses, links and sysctls. Both sides are
// scenario.Players: Kernel, a network namespace of its own for each scenario, and moat behind the lockstep protocol.
//
//	Generate   a scenario, step by step on the kernel: a reply needs to know what came out
//	Record     what the kernel did becomes expectations, as in the recorded scenarios
//	Check      moat plays it, Compare says what differs; then the kernel plays it again, and what it does not do twice
//	           in the same way (a random port, a sequence number of its own) does not count, nor does what is the
//	           same as soon as milliseconds pass between the steps
//	Shrink     what fails loses steps and rules as long as it fails
//	Save       a scenario file to replay, and to keep as a regression test
//
// # A worked example
//
//	go test ./integration/difftest -run TestDifferential -difftest.n=500 -difftest.seed=7
//	go test ./integration/difftest -run TestDifferential -difftest.seed=7 -difftest.only=123     that one again
//	go test ./integration/difftest -run TestHelpersReadAlongAsLinux -difftest.n=500               FTP, IRC, TFTP, Amanda
//	go test ./integration/difftest -run TestSuperSegmentsCrossAsThroughLinux -difftest.n=500      offloads of senders and links
//	go test ./integration/difftest -run TestFilesBeside -difftest.files=my.json                   a scenario of one's own
//	go run ./cmd/moat replay /tmp/moat-difftest/random-7-123.json                                its file, without a kernel
//
// # Invariants
//
// A scenario is a function of (seed, number) and of the kernel's answers. Nothing leaves the namespaces but log lines,
// which the whole machine shares: a scenario that wants them takes turns with all others. A packet that
// depends on a value the router chose names it ("$p1"), so that each side gets the reply to its own packet.
//
// # Concurrency
//
// Check uses its two Players alone; run as many pairs as you like. The kernel spends most of a scenario waiting for
// grace periods, so more pairs than processors pay.
//
// # Limits
//
// Avoided lists what is never drawn, Deviations what may differ, each with the reason; docs/deviations.md prints both.
//
// # References
//
// McKeeman, "Differential Testing for Software" (1998). Zeller and Hildebrandt, "Simplifying and Isolating
// Failure-Inducing Input" (2002).
package difftest
