package sysctl

import (
	"math"
	"time"

	"github.com/moat-router/moat/policy/conntrack"
)

// unit is how the text of a value is read.
type unit uint8

const (
	number  unit = iota
	seconds      // whole seconds
	millis       // milliseconds
	bitmap       // list of bits: 0-1,3-127
	ports        // two port numbers
	logger       // the name of a logger, or NONE
)

// row is one sysctl. Exactly one of at and conf is set, or none: then the value is kept and has no effect.
type row struct {
	name     string // "*" stands for all, default or an interface
	linux    string // the value in a fresh namespace; for "*" that of default
	all      string // for "*": that of all; "": as linux
	unit     unit
	min, max int64
	readOnly bool
	at       func(*Values) any // *int, *bool, *uint8, *uint32, *time.Duration, *string, *[2]int, *[4]uint64
	conf     func(*Conf) *int
	note     string
}

const (
	intMin = math.MinInt32
	intMax = math.MaxInt32
	// secondsMax is INT_MAX jiffies at 250 Hz, where proc_dointvec_jiffies stops.
	secondsMax = 8589934
)

// rows is the table, in the order of the documentation.
var rows = []row{
	// Connection tracking.
	{name: "net.netfilter.nf_conntrack_max", linux: "262144", max: intMax, at: func(v *Values) any { return &v.CT.Max }, note: "entries at most; 0 is no limit. Linux takes the default from memory size"},
	{name: "net.netfilter.nf_conntrack_expect_max", linux: "4096", min: 1, max: intMax, at: func(v *Values) any { return &v.CT.ExpectMax }, note: "expectations at most"},
	{name: "net.netfilter.nf_conntrack_buckets", linux: "262144", readOnly: true, note: "size of Linux' hash table"},
	{name: "net.netfilter.nf_conntrack_count", linux: "0", readOnly: true, note: "ask moat conntrack -C"},
	{name: "net.netfilter.nf_conntrack_acct", linux: "0", max: 1, at: func(v *Values) any { return &v.CT.Acct }, note: "count packets and bytes of new connections"},
	{name: "net.netfilter.nf_conntrack_checksum", linux: "1", max: 1, at: func(v *Values) any { return &v.CT.Checksum }, note: "a wrong checksum makes a packet INVALID"},
	{name: "net.netfilter.nf_conntrack_events", linux: "2", max: 2, at: func(v *Values) any { return &v.CT.Events }, note: "0 never, 1 always, 2 if somebody listens"},
	{name: "net.netfilter.nf_conntrack_log_invalid", linux: "0", max: 255, at: func(v *Values) any { return &v.CT.LogInvalid }, note: "protocol whose INVALID packets are logged; 255 all, 0 none"},
	{name: "net.netfilter.nf_conntrack_timestamp", linux: "0", max: 1, at: func(v *Values) any { return &v.CT.Timestamp }, note: "remember when connections began"},
	{name: "net.netfilter.nf_conntrack_tcp_loose", linux: "1", max: 1, at: func(v *Values) any { return &v.CT.TCPLoose }, note: "pick up connections in the middle"},
	{name: "net.netfilter.nf_conntrack_tcp_be_liberal", linux: "0", max: 1, at: func(v *Values) any { return &v.CT.TCPBeLiberal }, note: "only resets out of window are INVALID"},
	{name: "net.netfilter.nf_conntrack_tcp_ignore_invalid_rst", linux: "0", max: 1, at: func(v *Values) any { return &v.CT.TCPIgnoreInvalidRST }, note: "resets out of window are not INVALID"},
	{name: "net.netfilter.nf_conntrack_tcp_max_retrans", linux: "3", max: 255, at: func(v *Values) any { return &v.CT.TCPMaxRetrans }, note: "retransmissions after which the timeout is cut"},
	ctSeconds("generic_timeout", "600", func(t *conntrack.Timeouts) *time.Duration { return &t.Generic }, "protocols without a tracker"),
	ctSeconds("icmp_timeout", "30", func(t *conntrack.Timeouts) *time.Duration { return &t.ICMP }, "RFC 5508 REQ-2 wants 60"),
	ctSeconds("icmpv6_timeout", "30", func(t *conntrack.Timeouts) *time.Duration { return &t.ICMPv6 }, ""),
	ctSeconds("udp_timeout", "30", func(t *conntrack.Timeouts) *time.Duration { return &t.UDP }, "RFC 4787 REQ-5 wants at least 120"),
	ctSeconds("udp_timeout_stream", "120", func(t *conntrack.Timeouts) *time.Duration { return &t.UDPStream }, "after 2 s of traffic both ways"),
	ctSeconds("gre_timeout", "30", func(t *conntrack.Timeouts) *time.Duration { return &t.GRE }, ""),
	ctSeconds("gre_timeout_stream", "180", func(t *conntrack.Timeouts) *time.Duration { return &t.GREStream }, ""),
	tcpSeconds("syn_sent", "120", int(conntrack.TCPSynSent)),
	tcpSeconds("syn_recv", "60", int(conntrack.TCPSynRecv)),
	tcpSeconds("established", "432000", int(conntrack.TCPEstablished)),
	tcpSeconds("fin_wait", "120", int(conntrack.TCPFinWait)),
	tcpSeconds("close_wait", "60", int(conntrack.TCPCloseWait)),
	tcpSeconds("last_ack", "30", int(conntrack.TCPLastAck)),
	tcpSeconds("time_wait", "120", int(conntrack.TCPTimeWait)),
	tcpSeconds("close", "10", int(conntrack.TCPClose)),
	tcpSeconds("max_retrans", "300", conntrack.TCPTimeoutRetrans),
	tcpSeconds("unacknowledged", "300", conntrack.TCPTimeoutUnack),
	sctpSeconds("closed", "10", conntrack.SCTPClosed),
	sctpSeconds("cookie_wait", "3", conntrack.SCTPCookieWait),
	sctpSeconds("cookie_echoed", "3", conntrack.SCTPCookieEchoed),
	sctpSeconds("established", "210", conntrack.SCTPEstablished),
	sctpSeconds("shutdown_sent", "3", conntrack.SCTPShutdownSent),
	sctpSeconds("shutdown_recd", "3", conntrack.SCTPShutdownRecd),
	sctpSeconds("shutdown_ack_sent", "3", conntrack.SCTPShutdownAckSent),
	sctpSeconds("heartbeat_sent", "30", conntrack.SCTPHeartbeatSent),
	{name: "net.netfilter.nf_log.2", linux: "nf_log_ipv4", unit: logger, at: func(v *Values) any { return &v.Logger[0] }, note: "who logs invalid IPv4 packets"},
	{name: "net.netfilter.nf_log.10", linux: "nf_log_ipv6", unit: logger, at: func(v *Values) any { return &v.Logger[1] }, note: "who logs invalid IPv6 packets"},
	{name: "net.netfilter.nf_log_all_netns", linux: "0", max: 1, note: "no effect: there is one namespace"},

	// Reassembly.
	{name: "net.netfilter.nf_conntrack_frag6_timeout", linux: "60", unit: seconds, max: secondsMax, at: func(v *Values) any { return &v.FragCT6.Time }, note: "IPv6 in transit"},
	{name: "net.netfilter.nf_conntrack_frag6_high_thresh", linux: "4194304", max: intMax, at: func(v *Values) any { return &v.FragCT6.High }, note: "bytes"},
	{name: "net.netfilter.nf_conntrack_frag6_low_thresh", linux: "3145728", max: intMax, at: func(v *Values) any { return &v.FragCT6.Low }, note: "at most the high one; unused since Linux 4.17"},
	{name: "net.ipv4.ipfrag_time", linux: "30", unit: seconds, max: secondsMax, at: func(v *Values) any { return &v.Frag4.Time }, note: "IPv4, in transit too"},
	{name: "net.ipv4.ipfrag_high_thresh", linux: "4194304", max: intMax, at: func(v *Values) any { return &v.Frag4.High }, note: "bytes"},
	{name: "net.ipv4.ipfrag_low_thresh", linux: "3145728", max: intMax, at: func(v *Values) any { return &v.Frag4.Low }, note: "at most the high one; unused since Linux 4.17"},
	{name: "net.ipv4.ipfrag_max_dist", linux: "64", max: intMax, at: func(v *Values) any { return &v.Frag4.MaxDist }, note: "fragments of the same source in between; 0 is any number"},
	{name: "net.ipv6.ip6frag_time", linux: "60", unit: seconds, max: secondsMax, at: func(v *Values) any { return &v.Frag6.Time }, note: "IPv6 to the router itself"},
	{name: "net.ipv6.ip6frag_high_thresh", linux: "4194304", max: intMax, at: func(v *Values) any { return &v.Frag6.High }, note: "bytes"},
	{name: "net.ipv6.ip6frag_low_thresh", linux: "3145728", max: intMax, at: func(v *Values) any { return &v.Frag6.Low }, note: "at most the high one; unused since Linux 4.17"},

	// IPv4.
	{name: "net.ipv4.ip_forward", linux: "0", min: intMin, max: intMax, at: func(v *Values) any { return &v.All.Forwarding }, note: "the same as conf.all.forwarding; sets every interface"},
	{name: "net.ipv4.ip_default_ttl", linux: "64", min: 1, max: 255, at: func(v *Values) any { return &v.TTL }},
	{name: "net.ipv4.fwmark_reflect", linux: "0", max: 255, at: func(v *Values) any { return &v.FWMarkReflect[0] }, note: "answers carry the question's mark"},
	{name: "net.ipv4.icmp_ratelimit", linux: "1000", unit: millis, max: intMax, at: func(v *Values) any { return &v.ICMPRatelimit }, note: "ms per error and destination; 0 is no limit"},
	{name: "net.ipv4.icmp_ratemask", linux: "6168", min: intMin, max: intMax, at: func(v *Values) any { return &v.ICMPRatemask }, note: "bit n limits type n"},
	{name: "net.ipv4.icmp_msgs_per_sec", linux: "1000", max: intMax, at: func(v *Values) any { return &v.ICMPMsgsPerSec }, note: "of all destinations together"},
	{name: "net.ipv4.icmp_msgs_burst", linux: "50", max: intMax, at: func(v *Values) any { return &v.ICMPMsgsBurst }},
	{name: "net.ipv4.icmp_echo_ignore_all", linux: "0", max: 1, at: func(v *Values) any { return &v.ICMPEchoIgnoreAll }},
	{name: "net.ipv4.icmp_echo_ignore_broadcasts", linux: "1", max: 1, at: func(v *Values) any { return &v.ICMPEchoIgnoreBroadcasts }},
	{name: "net.ipv4.icmp_errors_use_inbound_ifaddr", linux: "0", max: 1, at: func(v *Values) any { return &v.ICMPErrorsUseInboundIfaddr }, note: "source of errors: ingress instead of egress address"},
	{name: "net.ipv4.icmp_ignore_bogus_error_responses", linux: "1", max: 1, note: "no effect: they are never logged"},
	{name: "net.ipv4.icmp_echo_enable_probe", linux: "0", max: 1, note: "no effect: RFC 8335 probes are not answered"},
	{name: "net.ipv4.ip_local_port_range", linux: "32768\t60999", unit: ports, at: func(v *Values) any { return &v.LocalPorts }},
	{name: "net.ipv4.ip_forward_use_pmtu", linux: "0", max: 255, at: func(v *Values) any { return &v.ForwardUsePMTU }, note: "forwarded packets honour learnt path MTUs"},
	{name: "net.ipv4.ip_no_pmtu_disc", linux: "0", max: 255, at: func(v *Values) any { return &v.NoPMTUDisc }, note: "1: an error is believed to mean 552; 2, 3: errors are not believed"},
	{name: "net.ipv4.ip_early_demux", linux: "1", max: 255, note: "no effect"},
	{name: "net.ipv4.ip_dynaddr", linux: "0", max: 255, note: "no effect"},
	{name: "net.ipv4.ip_nonlocal_bind", linux: "0", max: 255, note: "no effect"},
	{name: "net.ipv4.ip_forward_update_priority", linux: "1", max: 1, note: "no effect"},
	{name: "net.ipv4.conf.*.forwarding", linux: "0", min: intMin, max: intMax, conf: func(c *Conf) *int { return &c.Forwarding }},
	{name: "net.ipv4.conf.*.bc_forwarding", linux: "0", min: intMin, max: intMax, conf: func(c *Conf) *int { return &c.BCForwarding }, note: "directed broadcasts; counts if all and the interface say so"},
	{name: "net.ipv4.conf.*.rp_filter", linux: "0", min: intMin, max: intMax, conf: func(c *Conf) *int { return &c.RPFilter }, note: "RFC 3704: 0 off, 1 strict, 2 loose; the larger of all and the interface"},
	{name: "net.ipv4.conf.*.accept_local", linux: "0", min: intMin, max: intMax, conf: func(c *Conf) *int { return &c.AcceptLocal }, note: "our own addresses as sources; either counts"},
	{name: "net.ipv4.conf.*.src_valid_mark", linux: "0", min: intMin, max: intMax, conf: func(c *Conf) *int { return &c.SrcValidMark }, note: "rp_filter looks up with the mark; either counts"},
	{name: "net.ipv4.conf.*.route_localnet", linux: "0", min: intMin, max: intMax, conf: func(c *Conf) *int { return &c.RouteLocalnet }, note: "127/8 is routed; either counts"},
	{name: "net.ipv4.conf.*.log_martians", linux: "0", min: intMin, max: intMax, conf: func(c *Conf) *int { return &c.LogMartians }, note: "either counts"},
	{name: "net.ipv4.conf.*.accept_source_route", linux: "1", all: "0", min: intMin, max: intMax, conf: func(c *Conf) *int { return &c.AcceptSourceRoute }, note: "both must say so"},
	{name: "net.ipv4.conf.*.send_redirects", linux: "1", min: intMin, max: intMax, conf: func(c *Conf) *int { return &c.SendRedirects }, note: "either counts"},
	{name: "net.ipv4.conf.*.shared_media", linux: "1", min: intMin, max: intMax, conf: func(c *Conf) *int { return &c.SharedMedia }, note: "either counts"},
	{name: "net.ipv4.conf.*.secure_redirects", linux: "1", min: intMin, max: intMax, conf: func(c *Conf) *int { return &c.SecureRedirects }, note: "no effect: a router does not follow redirects"},
	{name: "net.ipv4.conf.*.accept_redirects", linux: "1", min: intMin, max: intMax, conf: func(c *Conf) *int { return &c.AcceptRedirects }, note: "no effect: a router does not follow redirects"},
	{name: "net.ipv4.conf.*.promote_secondaries", linux: "0", min: intMin, max: intMax, conf: func(c *Conf) *int { return &c.PromoteSecondaries }, note: "a secondary address outlives its primary; either counts"},
	{name: "net.ipv4.conf.*.drop_unicast_in_l2_multicast", linux: "0", min: intMin, max: intMax, conf: func(c *Conf) *int { return &c.DropUnicastInL2Mcast }, note: "no effect: there is no link layer"},

	// IPv6.
	{name: "net.ipv6.fwmark_reflect", linux: "0", max: intMax, at: func(v *Values) any { return &v.FWMarkReflect[1] }, note: "answers carry the question's mark"},
	{name: "net.ipv6.icmp.ratelimit", linux: "100", unit: millis, max: intMax, at: func(v *Values) any { return &v.ICMPv6Ratelimit }, note: "ms per error and destination; 0 is no limit"},
	{name: "net.ipv6.icmp.ratemask", linux: "0-1,3-127", unit: bitmap, at: func(v *Values) any { return &v.icmpv6Ratemask }, note: "types that are limited"},
	{name: "net.ipv6.icmp.echo_ignore_all", linux: "0", max: 255, at: func(v *Values) any { return &v.ICMPv6EchoIgnoreAll }},
	{name: "net.ipv6.icmp.echo_ignore_multicast", linux: "0", max: 255, at: func(v *Values) any { return &v.ICMPv6EchoIgnoreMulticast }},
	{name: "net.ipv6.icmp.echo_ignore_anycast", linux: "0", max: 255, at: func(v *Values) any { return &v.ICMPv6EchoIgnoreAnycast }},
	{name: "net.ipv6.icmp.error_anycast_as_unicast", linux: "0", max: 1, at: func(v *Values) any { return &v.ICMPv6ErrorAnycastAsOurs }},
	{name: "net.ipv6.anycast_src_echo_reply", linux: "0", max: 1, at: func(v *Values) any { return &v.AnycastSrcEchoReply }},
	{name: "net.ipv6.auto_flowlabels", linux: "1", max: 3, at: func(v *Values) any { return &v.AutoFlowlabels }, note: "flow labels of the router's own packets"},
	{name: "net.ipv6.flowlabel_reflect", linux: "0", max: 7, at: func(v *Values) any { return &v.FlowlabelReflect }},
	{name: "net.ipv6.flowlabel_consistency", linux: "1", max: 1, note: "no effect"},
	{name: "net.ipv6.flowlabel_state_ranges", linux: "0", max: 1, note: "no effect"},
	{name: "net.ipv6.max_dst_opts_number", linux: "8", min: intMin, max: intMax, at: func(v *Values) any { return &v.MaxDstOptsNumber }, note: "options of packets to the router itself"},
	{name: "net.ipv6.max_hbh_opts_number", linux: "8", min: intMin, max: intMax, at: func(v *Values) any { return &v.MaxHBHOptsNumber }},
	{name: "net.ipv6.max_dst_opts_length", linux: "2147483647", min: intMin, max: intMax, at: func(v *Values) any { return &v.MaxDstOptsLength }},
	{name: "net.ipv6.max_hbh_length", linux: "2147483647", min: intMin, max: intMax, at: func(v *Values) any { return &v.MaxHBHLength }},
	{name: "net.ipv6.conf.*.forwarding", linux: "0", min: intMin, max: intMax, conf: func(c *Conf) *int { return &c.Forwarding6 }, note: "all decides, and sets every interface"},
	{name: "net.ipv6.conf.*.force_forwarding", linux: "0", max: 1, conf: func(c *Conf) *int { return &c.ForceForwarding6 }, note: "forward what comes in here although all says no"},
	{name: "net.ipv6.conf.*.accept_source_route", linux: "0", min: intMin, max: intMax, conf: func(c *Conf) *int { return &c.AcceptSourceRoute6 }, note: "the smaller counts; 0 takes type 2 only"},
	{name: "net.ipv6.conf.*.accept_redirects", linux: "1", min: intMin, max: intMax, conf: func(c *Conf) *int { return &c.AcceptRedirects6 }, note: "no effect: a router does not follow redirects"},
	{name: "net.ipv6.conf.*.hop_limit", linux: "64", min: 1, max: 255, conf: func(c *Conf) *int { return &c.HopLimit }, note: "of the router's own packets"},
	{name: "net.ipv6.conf.*.disable_ipv6", linux: "0", min: intMin, max: intMax, conf: func(c *Conf) *int { return &c.DisableIPv6 }, note: "all sets every interface"},
	inert6("accept_dad", "1", "0"), inert6("dad_transmits", "1", ""), inert6("addr_gen_mode", "0", ""), inert6("autoconf", "1", ""),
	inert6("accept_ra", "1", ""), inert6("accept_ra_defrtr", "1", ""), inert6("accept_ra_pinfo", "1", ""), inert6("router_solicitations", "-1", ""),
	inert6("force_mld_version", "0", ""), inert6("mldv1_unsolicited_report_interval", "10000", ""), inert6("mldv2_unsolicited_report_interval", "1000", ""),
	inert6("use_tempaddr", "0", ""), inert6("keep_addr_on_down", "0", ""), inert6("proxy_ndp", "0", ""), inert6("suppress_frag_ndisc", "1", ""), inert6("optimistic_dad", "0", ""),
	inert4("arp_accept", "0"), inert4("arp_announce", "0"), inert4("arp_filter", "0"), inert4("arp_ignore", "0"), inert4("arp_notify", "0"), inert4("proxy_arp", "0"),
	inert4("ignore_routes_with_linkdown", "0"), inert4("bootp_relay", "0"), inert4("force_igmp_version", "0"),
}

func ctSeconds(name, linux string, at func(*conntrack.Timeouts) *time.Duration, note string) row {
	return row{name: "net.netfilter.nf_conntrack_" + name, linux: linux, unit: seconds, max: secondsMax, note: note,
		at: func(v *Values) any { return at(&v.CT.Timeouts) }}
}

func tcpSeconds(name, linux string, i int) row {
	return ctSeconds("tcp_timeout_"+name, linux, func(t *conntrack.Timeouts) *time.Duration { return &t.TCP[i] }, "")
}

func sctpSeconds(name, linux string, s conntrack.SCTPState) row {
	return ctSeconds("sctp_timeout_"+name, linux, func(t *conntrack.Timeouts) *time.Duration { return &t.SCTP[s] }, "")
}

func inert6(name, linux, all string) row {
	return row{name: "net.ipv6.conf.*." + name, linux: linux, all: all, min: intMin, max: intMax, note: "no effect: neither neighbours nor autoconfiguration"}
}

func inert4(name, linux string) row {
	return row{name: "net.ipv4.conf.*." + name, linux: linux, min: intMin, max: intMax, note: "no effect: there is no link layer"}
}
