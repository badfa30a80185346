package natcheck

// Level is how much an RFC wants something (RFC 2119).
type Level string

// The levels.
const (
	Must        Level = "MUST"
	Should      Level = "SHOULD"
	Recommended Level = "RECOMMENDED"
	May         Level = "MAY"
	Classified  Level = "–" // nothing is required; the RFC has words for what there is
)

// Row is one requirement.
type Row struct {
	RFC      int
	Req      string
	Level    Level
	Required string
	measure  func(*bench, *Config) Finding
	// Why it is not measured, if it is not.
	Why string
}

// Rows are the requirements of RFC 4787 (UDP), RFC 5382 (TCP) and RFC 5508 (ICMP), in their order.
var Rows = []Row{
	{4787, "1", Must, "endpoint-independent mapping", udpMapping, ""},
	{4787, "2", Recommended, "address pooling paired", udpPooling, ""},
	{4787, "3", Must, "no port overloading", udpOverloading, ""},
	{4787, "3a", Recommended, "ports 0-1023 stay there, and so do the others", udpPortRange, ""},
	{4787, "4", Recommended, "port parity preserved", udpParity, ""},
	{4787, "4.2.3", Classified, "port contiguity: neighbours stay neighbours, as RTP and RTCP want", udpContiguity, ""},
	{4787, "5", Must, "mapping timer not below 120 s", udpTimer, ""},
	{4787, "5c", Recommended, "mapping timer of 300 s or more", udpLongTimer, ""},
	{4787, "6", Must, "outbound packets refresh", udpRefresh, ""},
	{4787, "6a", May, "inbound packets refresh, too", udpInboundRefresh, ""},
	{4787, "7", Must, "no conflict of internal and external addresses, or translation in spite of it", nil, "it is about external interfaces that are configured dynamically, and moat's are not; `configs/labs/17-overlap.yaml` has the same prefix on both sides"},
	{4787, "8", Recommended, "filtering endpoint-independent (transparency) or address-dependent (stringency)", udpFiltering, ""},
	{4787, "9", Must, "hairpinning, with external source address and port", udpHairpin, ""},
	{4787, "10", Should, "ALGs off by default", udpALG, ""},
	{4787, "10a", Recommended, "each ALG can be switched on by itself", udpOneALG, ""},
	{4787, "11", Must, "deterministic: behaviour never changes", udpDeterminism, ""},
	{4787, "12", Must, "ICMP never ends a mapping", udpICMP, ""},
	{4787, "12a", Should, "ICMP is not filtered by its source address", udpICMPSources, ""},
	{4787, "12b", Recommended, "destination unreachable is supported", udpUnreachable, ""},
	{4787, "13", Must, "larger than the MTU: error 3/4 with DF, else fragments", udpTooBig, ""},
	{4787, "14", Must, "fragments received in any order", udpFragments, ""},
	{4787, "14a", Must, "fragments cannot be used to deny service", nil, "no single packet shows it; memory is bounded in all and per source, and floods are part of the tests of `stack/defrag`"},

	{5382, "1", Must, "endpoint-independent mapping", tcpMapping, ""},
	{5382, "2", Must, "all valid sequences, simultaneous open too", tcpSimultaneous, ""},
	{5382, "3", Recommended, "filtering endpoint-independent (transparency) or address-dependent (stringency)", tcpFiltering, ""},
	{5382, "4", Must, "no answer to an unsolicited SYN for 6 s (and then 3/3, unless policy forbids it)", tcpUnsolicited, ""},
	{5382, "5", Must, "idle established connections live 2 h 4 min", tcpEstablished, ""},
	{5382, "5, opening", Must, "idle transitory connections live 4 min: half open", tcpOpening, ""},
	{5382, "5, closing", Must, "idle transitory connections live 4 min: closed by both", tcpClosing, ""},
	{5382, "6", Recommended, "ALGs off by default (FTP may be on)", tcpALG, ""},
	{5382, "7", Must, "no port overloading", tcpOverloading, ""},
	{5382, "8", Must, "hairpinning, with external source address and port", tcpHairpin, ""},
	{5382, "9", Should, "ICMP type 3 is translated", tcpError, ""},
	{5382, "10", Must, "ICMP ends neither mapping nor connection", tcpICMP, ""},

	{5508, "1", Must, "queries from inside pass with their answers", icmpQueries, ""},
	{5508, "1a", Should, "ids are mapped independently of the external host", icmpQueryMapping, ""},
	{5508, "2", Must, "query timer not below 60 s", icmpTimer, ""},
	{5508, "3", Should, "errors with a wrong ICMP checksum are dropped", icmpBadSum, ""},
	{5508, "3a", Should, "errors whose quoted IP header has a wrong checksum are dropped", icmpBadQuoteSum, ""},
	{5508, "3b", Must, "IP options in the quote are stepped over", icmpQuotedOptions, ""},
	{5508, "3c", Should, "the quoted transport checksum is not validated", icmpQuotedSum, ""},
	{5508, "3d", Must, "ICMP extensions (RFC 4884) are no part of the quote", icmpExtensions, ""},
	{5508, "4", Must, "errors from outside: quote and destination translated, type and code kept; dropped (SHOULD) without a mapping", icmpFromOutside, ""},
	{5508, "5", Must, "errors from inside, of hosts and routers: quote and source translated, type and code kept; dropped (SHOULD) without a mapping", icmpFromInside, ""},
	{5508, "6", Must, "an error neither refreshes nor ends the session of a query", icmpNoRefresh, ""},
	{5508, "7", Must, "hairpinned errors", icmpHairpin, ""},
	{5508, "8", Should, "error 3/13 where no session can be made", icmpExhausted, ""},
	{5508, "9", May, "a policy that prevents ICMP towards an interface", nil, "a MAY: rules in OUTPUT and FORWARD are that policy"},
	{5508, "10a", Must, "destination unreachable, time exceeded and echo", icmpKinds, ""},
	{5508, "10b", May, "redirect, timestamp, source route, address mask, parameter problem, router discovery", nil, "a MAY: timestamps and parameter problems pass (rows 1 and 4787-12), redirects about translated flows are dropped, source routes are refused"},
	{5508, "11", May, "other ICMP may be dropped", nil, "a MAY: such messages are INVALID to conntrack, and rules decide"},
}
