package sysctl

import (
	"fmt"
	"strings"

	"github.com/moat-router/moat/policy/conntrack"
)

// Linux is what a fresh network namespace of kernel 6.18 has.
func Linux() *Values {
	v := &Values{CT: *conntrack.DefaultParams()}
	for i := range rows {
		r := &rows[i]
		if r.at == nil && r.conf == nil {
			continue
		}
		devs := []string{""}
		if r.conf != nil {
			devs = []string{"all", "default"}
		}
		for _, dev := range devs {
			if err := r.write(v, dev, r.initial(dev)); err != nil {
				panic("sysctl: table: " + r.name + ": " + err.Error())
			}
		}
	}
	return v
}

// gatewayStart is how "moat run" and "moat lab" differ from Linux: a router that forwards, keeps to itself what only an
// attacker would ask for, and refuses sources that no route leads to.
var gatewayStart = []Setting{
	{"net.ipv4.ip_forward", "1"},
	{"net.ipv6.conf.all.forwarding", "1"},
	{"net.ipv4.conf.all.rp_filter", "2"},
	{"net.ipv4.conf.all.send_redirects", "0"},
	{"net.ipv4.conf.default.send_redirects", "0"},
	{"net.ipv4.conf.all.accept_redirects", "0"},
	{"net.ipv4.conf.default.accept_redirects", "0"},
	{"net.ipv6.conf.all.accept_redirects", "0"},
	{"net.ipv6.conf.default.accept_redirects", "0"},
	{"net.ipv4.conf.all.accept_source_route", "0"},
	{"net.ipv4.conf.default.accept_source_route", "0"},
	{"net.ipv6.conf.all.accept_source_route", "-1"},
	{"net.ipv6.conf.default.accept_source_route", "-1"},
	{"net.ipv6.conf.all.accept_ra", "0"},
	{"net.ipv6.conf.default.accept_ra", "0"},
	{"net.ipv6.auto_flowlabels", "0"},
}

// lockstepStart is where recorded scenarios begin: without limits and randomness that would make a recording
// irreproducible.
var lockstepStart = []Setting{
	{"net.ipv4.conf.default.rp_filter", "0"},
	{"net.ipv4.conf.all.rp_filter", "0"},
	{"net.ipv4.ip_forward", "1"},
	{"net.ipv6.conf.all.forwarding", "1"},
	{"net.ipv6.conf.default.forwarding", "1"},
	{"net.ipv6.conf.default.accept_dad", "0"},
	{"net.ipv6.conf.default.dad_transmits", "0"},
	{"net.ipv6.conf.default.addr_gen_mode", "1"},
	{"net.ipv6.conf.default.accept_ra", "0"},
	{"net.ipv6.conf.default.router_solicitations", "0"},
	{"net.ipv6.conf.default.force_mld_version", "0"},
	{"net.ipv6.conf.default.mldv1_unsolicited_report_interval", "0"},
	{"net.ipv6.auto_flowlabels", "0"},
	{"net.ipv4.icmp_ratelimit", "0"},
	{"net.ipv4.icmp_msgs_per_sec", "1000000"},
	{"net.ipv4.icmp_msgs_burst", "1000000"},
	{"net.ipv6.icmp.ratelimit", "0"},
	{"net.ipv4.conf.all.send_redirects", "0"},
	{"net.ipv4.conf.default.send_redirects", "0"},
	{"net.netfilter.nf_conntrack_acct", "0"},
	{"net.netfilter.nf_conntrack_timestamp", "0"},
}

// Gateway is the careful start of "moat run" and "moat lab".
func Gateway() *Values { return mustApply(Linux(), gatewayStart) }

// Lockstep is the start of recorded scenarios.
func Lockstep() *Values { return mustApply(Linux(), lockstepStart) }

func mustApply(v *Values, list []Setting) *Values {
	v, err := v.Apply(list)
	if err != nil {
		panic("sysctl: defaults: " + err.Error())
	}
	return v
}

// Apply sets one after the other.
func (v *Values) Apply(list []Setting) (*Values, error) {
	for _, s := range list {
		n, err := v.Set(s.Name, s.Value)
		if err != nil {
			return nil, err
		}
		v = n
	}
	return v, nil
}

// profiles are named sets of settings on top of the start.
var profiles = map[string][]Setting{
	// Linux as it is.
	"linux": nil,
	// What the RFCs on NAT behaviour ask of timers: RFC 4787 REQ-5 (5 minutes recommended), RFC 5382 REQ-5 (established
	// 2 h 4 min, else 4 minutes), RFC 5508 REQ-2 (60 s).
	"rfc4787": {
		{"net.netfilter.nf_conntrack_udp_timeout", "300"},
		{"net.netfilter.nf_conntrack_udp_timeout_stream", "300"},
		{"net.netfilter.nf_conntrack_icmp_timeout", "60"},
		{"net.netfilter.nf_conntrack_icmpv6_timeout", "60"},
		{"net.netfilter.nf_conntrack_tcp_timeout_established", "7440"},
		{"net.netfilter.nf_conntrack_tcp_timeout_syn_sent", "240"},
		{"net.netfilter.nf_conntrack_tcp_timeout_syn_recv", "240"},
		{"net.netfilter.nf_conntrack_tcp_timeout_fin_wait", "240"},
		{"net.netfilter.nf_conntrack_tcp_timeout_close_wait", "240"},
		{"net.netfilter.nf_conntrack_tcp_timeout_last_ack", "240"},
		{"net.netfilter.nf_conntrack_tcp_timeout_time_wait", "240"},
	},
	// The times of Oskar Andreasson's iptables tutorial, of the days of Linux 2.4 and 2.6.
	"tutorial": {
		{"net.netfilter.nf_conntrack_udp_timeout", "30"},
		{"net.netfilter.nf_conntrack_udp_timeout_stream", "180"},
		{"net.netfilter.nf_conntrack_icmp_timeout", "30"},
		{"net.netfilter.nf_conntrack_generic_timeout", "600"},
		{"net.netfilter.nf_conntrack_tcp_timeout_syn_sent", "120"},
		{"net.netfilter.nf_conntrack_tcp_timeout_syn_recv", "60"},
		{"net.netfilter.nf_conntrack_tcp_timeout_established", "432000"},
		{"net.netfilter.nf_conntrack_tcp_timeout_fin_wait", "120"},
		{"net.netfilter.nf_conntrack_tcp_timeout_close_wait", "43200"},
		{"net.netfilter.nf_conntrack_tcp_timeout_last_ack", "30"},
		{"net.netfilter.nf_conntrack_tcp_timeout_time_wait", "120"},
		{"net.netfilter.nf_conntrack_tcp_timeout_close", "10"},
	},
}

// Profiles are the names that Profile takes.
var Profiles = []string{"linux", "rfc4787", "tutorial"}

// Profile gives the settings of a named profile.
func Profile(name string) ([]Setting, error) {
	p, ok := profiles[name]
	if !ok {
		return nil, fmt.Errorf("there is no profile %q (there are %s)", name, strings.Join(Profiles, ", "))
	}
	return p, nil
}
