package difftest

import (
	"fmt"
	"strings"

	"github.com/moat-router/moat/integration/scenario"
)

// Deviation is a way in which moat is meant to differ from Linux.
type Deviation struct {
	Name string // one line
	Why  string
	// Explains tells whether these differences of this scenario are nothing else. It is nil for what random scenarios
	// do not meet.
	Explains func(s *scenario.Scenario, diffs []scenario.Diff) bool
	Unmet    string // why they do not, where Explains is nil
}

// Deviations is the complete list of what moat does differently from Linux with the same rules, sysctls and packets. It
// is short on purpose: lockstep mode is Linux, and what moat does better (the leak guard, the share of a flooding source
// in reassembly) is off there.
var Deviations = []Deviation{
	{Name: "TCPMSS at an odd offset writes a right checksum",
		Why:   "behind an odd number of NOPs Linux adds the difference without swapping its bytes: its SYN leaves with a wrong checksum and is lost",
		Unmet: "an MSS option stands first or behind an even number of NOPs"},
	{Name: "ECN --ecn-tcp-remove leaves later fragments alone",
		Why:   "Linux takes the payload of a fragment that is not the first for a TCP header and edits it",
		Unmet: "fragments are of UDP and ICMP"},
	{Name: "IPv4 source routes are never followed",
		Why:   "RFC 7126 4.3 and 4.4; accept_source_route = 0 on Linux does the same, and routers ship so",
		Unmet: "accept_source_route is set for single interfaces, and Linux follows a source route only where it is set for all as well"},
	{Name: "sockets of the router do not give IPv4 options back", Explains: echoedOptions,
		Why: "Linux stores the options of a SYN and puts them into all that the connection sends (record route, timestamp); RFC 7126 would have none of them " +
			"answered, and the router's sockets are gVisor's, which knows no such thing; echo replies, errors and resets carry them as in Linux"},
	{Name: "errors in a connection whose numbers a helper has moved stay as they are", Explains: adjustedErrors,
		Why: "Linux adjusts sequence numbers in an ICMP error of the original direction, too, as if it were a TCP segment (nf_confirm): that writes into its " +
			"unused word or its MTU, and into the packet that it quotes"},
	{Name: "what times out together does so in the order of deadlines", Explains: oneMoment,
		Why: "the slots of Linux's timer wheel are 4 to 32 ms wide where seconds are waited for, and are emptied last come first"},
	{Name: "a full conntrack table drops another entry early",
		Why: "both look for one that is not ASSURED in the eight buckets from that of the new connection on, which hang on a secret; moat's table grows with its " +
			"entries, and finds one where a table of Linux that has buckets to spare refuses the new connection",
		Unmet: "nf_conntrack_max is not drawn, see below"},
	{Name: "an error about a super-segment quotes its first segment", Explains: quotedPartial,
		Why: "Linux quotes a packet that was on no wire, with a total length of up to 64 KiB, FIN and PSH of the last segment and, as of every packet " +
			"whose checksum was left to the device, the sum of the pseudo-header alone; the bytes behind are the same"},
	{Name: "segments of a super-segment count their IPv6 extension headers",
		Why:   "where Linux asks whether they fit the MTU it takes the first extension header for the transport header, and lets out what is too long, or refuses what is not",
		Unmet: "super-segments with extension headers are not drawn, see below"},
	{Name: "no helpers for PPTP, H.323, SIP and the like",
		Why:   "package helper lists those that are there; GRE keys are translated only for a master, which PPTP's would be",
		Unmet: "no rule names them"},
	{Name: "ip rule with ipproto, sport, dport, uidrange, realms, goto is refused",
		Why:   "use MARK and fwmark, which say the same; a refused word is better than one that does nothing",
		Unmet: "no command has these words"},
	{Name: "matches and targets that ask for what a userspace router has not",
		Why:   "processes and sockets of the host (owner, cgroup, socket, TPROXY), a link layer (mac, eui64), IPsec (policy), labels (SECMARK), devices of the kernel (LED, IDLETIMER): each is refused by name with the reason",
		Unmet: "no rule has them"},
	{Name: "rules are read more strictly",
		Why:   "names of hosts, networks and users are refused, since rules must mean the same everywhere; so are ports, lengths and lists that iptables reads as something else than they say",
		Unmet: "all that is drawn means the same to both; the corpus of rule lines has the rest"},
}

// Avoided is what the generator does not draw, with the reason. These are holes of the test, not of the router.
var Avoided = []struct{ What, Why string }{
	{"csum_offload interfaces", "a TUN can only say that a checksum is missing, not that it was verified; scenarios A09 and others"},
	{"statistic --mode random", "the kernel's dice are not ours"},
	{"time, cpu, owner, cgroup, socket matches", "they ask for what a replayed packet does not have"},
	{"sets of hash:net,net, hash:net,port,net and hash:ip,mark", "the kernel that wrote these lists is built without them"},
	{"full sets whose elements time out", "Linux has room for more than maxelem where the bucket of a new element, which hangs on a secret, holds the place of one that has gone"},
	{"a full IPv6 address of eight words behind \"::\" in EPRT", "in6_pton writes behind its buffer, on the stack of this machine's kernel"},
	{"masks of events (--ctevents, --expevents) with nf_conntrack_events=2", "the kernel forgets those of rules that are loaded while it believes that " +
		"nobody listens, and one namespace's listener that goes makes it believe so for all"},
	{"SACK blocks at odd offsets of a segment", "Linux leaves a wrong checksum when a helper has moved the numbers, as TCPMSS does"},
	{"super-segments with extension headers", "segments count their headers here and not in Linux, as above"},
	{"DNAT to a range of ports", "the kernel picks by chance"},
	{"nf_conntrack_max", "the kernel has one for all namespaces, which only the first may set"},
	{"datagrams that lack a fragment for longer than seconds", "timeouts are short where they are drawn; scenarios G07, G09 have the long ones"},
}

// Markdown is docs/deviations.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString(`# Deviations

Made from the lists in integration/difftest by ` + "`go test ./integration/difftest -run TestDeviationsPage -update`" + `; do not edit.

With the same rules, sysctls and packets moat does what Linux 6.18 does, to the byte: recorded scenarios and random ones beside the
kernel of the machine say so (` + "`make differential`" + `). This is what is different, and why.

The last column says how random scenarios are kept from counting it: what tells it from every other difference, or why none meets it.

| moat | why | in random scenarios |
|---|---|---|
`)
	for _, d := range Deviations {
		how := d.Unmet
		if d.Explains != nil {
			how = "recognised"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", d.Name, d.Why, how)
	}
	b.WriteString(`
## What random scenarios do not draw

These are holes of the test, not of the router.

| left out | why |
|---|---|
`)
	for _, a := range Avoided {
		fmt.Fprintf(&b, "| %s | %s |\n", a.What, a.Why)
	}
	b.WriteString(`
## What decides nothing

A scenario in which three more runs of the kernel differ from the first in more than fields that have a name (a port, an
identification, a sequence number) is counted as undecided, and so is one that agrees as soon as a few milliseconds pass between its
steps, as they do in the kernel, and one during which the machine was busy for more than a second.
`)
	return b.String()
}
