package topology_test

import (
	"strings"
	"testing"
	"time"

	"github.com/moat-router/moat/integration/lab/topology"
)

const phone = `
networks: [{name: wifi}, {name: lte, mtu: 1400}, {name: net}]
routers:
  - name: home
    interfaces:
      - {name: wifi, addresses: [10.0.0.1/24], link: {delay: 2ms, loss: 1%, out: {rate: 16mbit, mtu: 1300}, in: {delay: 30ms, rate: 1mbit, down: [{at: 5s}]}}}
      - {name: net, addresses: [192.0.2.1/24]}
hosts:
  - name: phone
    interfaces:
      - {name: wifi, addresses: [10.0.0.20/24], link: {mtu: 1280}}
      - {network: lte, addresses: [10.1.0.20/24]}
    routes: [default via 10.0.0.1 dev wifi metric 100, default dev lte metric 200]
    ip_rules: [from 10.1.0.20 lookup 7]
  - {name: server, network: net, addresses: [192.0.2.9/24]}
  - {name: outer, network: net, addresses: [192.0.2.53/24], resolver: [192.0.2.9]}
dns:
  - {host: server, domain: example.org, networks: [net], records: [www CNAME server]}
checks:
  - {from: phone, ping: www.example.org}
  - {from: phone, resolve: www.example.org, type: AAAA, answer: ["fd00::1"]}
  - link: {host: server, up: false}
  - ip: {host: phone, run: link set wifi down}
`

func TestHostsWithInterfacesAndLinksAreRead(t *testing.T) {
	t.Parallel()
	top, err := topology.Parse("phone.yaml", []byte(phone), ".")
	if err != nil {
		t.Fatal(err)
	}
	h := top.Host("phone")
	plugs := h.Plugs()
	if len(plugs) != 2 || plugs[0].Network != "wifi" || plugs[1].Name != "lte" || top.MTUOf(&plugs[0]) != 1280 || top.MTUOf(&plugs[1]) != 1400 {
		t.Errorf("interfaces %+v", plugs)
	}
	if only := top.Host("server").Plugs(); len(only) != 1 || only[0].Name != "eth0" || only[0].Network != "net" {
		t.Errorf("the only interface of a host: %+v", only)
	}
	l := top.Router("home").Interfaces[0].Link
	out, in := l.Outward(), l.Inward()
	if time.Duration(out.Delay) != 2*time.Millisecond || out.Loss != 0.01 || out.Rate != 16e6 || out.MTU != 1300 || len(out.Down) != 0 {
		t.Errorf("out: %+v", out)
	}
	if time.Duration(in.Delay) != 30*time.Millisecond || in.Loss != 0.01 || in.Rate != 1e6 || in.MTU != 0 || len(in.Down) != 1 {
		t.Errorf("in: %+v", in)
	}
	if c := top.Checks[2].Link; c.Interface != "eth0" {
		t.Errorf("the only interface need not be named: %+v", c)
	}
	asks := func(name string) string {
		var out []string
		for _, a := range top.Resolvers(top.Host(name)) {
			out = append(out, a.String())
		}
		return strings.Join(out, " ") + " " + top.SearchDomain(top.Host(name))
	}
	for name, want := range map[string]string{"phone": "192.0.2.9 example.org", "outer": "192.0.2.9 example.org", "server": "192.0.2.9 example.org"} {
		if got := asks(name); got != want {
			t.Errorf("%s asks %s, want %s", name, got, want)
		}
	}
	if err := top.Verify(); err != nil {
		t.Errorf("accepted once, then: %v", err)
	}
}

func TestMistakesOfHostsLinksAndNamesNameTheirPlace(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ old, new, want string }{
		{"name: phone\n", "name: phone\n    network: wifi\n", "phone.yaml:9: host phone: interfaces, or network"},
		{"{network: lte,", "{network: lse,", `phone.yaml:9: host phone: interface lse: there is no network "lse": there is wifi, lte, net`},
		{"{network: lte, addresses: [10.1.0.20/24]}", "{name: wifi, network: lte, addresses: [10.1.0.20/24]}", "there are two interfaces wifi"},
		{"{network: lte, addresses: [10.1.0.20/24]}", "{network: lte, addresses: [10.1.0.20/24], rx_checksum_offload: true}", "rx_checksum_offload is for routers"},
		{"{name: server, network: net,", "{name: server, ", `phone.yaml:15: host server: it is on no network; add "network:"`},
		{"link: {mtu: 1280}", "link: {mtu: 1501}", "phone.yaml:9: host phone: interface wifi: link: mtu 1501 is more than network wifi carries, 1500"},
		{"link: {mtu: 1280}", "link: {mtu: 60}", "link: mtu 60: want 68 to 65535"},
		{"out: {rate: 16mbit, mtu: 1300}", "out: {rate: 16mbit, mtu: 70000}", "phone.yaml:4: router home: interface wifi: link: out: mtu 70000"},
		{"out: {rate", "outt: {rate", `phone.yaml:6: a link has no key "outt": is it "out"?`},
		{"out: {rate", "out: {speed", `phone.yaml:6: a direction has no key "speed": there is mtu, delay, jitter`},
		{"delay: 2ms, loss: 1%", "delay: 2, loss: 1%", `phone.yaml:6: "2" is no duration`},
		{"via 10.0.0.1 dev wifi", "via 10.0.0.1 dev lte", "phone.yaml:9: host phone: route"},
		{"via 10.0.0.1 dev wifi", "via 10.0.0.1 dev wlan", `there is no interface "wlan"`},
		{"via 10.0.0.1 dev wifi", "via 10.0.0.9 dev wifi", "gateway 10.0.0.9 is no neighbour's address: there is 10.0.0.1"},
		{"default dev lte", "default via 192.0.2.1", "gateway 192.0.2.1 is no neighbour's address"},
		{"from 10.1.0.20 lookup 7", "from nowhere lookup 7", "phone.yaml:9: host phone: ip_rules: "},
		{"10.1.0.20/24]}", "10.0.0.1/24]}\n      - {name: more, network: wifi, addresses: [10.0.0.1/24]}", "address 10.0.0.1: router home has it on network wifi"},
		{"resolver: [192.0.2.9]", "resolver: [server]", `phone.yaml:16: host outer: resolver: "server" is not an address`},
		{"{host: server, domain", "{domain", `phone.yaml:18: dns: which host answers? Add "host:"`},
		{"{host: server, domain", "{host: srever, domain", `phone.yaml:18: dns: there is no host "srever": there is phone, server, outer`},
		{"networks: [net], records", "networks: [nets], records", `phone.yaml:18: dns at server: there is no network "nets"`},
		{"www CNAME server", "www A server", `phone.yaml:18: dns at server: record "www A server": "server" is no address of IPv4`},
		{"domain: example.org", "domain: example..org", "each part between dots"},
		{"type: AAAA", "type: AAAAA", `phone.yaml:21: check 2: resolve: type: "AAAAA" is no type of record`},
		{"ping: www.example.org", "ping: www.example.org, answer: [192.0.2.9]", "type and answer belong to resolve"},
		{"link: {host: server, up: false}", "link: {host: server}", `phone.yaml:22: check 3: link: say "up: false"`},
		{"link: {host: server, up: false}", "link: {host: phone, up: false}", `phone has no interface "": it has wifi, lte`},
		{"link: {host: server, up: false}", "link: {host: sarver, up: false}", `there is no host "sarver"`},
		{"link: {host: server, up: false}", "link: {network: net, host: server, up: false}", "not both"},
		{"link: {host: server, up: false}", "link: {router: home, interface: lan, up: false}", `home has no interface "lan": it has wifi, net`},
		{"ip: {host: phone,", "ip: {host: fone,", `ip: there is no host "fone"`},
		{"ip: {host: phone,", "ip: {host: phone, router: home,", "ip: host or router, not both"},
		{"addresses: [192.0.2.53/24]", "addresses: 192.0.2.53/24", `phone.yaml:16: "192.0.2..." cannot stand here: want a list`},
		{"name: outer", "name: outer, kind: real", `host outer: kind: "real": want virtual or kernel`},
	} {
		text := strings.Replace(phone, tt.old, tt.new, 1)
		if text == phone {
			t.Fatalf("%q is not in the file", tt.old)
		}
		_, err := topology.Parse("phone.yaml", []byte(text), ".")
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "phone.yaml:") {
			t.Errorf("%s: %v, want %q", tt.new, err, tt.want)
		}
	}
}

func TestAllMistakesOfAFileAreToldAtOnce(t *testing.T) {
	t.Parallel()
	_, err := topology.Parse("two.yaml", []byte("networks:\n  - {name: a, dealy: 1s}\nhosts:\n  - {name: b, netwrok: a}\n"), ".")
	want := "two.yaml:2: a network has no key \"dealy\": is it \"delay\"?\ntwo.yaml:4: a host has no key \"netwrok\": is it \"network\"?"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant\n%s", err, want)
	}
}
