// Package xt holds the extensions of the rule language: one file per match or target, each with its parser, its
// normal form and what it does to a packet. The names are those of iptables and of the kernel's xtables modules.
//
// # Overview
//
// Two tables in view, Matches and Targets, have a row for each extension: its name, its families, its options and the
// function that starts a parser. FindMatch and FindTarget look a name up, and know of those that moat leaves out why.
// A parser gets one option after the other and makes of them a policy.Match or policy.Target, which prints itself as
// iptables-save would. What else an extension may have to say stands in small interfaces in ext.go: where it is
// allowed, what it wants of the rest of its rule, whether it needs connection tracking.
//
// # A worked example
//
// The rule
//
//	-A FORWARD -m hashlimit --hashlimit-name syn --hashlimit-upto 60/min --hashlimit-mode srcip -j ACCEPT
//
// is read by policy/iptables, which finds the row "hashlimit", hands its parser the three options and calls Done. Once
// the whole table is known, CheckHooks asks Shared for the table "syn" of the family. Match takes a packet's bucket
// out of the table and charges it; its AppendSave prints
//
//	--hashlimit-upto 1/sec --hashlimit-burst 5 --hashlimit-mode srcip --hashlimit-name syn --hashlimit-htable-expire 60000
//
// as iptables does: 60 a minute are 1 a second, but the idle time that followed from the minute has to be said now.
//
// # Life of state inside rules
//
// What has a name outlives its rule, in Shared: the lists of recent and the tables of hashlimit as long as some rule of
// the current ruleset names them, sets until they are destroyed. What has none begins anew with every replacement, as
// its kernel module does: limit, quota, statistic, connlimit (Stateful). Time comes with the packet; rate
// arithmetic counts it in jiffies of 4 ms.
//
// # Invariants
//
// A match or target does not change after Done, but for state that it guards itself. Match and Exec do not allocate
// once the memory for a new address or bucket is there, and read no clock. A look-up in a set or a list of ports does
// not grow with its size. Whatever cannot be read of a packet is no match; where the kernel gives the packet up, so do
// we (HotDrop).
//
// # Concurrency
//
// Everything is used by many workers at once. Counters are atomic; tables have a lock each, that of hashlimit one for
// each of its shards.
//
// # Limits
//
// lookup.go lists the extensions that are left out, with the reason that users read. bpf runs classic programs without
// the Linux extensions to the instruction set. time knows UTC only. connlabel takes numbers, not names. Deviations
// from the kernel are said where they stand.
//
// # References
//
// net/netfilter/xt_*.c, net/ipv4/netfilter/ipt_*.c, net/ipv6/netfilter/ip6t_*.c, net/netfilter/ipset of Linux 6.18;
// extensions/ of iptables 1.8.9; testdata holds what both of them did.
package xt
