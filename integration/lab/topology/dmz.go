package topology

// The addresses of the DMZ that DMZ builds.
const (
	OutsideAddr  = "198.51.100.9"
	OutsideAddr6 = "2001:db8:9::9"
	FirewallAddr = "192.168.42.1" // on the interconnect
	XPublic      = "1.2.3.10"
	XPrivate     = "192.168.1.10"
	XPrivate6    = "fd00:1::10"
	YPrivate     = "192.168.1.20"
	PublicAddr   = "1.2.3.1" // what a SNAT rule for the firewall's own messages would like them to come from
)

// DMZ is the network that "moat lab" builds without a file:
//
//	 outside ── interconnect 192.168.42.0/24 ── fw ── dmz 192.168.1.0/24 ──┬── X  .10, published as 1.2.3.10 (DNAT)
//	198.51.100.9  .2                         .1    .1                      └── Y  .20, not translated
//
// Its firewall has no rules yet.
func DMZ() *Topology {
	t := &Topology{
		Name:     "dmz",
		Networks: []Network{{Name: "interconnect"}, {Name: "dmz"}},
		Routers: []Router{{
			Name: "fw",
			Interfaces: []Interface{
				{Name: "wan", Network: "interconnect", Addresses: []string{"192.168.42.1/24", "fd00:42::1/64"}},
				{Name: "lan", Network: "dmz", Addresses: []string{"192.168.1.1/24", "fd00:1::1/64"}},
			},
			Routes: []string{"default via 192.168.42.2 dev wan", "default via fd00:42::2 dev wan"},
		}},
		Hosts: []Host{
			{
				Name: "outside", Network: "interconnect",
				Addresses: []string{OutsideAddr + "/32", "192.168.42.2/24", OutsideAddr6 + "/128", "fd00:42::2/64"},
				Routes: []string{"1.2.3.0/24 via 192.168.42.1 src " + OutsideAddr, "192.168.1.0/24 via 192.168.42.1 src " + OutsideAddr,
					"fd00:1::/64 via fd00:42::1 src " + OutsideAddr6},
			},
			{
				Name: "X", Network: "dmz", Addresses: []string{XPrivate + "/24", XPrivate6 + "/64"},
				Routes: []string{"default via 192.168.1.1", "default via fd00:1::1"},
			},
			{
				Name: "Y", Network: "dmz", Addresses: []string{YPrivate + "/24", "fd00:1::20/64"},
				Routes: []string{"default via 192.168.1.1", "default via fd00:1::1"},
			},
		},
	}
	if err := t.Verify(); err != nil {
		panic("topology: the DMZ: " + err.Error())
	}
	return t
}

// WithRules gives the firewall of the DMZ rules.
func (t *Topology) WithRules(router, v4, v6 string) *Topology {
	r := t.Router(router)
	r.Rules = Rules{V4: Text{router + ".rules.v4", v4}, V6: Text{router + ".rules.v6", v6}}
	return t
}

// DMZRulesV4 publish X and reject everything from outside but DNS to X; DMZRulesV6 do the latter.
const (
	DMZRulesV4 = `*nat
-A PREROUTING -d 1.2.3.10/32 -j DNAT --to-destination 192.168.1.10
-A POSTROUTING -s 192.168.1.10/32 -o wan -j SNAT --to-source 1.2.3.10
COMMIT
*filter
:FORWARD DROP [0:0]
-A FORWARD -m conntrack --ctstate INVALID -j DROP
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i lan -o wan -j ACCEPT
-A FORWARD -d 192.168.1.10/32 -i wan -p udp -m udp --dport 53 -j ACCEPT
-A FORWARD -d 192.168.1.10/32 -i wan -p tcp -m tcp --dport 53 -j ACCEPT
-A FORWARD -i wan -j REJECT --reject-with icmp-port-unreachable
COMMIT
`
	DMZRulesV6 = `*filter
:FORWARD DROP [0:0]
-A FORWARD -m conntrack --ctstate INVALID -j DROP
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i lan -o wan -j ACCEPT
-A FORWARD -d fd00:1::10/128 -i wan -p udp -m udp --dport 53 -j ACCEPT
-A FORWARD -d fd00:1::10/128 -i wan -p tcp -m tcp --dport 53 -j ACCEPT
-A FORWARD -i wan -j REJECT --reject-with icmp6-port-unreachable
COMMIT
`
)
