package difftest

import (
	"strings"

	"github.com/moat-router/moat/integration/scenario"
)

// defaults is where the lockstep protocol lets every scenario start from: forwarding on, and silent about everything
// that depends on time, neighbours or chance. They are written before the interfaces exist, so that these inherit them.
var defaults = scenario.Sysctls{
	{Name: "net.ipv4.conf.default.rp_filter", Value: "0"}, {Name: "net.ipv4.conf.all.rp_filter", Value: "0"},
	{Name: "net.ipv4.ip_forward", Value: "1"},
	{Name: "net.ipv6.conf.all.forwarding", Value: "1"}, {Name: "net.ipv6.conf.default.forwarding", Value: "1"},
	{Name: "net.ipv6.conf.default.accept_dad", Value: "0"}, {Name: "net.ipv6.conf.default.dad_transmits", Value: "0"},
	{Name: "net.ipv6.conf.default.addr_gen_mode", Value: "1"}, {Name: "net.ipv6.conf.default.accept_ra", Value: "0"},
	{Name: "net.ipv6.conf.default.router_solicitations", Value: "0"},
	{Name: "net.ipv6.conf.default.force_mld_version", Value: "0"},
	{Name: "net.ipv6.conf.default.mldv1_unsolicited_report_interval", Value: "0"},
	{Name: "net.ipv6.auto_flowlabels", Value: "0"},
	{Name: "net.ipv4.icmp_ratelimit", Value: "0"}, {Name: "net.ipv4.icmp_msgs_per_sec", Value: "1000000"},
	{Name: "net.ipv4.icmp_msgs_burst", Value: "1000000"}, {Name: "net.ipv6.icmp.ratelimit", Value: "0"},
	{Name: "net.ipv4.conf.all.send_redirects", Value: "0"}, {Name: "net.ipv4.conf.default.send_redirects", Value: "0"},
	{Name: "net.netfilter.nf_conntrack_acct", Value: "0"}, {Name: "net.netfilter.nf_conntrack_timestamp", Value: "0"},
}

func isForwarding6(name string) bool {
	return strings.HasPrefix(name, "net.ipv6") && strings.HasSuffix(name, ".forwarding")
}
