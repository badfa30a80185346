package difftest

import "github.com/moat-router/moat/integration/scenario"

// Deviation is a way in which moat is meant to differ from the kernel, or in which the kernel cannot be compared.
type Deviation struct {
	Name string
	Why  string
	// Explains tells whether these differences of this scenario are nothing else.
	Explains func(s *scenario.Scenario, diffs []scenario.Diff) bool
}

// Deviations is the complete list of what moat may do differently in these tests. It is empty on purpose: lockstep mode
// is Linux, and what moat does better (the leak guard, the share of a flooding source in reassembly) is off there.
var Deviations []Deviation

// Avoided is what the generator does not draw, with the reason. These are holes of the test, not of the router.
var Avoided = []struct{ What, Why string }{
	{"LOG, NFLOG, TRACE targets", "the kernel's log is one for the whole machine; scenarios H14, H15, H18 compare the text"},
	{"csum_offload interfaces", "a TUN can only say that a checksum is missing, not that it was verified; scenarios A09 and others"},
	{"statistic --mode random", "the kernel's dice are not ours"},
	{"limits that refill within a second", "the kernel's clock is real, ours is virtual; scenarios H07, H12"},
	{"connlimit", "the kernel does not collect what is gone twice within a jiffy, so that its count depends on real time; scenario H08"},
	{"time, cpu, owner, cgroup, socket matches", "they ask for what a replayed packet does not have"},
	{"set match and SET target", "sets are made by ipset, which the reference has no step for"},
	{"helpers (CT --helper)", "one wrong byte of payload and nothing happens at all; scenarios I01 to I06 are sharper"},
	{"DNAT to a range of ports or addresses", "the kernel picks by a hash with a secret"},
	{"fragments of datagrams that time out", "a real minute each; scenarios G07, G09"},
}
