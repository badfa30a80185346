// Package arch holds no code: its test keeps the arrows between moat's packages as ARCHITECTURE.md draws them.
//
// # Overview
//
//	cmd → integration/lab, scenario → router → policy → policy/nat → policy/conntrack → stack/packet
//	                                    └→ stack → stack/packet
//
// stack knows bytes, policy knows decisions, router knows the order of events. The rules are a table in arch_test.go; each
// has the sentence that says why.
package arch
