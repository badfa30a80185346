// Package iptables reads and writes the rule language: iptables-save text and the arguments of iptables commands,
// for IPv4 and IPv6, and compiles them to a policy.Ruleset.
//
// # Overview
//
// Parse reads a file as iptables-restore would and gives a Set: the tables of one family, editable. Set.Apply edits
// as one iptables command would. Compile makes of two Sets (v4 and v6) the immutable Ruleset that packets see.
// Save prints a Ruleset as iptables-save would, List as iptables -L; ParseListing reads the command lines that ask for it
// (-L, -S).
//
//	text ── Parse ──▶ Set ── Compile ──▶ policy.Ruleset ── Save, List ──▶ text
//	                  ▲ │
//	     Apply (-A, -D, …)
//
// # A worked example
//
//	set, err := iptables.Parse(policy.V4, "dmz.rules.v4", text, iptables.Options{})
//	// dmz.rules.v4:7:24: unknown option "--dprt"; did you mean "--dport"?
//	rules, err := iptables.Compile(set, nil, nil, 1)
//	set, err = set.Apply([]string{"-I", "FORWARD", "1", "-s", "192.0.2.1", "-j", "DROP"}, iptables.Options{})
//	rules, err = iptables.Compile(set, nil, rules, 1) // counters of the rules that stay go on
//
// # Life of a line
//
// words.go cuts it as iptables-restore does; rule.go walks the words as getopt_long would: core.go takes iptables' own
// options, the extensions of package xt take theirs, command.go checks and compiles the whole; set.go puts the rule into its chain; hooks.go finds, once the table is complete, from
// which hooks each rule can be reached, refuses loops and lets extensions refuse hooks.
//
// # Invariants
//
// A Set that Parse or Apply returned is whole: every jump has its chain, no reachable chain loops, every extension
// accepted its table and hooks. Both are all or nothing; the Set they started from is never changed.
//
// # Concurrency
//
// A Set does not change once Parse or Apply has returned it, and Compile changes neither it nor the Ruleset that it
// follows: all of them may be shared.
//
// # Limits
//
// Host, network and user names are refused: rules must mean the same everywhere. Modules that moat leaves out are
// refused by name with the reason (package xt). A line is at most 64 KiB. Packets that are counted between Compile
// and the moment that the new Ruleset is in place are missing from the counters that go on.
//
// # References
//
// iptables(8), iptables-save(8), iptables-restore(8), iptables-extensions(8) of iptables 1.8.9 (legacy), whose normal
// form is the reference; net/ipv4/netfilter/ip_tables.c (mark_source_chains).
package iptables
