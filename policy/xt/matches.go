package xt

// Matches is the table of all match extensions, in the order of their names.
var Matches = []MatchExt{
	{Name: "conntrack", Families: Both, New: match[ctMatch], Options: []string{"--ctstate", "--ctproto", "--ctorigsrc",
		"--ctorigdst", "--ctreplsrc", "--ctrepldst", "--ctorigsrcport", "--ctorigdstport", "--ctreplsrcport",
		"--ctrepldstport", "--ctstatus", "--ctexpire", "--ctdir"}},
	{Name: "icmp", Families: OnlyV4, New: newICMPv4, Options: []string{"--icmp-type"}},
	{Name: "icmp6", Families: OnlyV6, New: newICMPv6, Options: []string{"--icmpv6-type"}},
	{Name: "state", Families: Both, New: newState, Options: []string{"--state"}},
	{Name: "tcp", Families: Both, New: match[tcp], Options: []string{"--sport", "--source-port", "--dport",
		"--destination-port", "--syn", "--tcp-flags", "--tcp-option"}},
	{Name: "udp", Families: Both, New: match[udp], Options: []string{"--sport", "--source-port", "--dport",
		"--destination-port"}},
	{Name: "udplite", Families: Both, New: newUDPLite, Options: []string{"--sport", "--source-port", "--dport",
		"--destination-port"}},
}
