package iptables_test

import (
	"strings"
	"testing"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/iptables"
)

// The options that Linux does not have: what is not said has its default, and is not printed if it is the default.
func TestNATBehaviourOptions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ rule, saved, fault string }{
		{rule: "-j MASQUERADE --mapping endpoint-independent",
			saved: "-j MASQUERADE --mapping endpoint-independent --filtering address-and-port-dependent"},
		{rule: "-j MASQUERADE --pooling paired --port-assignment preserve --filtering endpoint-independent",
			saved: "-j MASQUERADE --mapping endpoint-independent --filtering endpoint-independent"},
		{rule: "-p udp -j SNAT --no-hairpin --to-source 1.2.3.1-1.2.3.4:1024-2047 --port-assignment contiguous --pooling arbitrary --mapping address-dependent",
			saved: "-p udp -j SNAT --to-source 1.2.3.1-1.2.3.4:1024-2047 --mapping address-dependent --filtering address-and-port-dependent --port-assignment contiguous --pooling arbitrary --no-hairpin"},
		{rule: "-j MASQUERADE --random-fully", saved: "-j MASQUERADE --random-fully"},
		{rule: "-j MASQUERADE --mapping symmetric", fault: "endpoint-independent, address-dependent, address-and-port-dependent"},
		{rule: "-j MASQUERADE --mapping", fault: "needs a value"},
		{rule: "-j MASQUERADE --random --mapping endpoint-independent", fault: "do not go together"},
		{rule: "-j MASQUERADE ! --no-hairpin", fault: "cannot be inverted"},
		{rule: "-j DNAT --to-destination 1.2.3.4 --mapping endpoint-independent", fault: "--mapping"},
	} {
		set, err := iptables.Parse(policy.V4, "rules.v4", []byte("*nat\n-A POSTROUTING "+c.rule+"\nCOMMIT\n"), iptables.Options{})
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s: %v, want an error with %q", c.rule, err, c.fault)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.rule, err)
			continue
		}
		rs, err := iptables.Compile(set, nil, nil, 1)
		if err != nil {
			t.Errorf("%s: %v", c.rule, err)
			continue
		}
		if got := string(iptables.Save(rs, policy.V4, false)); !strings.Contains(got, "-A POSTROUTING "+c.saved+"\n") {
			t.Errorf("%s is saved as\n%s", c.rule, got)
		}
	}
}
