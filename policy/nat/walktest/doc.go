// Package walktest is the least router that conntrack and NAT need to be tested against what a kernel was seen to do:
// two links, one rule for each kind of translation, and a filter that looks at the state alone. It makes no packets of
// its own. Router proper is package router.
//
// A worked example: see the tests of policy/conntrack and policy/nat, which play recorded scenarios through it. It is
// for tests only and belongs to one goroutine.
package walktest
