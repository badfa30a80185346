package policy

// Verdict is what a target or a table says of a packet. The zero value, Continue, goes on to the next rule.
type Verdict uint8

// The verdicts. Return leaves the chain; Stolen means that somebody else owns the packet now.
const (
	Continue Verdict = iota
	Accept
	Drop
	Return
	Stolen
)

// Hook is a place in the packet's walk, with netfilter's numbers.
type Hook uint8

// The hooks.
const (
	PreRouting Hook = iota
	Input
	Forward
	Output
	PostRouting
	NumHooks
)

var hookNames = [NumHooks]string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}

func (h Hook) String() string { return hookNames[h] }

// TableID names a table; the order is that of iptables' priorities at a hook where all of them stand.
type TableID uint8

// The tables.
const (
	Raw TableID = iota
	Mangle
	NAT
	Filter
	Security
	NumTables
)

var tableNames = [NumTables]string{"raw", "mangle", "nat", "filter", "security"}

func (t TableID) String() string { return tableNames[t] }

// TableHooks are the built-in chains of each table, in the order in which iptables-save prints them.
var TableHooks = [NumTables][]Hook{
	Raw:      {PreRouting, Output},
	Mangle:   {PreRouting, Input, Forward, Output, PostRouting},
	NAT:      {PreRouting, Input, Output, PostRouting},
	Filter:   {Input, Forward, Output},
	Security: {Input, Forward, Output},
}

// Family indexes what differs between IPv4 and IPv6: rulesets, mostly.
type Family uint8

// The families.
const (
	V4 Family = iota
	V6
	NumFamilies
)

func (f Family) String() string { return [...]string{"v4", "v6"}[f] }

// FamilyOf gives the family of a packet.
func FamilyOf(v6 bool) Family {
	if v6 {
		return V6
	}
	return V4
}
