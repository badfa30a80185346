package sysctl

import (
	"time"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/router/fib"
	"github.com/moat-router/moat/stack/defrag"
)

// Values are all sysctls of a router. Make them with Linux, Gateway or Lockstep.
type Values struct {
	// CT is net.netfilter.nf_conntrack_*.
	CT conntrack.Params
	// Frag are the limits of reassembly: net.ipv4.ipfrag_*, net.ipv6.ip6frag_* (for datagrams to the router itself) and
	// net.netfilter.nf_conntrack_frag6_*.
	Frag4, Frag6, FragCT6 Frag

	// Logger is net.netfilter.nf_log.2 and .10: "NONE" keeps conntrack from logging invalid packets.
	Logger [2]string

	TTL                        int           // net.ipv4.ip_default_ttl
	FWMarkReflect              [2]bool       // net.ipv4.fwmark_reflect, net.ipv6.fwmark_reflect: answers carry the mark of the question
	ICMPRatelimit              time.Duration // net.ipv4.icmp_ratelimit: one per this time and destination; 0: no limit
	ICMPRatemask               uint32        // net.ipv4.icmp_ratemask: bit n limits type n
	ICMPMsgsPerSec             int           // net.ipv4.icmp_msgs_per_sec, of all destinations together
	ICMPMsgsBurst              int           // net.ipv4.icmp_msgs_burst
	ICMPEchoIgnoreAll          bool          // net.ipv4.icmp_echo_ignore_all
	ICMPEchoIgnoreBroadcasts   bool          // net.ipv4.icmp_echo_ignore_broadcasts
	ICMPErrorsUseInboundIfaddr bool          // net.ipv4.icmp_errors_use_inbound_ifaddr
	ForwardUsePMTU             bool          // net.ipv4.ip_forward_use_pmtu
	NoPMTUDisc                 int           // net.ipv4.ip_no_pmtu_disc
	LocalPorts                 [2]int        // net.ipv4.ip_local_port_range

	ICMPv6Ratelimit           time.Duration // net.ipv6.icmp.ratelimit
	icmpv6Ratemask            [4]uint64     // net.ipv6.icmp.ratemask
	ICMPv6EchoIgnoreAll       bool          // net.ipv6.icmp.echo_ignore_all
	ICMPv6EchoIgnoreMulticast bool          // net.ipv6.icmp.echo_ignore_multicast
	ICMPv6EchoIgnoreAnycast   bool          // net.ipv6.icmp.echo_ignore_anycast
	ICMPv6ErrorAnycastAsOurs  bool          // net.ipv6.icmp.error_anycast_as_unicast
	AnycastSrcEchoReply       bool          // net.ipv6.anycast_src_echo_reply
	AutoFlowlabels            int           // net.ipv6.auto_flowlabels: 1 and 3 label the router's own packets
	FlowlabelReflect          int           // net.ipv6.flowlabel_reflect: bit 1 resets, bit 4 echo replies
	MaxDstOptsNumber          int           // net.ipv6.max_dst_opts_number; negative: and no unknown ones
	MaxHBHOptsNumber          int           // net.ipv6.max_hbh_opts_number
	MaxDstOptsLength          int           // net.ipv6.max_dst_opts_length
	MaxHBHLength              int           // net.ipv6.max_hbh_length

	All, Default Conf   // net.ipv4.conf.all, net.ipv6.conf.all and default
	devs         []Conf // by index - 1
	names        []string

	inert map[string]string // what has no effect here, by name; missing: the default
}

// Frag are the knobs of one reassembly. Low is kept for its name's sake: Linux has not used it since 4.17.
type Frag struct {
	Time      time.Duration
	High, Low int // bytes
	MaxDist   int // IPv4 only: fragments of others from the same source before one is given up; 0: any number
}

// Conf is net.ipv4.conf.X and net.ipv6.conf.X of one interface, "all" or "default", as written. What holds for an
// interface is often a combination with "all": use the methods of Values.
type Conf struct {
	Forwarding, BCForwarding                 int
	RPFilter, AcceptLocal, SrcValidMark      int
	RouteLocalnet, LogMartians               int
	AcceptSourceRoute                        int
	SendRedirects, SharedMedia               int
	SecureRedirects, AcceptRedirects         int
	PromoteSecondaries, DropUnicastInL2Mcast int

	Forwarding6, ForceForwarding6 int
	AcceptSourceRoute6            int
	AcceptRedirects6              int
	HopLimit                      int
	DisableIPv6                   int
}

// WithDevices gives the same for a router with these interfaces, index 1 (lo) first; each starts as "default" is.
func (v *Values) WithDevices(names []string) *Values {
	n := *v
	n.names = append([]string(nil), names...)
	n.devs = make([]Conf, len(names))
	for i := range n.devs {
		n.devs[i] = n.Default
	}
	return &n
}

// Dev is the interface's own part; an unknown index has that of "default".
func (v *Values) Dev(index int) *Conf {
	if index < 1 || index > len(v.devs) {
		return &v.Default
	}
	return &v.devs[index-1]
}

// Forwarding tells whether a packet that came in by this interface may be forwarded. IPv4 asks the interface, IPv6 "all"
// (or the interface's force_forwarding).
func (v *Values) Forwarding(dev int, v6 bool) bool {
	if v6 {
		return v.All.Forwarding6 != 0 || v.Dev(dev).ForceForwarding6 != 0
	}
	return v.Dev(dev).Forwarding != 0
}

// Source is what the check of source addresses wants to know of an ingress interface (IN_DEV_RPFILTER and others).
func (v *Values) Source(dev int) fib.Source {
	c := v.Dev(dev)
	return fib.Source{
		RPFilter:      max(v.All.RPFilter, c.RPFilter),
		AcceptLocal:   v.All.AcceptLocal|c.AcceptLocal != 0,
		SrcValidMark:  v.All.SrcValidMark|c.SrcValidMark != 0,
		SendRedirects: v.All.SendRedirects|c.SendRedirects != 0,
	}
}

// RouteLocalnet tells whether 127/8 is an address like any other on this interface.
func (v *Values) RouteLocalnet(dev int) bool {
	return v.All.RouteLocalnet|v.Dev(dev).RouteLocalnet != 0
}

// LogMartians tells whether impossible addresses on this interface are logged.
func (v *Values) LogMartians(dev int) bool { return v.All.LogMartians|v.Dev(dev).LogMartians != 0 }

// SendRedirects tells whether neighbours on this interface are told of better gateways.
func (v *Values) SendRedirects(dev int) bool {
	return v.All.SendRedirects|v.Dev(dev).SendRedirects != 0
}

// SharedMedia tells whether redirects may name a gateway outside the interface's subnets.
func (v *Values) SharedMedia(dev int) bool { return v.All.SharedMedia|v.Dev(dev).SharedMedia != 0 }

// SourceRoute is whether packets with a source route are taken: IPv4 both "all" and the interface must say so; IPv6 the
// smaller of both, where 0 takes only type 2 headers for ourselves and negative values take none.
func (v *Values) SourceRoute(dev int, v6 bool) int {
	c := v.Dev(dev)
	if v6 {
		return min(v.All.AcceptSourceRoute6, c.AcceptSourceRoute6)
	}
	if v.All.AcceptSourceRoute != 0 && c.AcceptSourceRoute != 0 {
		return 1
	}
	return 0
}

// BCForwarding tells whether directed broadcasts that came in by this interface are forwarded.
func (v *Values) BCForwarding(dev int) bool {
	return v.All.BCForwarding != 0 && v.Dev(dev).BCForwarding != 0
}

// HopLimit is that of the router's own IPv6 packets leaving by this interface.
func (v *Values) HopLimit(dev int) int { return v.Dev(dev).HopLimit }

// ICMPv6Ratemask tells whether this type of ICMPv6 message is rate limited.
func (v *Values) ICMPv6Ratemask(typ uint8) bool { return v.icmpv6Ratemask[typ>>6]>>(typ&63)&1 != 0 }

// Conntrack is nf_conntrack_* for the conntrack table.
func (v *Values) Conntrack() *conntrack.Params {
	p := v.CT
	return &p
}

// Defrag is what reassembly wants to know.
func (v *Values) Defrag() defrag.Options {
	o := defrag.DefaultOptions()
	set := func(l *defrag.Limits, f Frag) { *l = defrag.Limits{Timeout: f.Time, High: f.High, MaxDist: f.MaxDist} }
	set(&o.V4, v.Frag4)
	set(&o.V6, v.FragCT6)
	set(&o.V6Local, v.Frag6)
	return o
}

// FIB is what decides about the routes that come by themselves.
func (v *Values) FIB() fib.Options {
	return fib.Options{
		Forward6:      v.All.Forwarding6 != 0,
		Promotes:      func(dev int) bool { return v.All.PromoteSecondaries|v.Dev(dev).PromoteSecondaries != 0 },
		RouteLocalnet: v.All.RouteLocalnet != 0,
	}
}
