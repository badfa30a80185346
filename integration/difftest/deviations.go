package difftest

import (
	"strings"

	"github.com/moat-router/moat/integration/scenario"
)

// Deviation is a way in which moat is meant to differ from the kernel, or in which the kernel cannot be compared.
type Deviation struct {
	Name string
	Why  string
	// Explains tells whether these differences of this scenario are nothing else.
	Explains func(s *scenario.Scenario, diffs []scenario.Diff) bool
}

// Deviations is the complete list of what moat may do differently in these tests. It is short on purpose: lockstep mode
// is Linux, and what moat does better (the leak guard, the share of a flooding source in reassembly) is off there.
var Deviations = []Deviation{{
	Name: "ICMP errors of a connection whose sequence numbers a helper has moved",
	Why: "Linux takes an error in the original direction for one of the connection's segments and moves the words that lie " +
		"where TCP has its numbers: the MTU and the quoted header (nf_ct_seq_adjust). Nobody can use such an error.",
	Explains: func(s *scenario.Scenario, diffs []scenario.Diff) bool {
		for _, d := range diffs {
			for _, l := range d.Lines {
				if d.Kind != scenario.KindOut || strings.HasPrefix(l, "-") && !strings.Contains(l, "/ icmp") {
					return false
				}
			}
		}
		return strings.Contains(s.Rules.V4+s.Rules.V6, "-j CT --helper")
	},
}}

// Avoided is what the generator does not draw, with the reason. These are holes of the test, not of the router.
var Avoided = []struct{ What, Why string }{
	{"LOG, NFLOG, TRACE targets", "the kernel's log is one for the whole machine; scenarios H14, H15, H18 compare the text"},
	{"csum_offload interfaces", "a TUN can only say that a checksum is missing, not that it was verified; scenarios A09 and others"},
	{"statistic --mode random", "the kernel's dice are not ours"},
	{"limits that refill within a second", "the kernel's clock is real, ours is virtual; scenarios H07, H12"},
	{"connlimit", "the kernel does not collect what is gone twice within a jiffy, so that its count depends on real time; scenario H08"},
	{"time, cpu, owner, cgroup, socket matches", "they ask for what a replayed packet does not have"},
	{"set match and SET target", "sets are made by ipset, which the reference has no step for"},
	{"a full IPv6 address of eight words behind \"::\" in EPRT", "in6_pton writes behind its buffer, on the stack of this machine's kernel"},
	{"masks of events (--ctevents, --expevents) with nf_conntrack_events=2", "the kernel forgets those of rules that are loaded while it believes that " +
		"nobody listens, and one namespace's listener that goes makes it believe so for all"},
	{"SACK blocks at odd offsets of a segment", "Linux leaves a wrong checksum when a helper has moved the numbers, as TCPMSS does"},
	{"DNAT to a range of ports or addresses", "the kernel picks by a hash with a secret"},
	{"fragments of datagrams that time out", "a real minute each; scenarios G07, G09"},
}
