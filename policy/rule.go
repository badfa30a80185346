package policy

import (
	"sync/atomic"

	"github.com/moat-router/moat/stack/packet"
)

// Match is one "-m name ..." of a rule, compiled. It is immutable but for state that its rule's packets share
// (limit, quota, recent), which it guards itself; Match does not allocate.
type Match interface {
	// Name is what stands behind -m.
	Name() string
	// Match tells whether the packet fits. It may set p.HotDrop.
	Match(p *Packet) bool
	// AppendSave appends the options in iptables-save's normal form, each with a leading space (" --dport 53"),
	// without "-m name".
	AppendSave(b []byte) []byte
}

// Target is what stands behind -j, if it is neither a chain nor a plain verdict.
type Target interface {
	// Name is what stands behind -j.
	Name() string
	// Exec does it. Continue goes on with the next rule.
	Exec(p *Packet) Verdict
	// AppendSave appends the options in normal form, each with a leading space.
	AppendSave(b []byte) []byte
}

// Head is the part of a rule that needs no -m: addresses, interfaces, protocol, fragment (struct ipt_ip, ip6t_ip6).
// The zero value matches everything.
type Head struct {
	Src, Dst                                             packet.Addr // masked
	SrcMask, DstMask                                     packet.Addr // zero: any; IPv4 masks stand in the last four bytes with the rest zero
	In, Out                                              string      // "" any; a trailing "+" is a wildcard
	Proto                                                uint8       // 0 any
	ProtoSet                                             bool        // IPv6: -p was given (IP6T_F_PROTO): the header chain is walked even for -p 0
	Fragment                                             bool        // IPv4 -f: later fragments
	NotSrc, NotDst, NotIn, NotOut, NotProto, NotFragment bool
}

// Rule is one -A line, compiled.
type Rule struct {
	Head    Head
	Matches []Match

	// One of: Target, Verdict (Accept, Drop, Return), Jump. All empty: count and go on.
	Target  Target
	Verdict Verdict
	Jump    *Chain
	Goto    bool

	// AnyDev: "+" was said for an interface. It asks for nothing, and yet such a rule is not unconditional to TRACE.
	AnyDev bool

	Line int // in the file it came from; 0 if none

	// Initial is what its counter began with. Two Rulesets with the same pointer here hold the same rule, and its counter
	// goes on from one to the other.
	Initial *Count

	// Counter is in slot Index of the ruleset's counters.
	Index int
}

// Chain is a list of rules. Built-in chains have a Policy; in user chains the end is a RETURN.
type Chain struct {
	Name    string
	Builtin bool
	Policy  Verdict // Accept or Drop; Return in user chains
	Rules   []*Rule
	sieves  []sieve    // of Rules, side by side: most rules that a packet meets are seen only so far
	heads   []headProg // of Rules
	Initial *Count     // as of a Rule, for the policy's counter
	// Index is the slot of the policy's counter.
	Index int
}

// Table is one table of one family.
type Table struct {
	ID     TableID
	Family Family
	Base   [NumHooks]*Chain
	// Chains are all of them: the built-in ones in TableHooks' order, then the user's in the order of the file.
	Chains []*Chain
	// Origin is what the reader made it of; the same value in two Rulesets means that nobody edited the table.
	Origin any
}

// Count is a packets and bytes pair.
type Count struct{ Packets, Bytes uint64 }

// Ruleset is everything that packets see of rules: both families, immutable but for counters and the state inside
// matches. It is replaced as a whole.
type Ruleset struct {
	Tables [NumFamilies][NumTables]*Table // nil: the table was never loaded
	// UsesConntrack and so on tell what "when-used" needs, per family.
	UsesConntrack [NumFamilies]bool
	UsesDefrag    [NumFamilies]bool
	// UsesAccounting: a rule of a table that is new here compares packets or bytes of connections, which turns
	// nf_conntrack_acct on (connbytes).
	UsesAccounting bool
	// UsesLabels: connections that begin now have labels (connlabel).
	UsesLabels bool

	chains   [NumFamilies]Chains
	counters [][]counter // [worker][index]; only the worker writes to its own
	start    []counter   // what was set from outside, less what the workers had counted by then
}

// counter has one writer. It is read from outside at any time.
type counter struct{ packets, bytes uint64 }

// add counts. One writer needs no locked instruction, and a reader sees the number before or the one after; this is not
// what the race detector looks for.
//
//go:norace
func (c *counter) add(packets, bytes uint64) {
	c.packets += packets
	c.bytes += bytes
}

func (c *counter) read() Count {
	return Count{atomic.LoadUint64(&c.packets), atomic.LoadUint64(&c.bytes)}
}
