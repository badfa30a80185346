package difftest

import (
	"fmt"

	"github.com/moat-router/moat/integration/scenario"
)

// router draws interfaces, routes, sysctls and rules.
func (g *gen) router(s *scenario.Scenario) {
	switch n := g.r.IntN(100); {
	case n < 45:
		g.v4 = true
	case n < 72:
		g.v6 = true
	default:
		g.v4, g.v6 = true, true
	}
	g.oddities = pick(g, 0, 10, 10, 30)
	g.devs = []*dev{
		{name: "lan", own: [2]string{"192.168.1.1", "fd00:1::1"}, router: [2]string{"192.168.1.254", "fd00:1::254"},
			hosts: [2][]string{{"192.168.1.10", "192.168.1.11"}, {"fd00:1::10", "fd00:1::11"}}},
		{name: "wan", own: [2]string{"10.0.0.2", "fd00:f::2"}, router: [2]string{"10.0.0.1", "fd00:f::1"},
			hosts: [2][]string{{"198.51.100.9", "203.0.113.5", "10.0.0.7"}, {"2001:db8:9::9", "2001:db8:8::5", "fd00:f::7"}}},
	}
	if g.chance(50) {
		g.devs = append(g.devs, &dev{name: "dmz", own: [2]string{"172.16.0.1", "fd00:d::1"}, router: [2]string{"172.16.0.254", "fd00:d::254"},
			hosts: [2][]string{{"172.16.0.20", "172.16.0.21"}, {"fd00:d::20", "fd00:d::21"}}})
	}
	for _, d := range g.devs {
		d.mtu = choose(g, []weighted[int]{{75, 1500}, {10, 1400}, {10, 1280}, {5, 9000}})
		s.Interfaces = append(s.Interfaces, scenario.Interface{Name: d.name, MTU: d.mtu,
			Addrs: []scenario.Address{{Local: d.own[0] + "/24"}, {Local: d.own[1] + "/64"}}})
	}
	wan := &s.Interfaces[1]
	if g.chance(20) {
		wan.Addrs = append(wan.Addrs, scenario.Address{Local: "10.0.0.3/24"}, scenario.Address{Local: "fd00:f::3/64"})
	}
	s.Routes = []string{"default via 10.0.0.1 dev wan", "default via fd00:f::1 dev wan"}
	for _, r := range []string{"unreachable 198.51.100.128/25", "prohibit 198.51.100.64/26", "blackhole 203.0.113.128/25",
		"203.0.113.0/24 dev lan", "unreachable 2001:db8:8::/64", "prohibit 2001:db8:7::/64"} {
		if g.chance(6) {
			s.Routes = append(s.Routes, r)
		}
	}
	for g.chance(30) {
		if x := g.randomSysctl(); !g.avoids(x.Name) {
			s.Sysctls = append(s.Sysctls, x)
		}
	}
	g.log = g.chance(7)
	s.Log = g.log
	if g.log && g.chance(50) {
		s.Sysctls = append(s.Sysctls, scenario.Sysctl{Name: "net.netfilter.nf_conntrack_log_invalid", Value: fmt.Sprint(pick(g, 255, 6, 17, 1, 58))})
	}
	g.timed = !g.log && g.chance(6)
	if g.timed {
		s.Sysctls = append(s.Sysctls, scenario.Sysctl{Name: "net.ipv4.ipfrag_time", Value: "1"},
			scenario.Sysctl{Name: "net.netfilter.nf_conntrack_frag6_timeout", Value: "1"}, scenario.Sysctl{Name: "net.ipv6.ip6frag_time", Value: "1"})
		for g.chance(60) {
			s.Sysctls = append(s.Sysctls, scenario.Sysctl{Name: "net.netfilter.nf_conntrack_" + pick(g, "udp_timeout", "udp_timeout", "udp_timeout_stream", "icmp_timeout", "icmpv6_timeout",
				"generic_timeout", "gre_timeout", "sctp_timeout_closed", "sctp_timeout_cookie_wait", "tcp_timeout_syn_sent", "tcp_timeout_syn_recv", "tcp_timeout_established",
				"tcp_timeout_unacknowledged", "tcp_timeout_close", "tcp_timeout_fin_wait", "tcp_timeout_max_retrans"), Value: pick(g, "1", "2", "3")})
		}
	}
	if g.chance(15) {
		s.Setup = g.someSets()
	}
	if g.v4 {
		s.Rules.V4 = g.rules(false)
	}
	if g.v6 {
		s.Rules.V6 = g.rules(true)
	}
	if len(g.devs) > 2 && g.chance(20) {
		s.Setup = append(s.Setup, "ip rule add fwmark 1 table 100; ip route add default via 172.16.0.254 dev dmz table 100",
			"ip -6 rule add fwmark 1 table 100; ip -6 route add default via fd00:d::254 dev dmz table 100")
	}
	s.Events = g.chance(20) && !g.timed // of connections that time out, when somebody looks
}

func (g *gen) randomSysctl() scenario.Sysctl {
	d := pick(g, g.devs...).name
	return pick(g,
		scenario.Sysctl{Name: "net.netfilter.nf_conntrack_tcp_loose", Value: "0"},
		scenario.Sysctl{Name: "net.netfilter.nf_conntrack_tcp_be_liberal", Value: "1"},
		scenario.Sysctl{Name: "net.netfilter.nf_conntrack_udp_timeout", Value: fmt.Sprint(pick(g, 20, 300))},
		scenario.Sysctl{Name: "net.netfilter.nf_conntrack_udp_timeout_stream", Value: "77"},
		scenario.Sysctl{Name: "net.netfilter.nf_conntrack_icmp_timeout", Value: fmt.Sprint(pick(g, 5, 9))},
		scenario.Sysctl{Name: "net.netfilter.nf_conntrack_generic_timeout", Value: "55"},
		scenario.Sysctl{Name: "net.netfilter.nf_conntrack_tcp_timeout_syn_sent", Value: "33"},
		scenario.Sysctl{Name: "net.netfilter.nf_conntrack_acct", Value: "1"},
		scenario.Sysctl{Name: "net.netfilter.nf_conntrack_checksum", Value: "0"},
		scenario.Sysctl{Name: "net.ipv4.ip_default_ttl", Value: "99"},
		scenario.Sysctl{Name: "net.ipv4.icmp_errors_use_inbound_ifaddr", Value: "1"},
		scenario.Sysctl{Name: "net.ipv4.ip_forward_use_pmtu", Value: "1"},
		scenario.Sysctl{Name: "net.ipv4.ip_no_pmtu_disc", Value: fmt.Sprint(pick(g, 1, 2, 3))},
		scenario.Sysctl{Name: "net.ipv4.conf." + pick(g, d, "all") + ".promote_secondaries", Value: "1"},
		scenario.Sysctl{Name: "net.ipv6.conf." + d + ".force_forwarding", Value: "1"},
		scenario.Sysctl{Name: "net.ipv4.conf." + d + ".forwarding", Value: "0"},
		scenario.Sysctl{Name: "net.ipv4.conf." + d + ".rp_filter", Value: fmt.Sprint(pick(g, 1, 2))},
		scenario.Sysctl{Name: "net.ipv4.conf." + d + ".accept_source_route", Value: "1"},
		scenario.Sysctl{Name: "net.ipv6.conf.all.hop_limit", Value: "88"},
		scenario.Sysctl{Name: "net.ipv4.icmp_echo_ignore_all", Value: "1"},
		scenario.Sysctl{Name: "net.netfilter.nf_conntrack_tcp_ignore_invalid_rst", Value: "1"},
		scenario.Sysctl{Name: "net.netfilter.nf_conntrack_tcp_max_retrans", Value: fmt.Sprint(pick(g, 0, 1))},
		scenario.Sysctl{Name: "net.netfilter.nf_conntrack_tcp_timeout_" + pick(g, "established", "fin_wait", "close", "time_wait", "unacknowledged", "max_retrans", "syn_recv"), Value: "44"},
		scenario.Sysctl{Name: "net.netfilter.nf_conntrack_icmpv6_timeout", Value: "8"},
		scenario.Sysctl{Name: "net.netfilter.nf_conntrack_gre_timeout" + pick(g, "", "_stream"), Value: "66"},
		scenario.Sysctl{Name: "net.netfilter.nf_conntrack_sctp_timeout_" + pick(g, "closed", "cookie_wait", "established", "heartbeat_sent"), Value: "88"},
		scenario.Sysctl{Name: "net.ipv4.conf." + d + ".accept_local", Value: "1"},
		scenario.Sysctl{Name: "net.ipv4.conf." + d + ".route_localnet", Value: "1"},
		scenario.Sysctl{Name: "net.ipv4.conf." + d + ".send_redirects", Value: "1"},
		scenario.Sysctl{Name: "net.ipv4.conf." + d + ".bc_forwarding", Value: "1"},
		scenario.Sysctl{Name: "net.ipv4.conf." + d + ".src_valid_mark", Value: "1"},
		scenario.Sysctl{Name: "net.ipv4.conf." + d + ".shared_media", Value: "0"},
		scenario.Sysctl{Name: "net.ipv4.conf.all.rp_filter", Value: fmt.Sprint(pick(g, 1, 2))},
		scenario.Sysctl{Name: "net.ipv4.conf.all.bc_forwarding", Value: "1"},
		scenario.Sysctl{Name: "net.ipv4.conf.all.accept_local", Value: "1"},
		scenario.Sysctl{Name: "net.ipv4.ip_forward", Value: fmt.Sprint(pick(g, 0, 1))},
		scenario.Sysctl{Name: "net.ipv6.conf.all.forwarding", Value: fmt.Sprint(pick(g, 0, 1))},
		scenario.Sysctl{Name: "net.ipv6.conf." + d + ".disable_ipv6", Value: fmt.Sprint(pick(g, 0, 1))},
		scenario.Sysctl{Name: "net.ipv6.conf." + d + ".hop_limit", Value: "77"},
		scenario.Sysctl{Name: "net.ipv6.conf." + d + ".accept_source_route", Value: fmt.Sprint(pick(g, 1, -1))},
		scenario.Sysctl{Name: "net.ipv4.icmp_echo_ignore_broadcasts", Value: "0"},
		scenario.Sysctl{Name: "net.ipv6.icmp.echo_ignore_" + pick(g, "all", "multicast", "anycast"), Value: "1"},
		scenario.Sysctl{Name: "net.ipv6.icmp.error_anycast_as_unicast", Value: "1"},
		scenario.Sysctl{Name: "net.ipv6.anycast_src_echo_reply", Value: "1"},
		scenario.Sysctl{Name: "net.ipv6.flowlabel_reflect", Value: fmt.Sprint(pick(g, 1, 2, 4, 7))},
		scenario.Sysctl{Name: "net.ipv4.fwmark_reflect", Value: "1"},
		scenario.Sysctl{Name: "net.ipv6.fwmark_reflect", Value: "1"},
		scenario.Sysctl{Name: "net.ipv6.max_" + pick(g, "dst", "hbh") + "_opts_number", Value: "1"},
	)
}
