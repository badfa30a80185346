package xt

import (
	"fmt"

	"github.com/moat-router/moat/policy"
)

// FindMatch looks a match up by the name behind -m. The error says why there is none, without a suggestion.
func FindMatch(fam policy.Family, name string) (*MatchExt, error) {
	switch name {
	case "icmpv6", "ipv6-icmp":
		name = "icmp6"
	case "ipv6-mh", "mobility-header":
		name = "mh"
	}
	elsewhere := false
	for i := range Matches {
		if m := &Matches[i]; m.Name == name {
			if m.Families&(1<<fam) != 0 {
				return m, nil
			}
			elsewhere = true
		}
	}
	return nil, notFound("match", fam, name, elsewhere, leftOutMatches)
}

// FindTarget looks a target up by the name behind -j.
func FindTarget(fam policy.Family, name string) (*TargetExt, error) {
	elsewhere := false
	for i := range Targets {
		if t := &Targets[i]; t.Name == name {
			if t.Families&(1<<fam) != 0 {
				return t, nil
			}
			elsewhere = true
		}
	}
	return nil, notFound("target", fam, name, elsewhere, leftOutTargets)
}

// NotFound is an extension that does not exist here.
type NotFound struct {
	What, Name string
	Why        string // "" if nothing is known of the name
}

func (e *NotFound) Error() string {
	if e.Why == "" {
		return fmt.Sprintf("unknown %s %q", e.What, e.Name)
	}
	return fmt.Sprintf("%s %q is not supported: %s", e.What, e.Name, e.Why)
}

func notFound(what string, fam policy.Family, name string, elsewhere bool, leftOut []leftOut) error {
	e := &NotFound{What: what, Name: name}
	if elsewhere {
		e.Why = "it exists for the other family only, these are rules for IPv4"
		if fam == policy.V6 {
			e.Why = "it exists for the other family only, these are rules for IPv6"
		}
		return e
	}
	for _, l := range leftOut {
		if l.name == name {
			e.Why = l.why
		}
	}
	return e
}

// leftOut is an extension of iptables that moat knows by name and does not have, with the reason.
type leftOut struct{ name, why string }

const (
	whyHost    = "it asks about processes, users or sockets of this host, and forwarded packets have none"
	whyMAC     = "packets reach moat without a link layer header"
	whyIPsec   = "moat does no IPsec transformations"
	whyQueue   = "moat has no userspace queue: it is userspace itself"
	whyLSM     = "moat has no security labels"
	whyCluster = "moat does not take part in a cluster"
	whyKernel  = "it drives a facility of the kernel that moat does not have"
	whyEngine  = "rate estimators are not kept"
)

var leftOutMatches = []leftOut{
	{"cgroup", whyHost}, {"cpu", whyKernel}, {"devgroup", whyKernel}, {"ipvs", whyKernel}, {"l2tp", whyKernel},
	{"osf", "the fingerprint file of the kernel's osf is not read"}, {"owner", whyHost}, {"policy", whyIPsec},
	{"ipcomp", whyIPsec}, {"rateest", whyEngine}, {"realm", "routes carry no realms here"}, {"socket", whyHost},
	{"nfacct", "accounting objects are not kept: rules have counters"}, {"cluster", whyCluster}, {"mac", whyMAC},
	{"srh", "segment routing is not done"}, {"eui64", whyMAC}, {"unclean", "iptables dropped it long ago"},
}

var leftOutTargets = []leftOut{
	{"AUDIT", whyKernel}, {"CONNSECMARK", whyLSM}, {"SECMARK", whyLSM}, {"CLUSTERIP", whyCluster},
	{"HMARK", "use MARK or CONNMARK"}, {"IDLETIMER", whyKernel}, {"LED", whyKernel}, {"NFQUEUE", whyQueue},
	{"QUEUE", whyQueue}, {"RATEEST", whyEngine}, {"SYNPROXY", "moat answers no handshakes for others"},
	{"TPROXY", "there are no local sockets to hand packets to"}, {"ULOG", "use NFLOG"},
	{"SAME", "use SNAT --persistent"}, {"MIRROR", "iptables dropped it long ago"},
	{"FLOWOFFLOAD", "every flow already takes the one path there is"},
}
