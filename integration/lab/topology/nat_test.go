package topology

import (
	"strings"
	"testing"
)

func TestNATShorthand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ nat, route, rule, fault string }{
		{nat: "", route: "default via 203.0.113.254"},
		{nat: "full-cone", route: "default via 203.0.113.254", rule: "-o wan -j MASQUERADE --mapping endpoint-independent --filtering endpoint-independent"},
		{nat: "symmetric on lan", route: "10.0.0.0/8 via 203.0.113.254", rule: "-o lan -j MASQUERADE --mapping address-and-port-dependent --filtering address-and-port-dependent --port-assignment random"},
		{nat: "full-cone", route: "10.0.0.0/8 via 203.0.113.254", fault: "full-cone on INTERFACE"},
		{nat: "full-cone on eth9", route: "default via 203.0.113.254", fault: `"eth9"`},
		{nat: "conical", route: "default via 203.0.113.254", fault: "full-cone, restricted, port-restricted, symmetric, cgnat"},
		{nat: "full-cone wan", route: "default via 203.0.113.254", fault: "BEHAVIOUR on INTERFACE"},
	} {
		top := Topology{
			Networks: []Network{{Name: "lan"}, {Name: "wan"}},
			Hosts:    []Host{{Name: "isp", Network: "wan", Addresses: []string{"203.0.113.254/24"}}},
			Routers: []Router{{
				Name: "gw", NAT: c.nat, Routes: []string{c.route},
				Interfaces: []Interface{{Name: "lan", Addresses: []string{"192.168.1.1/24"}}, {Name: "wan", Addresses: []string{"203.0.113.1/24"}}},
			}},
		}
		err := top.Verify()
		rules, _ := top.Routers[0].NATRules()
		switch {
		case c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)):
			t.Errorf("%s: %v, want an error with %q", c.nat, err, c.fault)
		case c.fault == "" && err != nil:
			t.Errorf("%s: %v", c.nat, err)
		case c.rule != "" && !strings.Contains(rules, c.rule+"\n"), c.nat == "" && rules != "":
			t.Errorf("%s: %q", c.nat, rules)
		}
	}
}
