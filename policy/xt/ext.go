package xt

import (
	"fmt"

	"github.com/moat-router/moat/policy"
)

// MatchExt describes a match extension: one row of the table Matches.
type MatchExt struct {
	Name     string // what stands behind -m
	Families Families
	// New starts the parsing of one "-m name".
	New func() MatchParser
	// Options are all its long options with their dashes, aliases included: what abbreviations are resolved against.
	// The reader refuses a second occurrence of the same option; it never hands Option a name that is not listed.
	Options []string
}

// TargetExt describes a target extension: one row of the table Targets.
type TargetExt struct {
	Name     string // what stands behind -j
	Families Families
	New      func() TargetParser
	Options  []string // as in MatchExt
}

// Families is where an extension exists.
type Families uint8

// The families of an extension.
const (
	OnlyV4 Families = 1 << policy.V4
	OnlyV6 Families = 1 << policy.V6
	Both            = OnlyV4 | OnlyV6
)

// MatchParser collects the options of one -m until the rule ends. Errors are for people: one clause, lower case,
// without the place (the caller knows file, line and column).
type MatchParser interface {
	// Option takes one option; ok is false where it is not this module's.
	Option(o *Opt) (ok bool, err error)
	// Done checks that nothing is missing and compiles.
	Done(r *RuleInfo) (policy.Match, error)
}

// TargetParser is the same for a -j.
type TargetParser interface {
	Option(o *Opt) (ok bool, err error)
	Done(r *RuleInfo) (policy.Target, error)
}

// HookChecker is what a match or target implements that is allowed only in some hooks or tables. It is asked with
// the hooks from which its chain can be reached, once the whole table is known (the kernel's checkentry with
// hook_mask). The rules of a table are asked in the order of its chains; it may be asked again, and always is before
// the first packet comes.
type HookChecker interface {
	CheckHooks(table policy.TableID, hooks HookMask) error
}

// RuleChecker is what a match or target implements that looks at the other parts of its rule. It is asked once the
// rule is complete (TCPMSS wants a match for SYN).
type RuleChecker interface {
	CheckRule(r *policy.Rule) error
}

// AccountingUser is what a match implements that needs packets and bytes counted per connection: with such a rule
// loaded, nf_conntrack_acct counts as on (xt_connbytes).
type AccountingUser interface {
	NeedsAccounting() bool
}

// LabelUser is what a match implements that reads or sets connection labels: only connections that begin while such a rule
// is loaded have room for them (nf_connlabels_get).
type LabelUser interface {
	NeedsLabels() bool
}

// ConntrackUser is what a match or target implements that pulls connection tracking (and with it reassembly) in as
// soon as it stands in a loaded table (the kernel's nf_ct_netns_get in checkentry). It may answer by its options.
type ConntrackUser interface {
	NeedsConntrack() bool
}

// Stateful is what a match or target implements that keeps state of its own which a replaced table does not inherit
// (limit, quota, statistic: their kernel modules start anew in checkentry). Fresh gives a copy as if just loaded.
type Stateful interface {
	Fresh() any // the same type
}

// Lister is what a match or target implements whose line in "iptables -L" is not its -m and options. The text
// starts with a space.
type Lister interface {
	AppendList(b []byte, numeric bool) []byte
}

// Aliased is what a target implements that may be written under another name than the kernel's, which is the one that
// "iptables -L" shows (NOTRACK is CT).
type Aliased interface {
	KernelName() string
}

// HookMask is a set of hooks, bit 1<<hook.
type HookMask uint8

// Has tells whether h is in the set.
func (m HookMask) Has(h policy.Hook) bool { return m&(1<<h) != 0 }

// RuleInfo is what an extension may want to know of the rule it stands in.
type RuleInfo struct {
	Family policy.Family
	Table  policy.TableID
	Chain  string
	Head   *policy.Head
	Shared *Shared
}

// Opt is one option of a rule line together with the words behind it.
type Opt struct {
	Name string // with its dashes, as iptables knows it: "--dport"; abbreviations are already resolved
	Not  bool   // a "!" stood in front
	Args []string
	used int
}

// Arg takes the next word, which must be there.
func (o *Opt) Arg() (string, error) {
	if o.used >= len(o.Args) {
		return "", fmt.Errorf("%s needs a value", o.Name)
	}
	o.used++
	return o.Args[o.used-1], nil
}

// More takes the next word if there is one that is not itself an option or a "!".
func (o *Opt) More() (string, bool) {
	if o.used >= len(o.Args) || o.Args[o.used] == "!" || len(o.Args[o.used]) > 1 && o.Args[o.used][0] == '-' {
		return "", false
	}
	o.used++
	return o.Args[o.used-1], true
}

// Used is how many words were taken.
func (o *Opt) Used() int { return o.used }

// NoNot refuses a "!" in front of an option that cannot be inverted.
func (o *Opt) NoNot() error {
	if o.Not {
		return fmt.Errorf("%s cannot be inverted with \"!\"", o.Name)
	}
	return nil
}
