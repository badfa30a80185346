package xt

// Targets is the table of all target extensions, in the order of their names. ACCEPT, DROP and RETURN are verdicts,
// not extensions.
var Targets = []TargetExt{
	{Name: "DNAT", Families: Both, New: newDNAT, Options: []string{"--to-destination", "--random", "--persistent"}},
	{Name: "MASQUERADE", Families: Both, New: newMasquerade, Options: []string{"--to-ports", "--random", "--random-fully"}},
	{Name: "REDIRECT", Families: Both, New: newRedirect, Options: []string{"--to-ports", "--random"}},
	{Name: "REJECT", Families: Both, New: target[rejectArgs], Options: []string{"--reject-with"}},
	{Name: "SNAT", Families: Both, New: newSNAT, Options: []string{"--to-source", "--random", "--random-fully", "--persistent"}},
}
