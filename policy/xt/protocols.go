package xt

import (
	"slices"
	"strconv"
	"strings"
)

// Protocol numbers that extensions ask for.
const (
	protoICMP    = 1
	protoTCP     = 6
	protoUDP     = 17
	protoDCCP    = 33
	protoESP     = 50
	protoAH      = 51
	protoICMPv6  = 58
	protoSCTP    = 132
	protoUDPLite = 136
)

type protocol struct {
	name   string
	number uint8
}

// protocols are the names of IP protocols: those of /etc/protocols, by which a number is printed, and behind them
// the further names that iptables knows.
var protocols = []protocol{
	{"icmp", 1}, {"igmp", 2}, {"ggp", 3}, {"ipencap", 4}, {"st", 5}, {"tcp", 6}, {"egp", 8}, {"igp", 9}, {"pup", 12},
	{"udp", 17}, {"hmp", 20}, {"xns-idp", 22}, {"rdp", 27}, {"iso-tp4", 29}, {"dccp", 33}, {"xtp", 36}, {"ddp", 37},
	{"idpr-cmtp", 38}, {"ipv6", 41}, {"ipv6-route", 43}, {"ipv6-frag", 44}, {"idrp", 45}, {"rsvp", 46}, {"gre", 47},
	{"esp", 50}, {"ah", 51}, {"skip", 57}, {"ipv6-icmp", 58}, {"ipv6-nonxt", 59}, {"ipv6-opts", 60}, {"rspf", 73},
	{"vmtp", 81}, {"eigrp", 88}, {"ospf", 89}, {"ax.25", 93}, {"ipip", 94}, {"etherip", 97}, {"encap", 98}, {"pim", 103},
	{"ipcomp", 108}, {"vrrp", 112}, {"l2tp", 115}, {"isis", 124}, {"sctp", 132}, {"fc", 133}, {"mobility-header", 135},
	{"udplite", 136}, {"mpls-in-ip", 137}, {"manet", 138}, {"hip", 139}, {"shim6", 140}, {"wesp", 141}, {"rohc", 142},
	{"ethernet", 143},

	{"all", 0}, {"ip", 0}, {"hopopt", 0}, {"icmpv6", 58}, {"ipv6-mh", 135}, {"mh", 135},
}

// ParseProtocol reads a protocol by name, in any case, or by number; "all" is 0.
func ParseProtocol(s string) (uint8, bool) {
	if v, ok := ParseUint(s, 0, 255); ok {
		return uint8(v), true
	}
	s = strings.ToLower(s)
	i := slices.IndexFunc(protocols, func(p protocol) bool { return p.name == s })
	if i < 0 {
		return 0, false
	}
	return protocols[i].number, true
}

// ProtocolName is how a protocol is printed behind -p: its name, or its number if it has none.
func ProtocolName(n uint8) string {
	for _, p := range protocols {
		if p.number == n {
			return p.name
		}
	}
	return strconv.Itoa(int(n))
}

// ProtocolNames are all names, for suggestions.
func ProtocolNames() []string {
	names := make([]string, len(protocols))
	for i, p := range protocols {
		names[i] = p.name
	}
	return names
}

// service is a name for one port, and the protocols that know it.
type service struct {
	name   string
	port   uint16
	protos string
}

// servicePort looks a name up. proto is "t" for TCP, "u" for UDP, "s" for SCTP, "d" for DCCP, "" for any of them.
func servicePort(name, proto string) (uint16, bool) {
	for _, s := range services {
		if s.name == name && strings.Contains(s.protos, proto) {
			return s.port, true
		}
	}
	return 0, false
}

// ServicePort is the port of a service by its name, with any protocol.
func ServicePort(name string) (port uint16, ok bool) { return servicePort(name, "") }

// appendPort prints a port for a listing: by name, if it has one and numeric is false.
func appendPort(b []byte, port uint16, proto string, numeric bool) []byte {
	if !numeric {
		for _, s := range services {
			if s.port == port && strings.Contains(s.protos, proto) {
				return append(b, s.name...)
			}
		}
	}
	return strconv.AppendUint(b, uint64(port), 10)
}
