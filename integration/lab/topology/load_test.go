package topology_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/moat-router/moat/integration/lab/topology"
)

const good = `
networks:
  - {name: wan, mtu: 1492, delay: 20ms, jitter: 1.5ms, loss: 1%, rate: 10mbit, down: [{at: 5s, for: 2s}]}
  - {name: lan}
routers:
  - name: gw
    interfaces:
      - {name: wan, addresses: [203.0.113.1/24]}
      - {name: lan, addresses: [192.168.1.1/24]}
    routes: [default via 203.0.113.254]
    icmp_translation: off
hosts:
  - {name: isp, network: wan, addresses: [203.0.113.254/24]}
  - {name: laptop, network: lan, addresses: [192.168.1.10/24], routes: [default via 192.168.1.1], listen: [{proto: udp, port: 7}]}
checks:
  - {from: laptop, ping: 203.0.113.9}
  - never: {network: wan, match: "ip4 192.168.0.0/16>"}
`

func TestParseReadsUnits(t *testing.T) {
	t.Parallel()
	top, err := topology.Parse("lab.yaml", []byte(good), ".")
	if err != nil {
		t.Fatal(err)
	}
	n := top.Network("wan")
	if n.MTU != 1492 || time.Duration(n.Delay) != 20*time.Millisecond || time.Duration(n.Jitter) != 1500*time.Microsecond || n.Loss != 0.01 || n.Rate != 10e6 {
		t.Errorf("wan: %+v", n)
	}
	if d := n.Down[0]; d.Contains(4*time.Second) || !d.Contains(5*time.Second) || !d.Contains(6*time.Second) || d.Contains(7*time.Second) {
		t.Errorf("down: %+v", d)
	}
	if top.Network("lan").MTU != 1500 || top.Host("laptop").Listen[0].Service != "echo" || !*top.Router("gw").Interfaces[0].RxChecksumOffload {
		t.Error("defaults are missing")
	}
	if top.Router("gw").ICMPTranslation != "off" {
		t.Error("off is a word here, not a truth value")
	}
	if c := top.Checks[1]; c.Kind() != "never" || c.Position != "lab.yaml:17" {
		t.Errorf("check: %q at %s", c.Kind(), c.Position)
	}
}

func TestMistakesNameTheirPlace(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ old, new, want string }{
		{"mtu: 1492", "mtoo: 1492", `lab.yaml:3: a network has no key "mtoo": is it "mtu"?`},
		{"delay: 20ms", "delay: 20", `lab.yaml:3: "20" is no duration`},
		{"loss: 1%", "loss: 101%", `"101%" is no share`},
		{"rate: 10mbit", "rate: fast", `"fast" is no rate`},
		{"mtu: 1492", "mtu: 20", "mtu 20"},
		{"network: lan,", "network: len,", `no network "len": there is wan, lan`},
		{"192.168.1.10/24", "192.168.1.10", "prefix length"},
		{"name: laptop", "name: gw", "there is a router of that name"},
		{"{name: lan}", "{name: wan}", "there is a network of that name"},
		{"default via 192.168.1.1]", "default via gw]", `gateway "gw" is not an address`},
		{"proto: udp, port: 7", "proto: icmp, port: 7", `proto "icmp"`},
		{"port: 7", "port: 70000", "port 70000"},
		{"icmp_translation: off", "icmp_translation: no", `"no": want on or off`},
		{"from: laptop, ping", "from: phone, ping", `no host "phone": there is isp, laptop`},
		{"ping: 203.0.113.9", "ping: 203.0.113.9, http: 'http://a/'", "this one has ping and http"},
		{"{from: laptop, ping: 203.0.113.9}", "{from: laptop}", "a check needs one of"},
		{"never: {network: wan,", "never: {network: dsl,", `no network "dsl"`},
		{"icmp_translation: off", "rules: {v4: nowhere.rules}", "lab.yaml:6: router gw: rules: nowhere.rules: no such file"},
		{"mtu: 1492", "mtu: 20", "lab.yaml:3: network wan: mtu 20"},
		{"192.168.1.10/24", "192.168.1.1/24", "lab.yaml:14: host laptop: address 192.168.1.1: router gw has it on network lan"},
		{"via 192.168.1.1]", "via 192.168.1.2]", "lab.yaml:14: host laptop: gateway 192.168.1.2 is no neighbour's address: there is 192.168.1.1"},
		{"via 192.168.1.1]", "via 203.0.113.1]", "gateway 203.0.113.1 is no neighbour's address"},
		{"via 203.0.113.254", "via 203.0.113.253", "lab.yaml:6: router gw: gateway 203.0.113.253 is no neighbour's address: there is 203.0.113.254, 192.168.1.10"},
		{"ping: 203.0.113.9", "ping: server", `lab.yaml:16: check 1: ping: there is no host "server": there is isp, laptop`},
		{"ping: 203.0.113.9", "connect: 'udp://server:7'", `connect: there is no host "server"`},
		{"ping: 203.0.113.9", "send: 'ip5 a>b'", "lab.yaml:16: check 1: send: "},
		{"ping: 203.0.113.9", "ping: 203.0.113.9, source: here", `source: "here" is not an address`},
		{"ping: 203.0.113.9", "http: 'http://laptop/', size: 4", "size belongs to ping and connect"},
		{"ping: 203.0.113.9", "ping: 203.0.113.9, size: -1", "size -1"},
		{"ip4 192.168.0.0/16>", "udp >7", `say "* / udp >7"`},
		{"ip4 192.168.0.0/16>", "ip4 10.0.0.0/40>", "lab.yaml:17: check 2: never: "},
		{"{from: laptop, ping: 203.0.113.9}", "{ip: {router: gx, run: route flush}}", `ip: there is no router "gx": there is gw`},
		{"{from: laptop, ping: 203.0.113.9}", "{ip: {router: gw}}", "ip: run: what?"},
	} {
		text := strings.Replace(good, tt.old, tt.new, 1)
		if text == good {
			t.Fatalf("%q is not in the file", tt.old)
		}
		_, err := topology.Parse("lab.yaml", []byte(text), ".")
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "lab.yaml:") {
			t.Errorf("%s: %v, want %q", tt.new, err, tt.want)
		}
	}
	for text, want := range map[string]string{"": "empty", "a: b\n": `no key "a"`, good + "---\na: b\n": "second YAML document"} {
		if _, err := topology.Parse("lab.yaml", []byte(text), "."); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
	}
}

// rulesOf are the lines that say something.
func rulesOf(text string) (out []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "-A") || strings.HasPrefix(line, ":FORWARD") || strings.HasPrefix(line, "*") {
			out = append(out, line)
		}
	}
	return out
}

func TestDMZHasTheRulesOfTheCourse(t *testing.T) {
	t.Parallel()
	for file, have := range map[string]string{"03-dmz.rules.v4": topology.DMZRulesV4, "03-dmz.rules.v6": topology.DMZRulesV6} {
		b, err := os.ReadFile("../../../configs/" + file)
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Join(rulesOf(string(b)), "\n")
		if got := strings.Join(rulesOf(have), "\n"); got != want {
			t.Errorf("%s:\n%s\nthe DMZ has:\n%s", file, want, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("networks: [{name: a, loss: .nan}]"))
	f.Add([]byte("routers: [{name: a, routes: ['via']}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if strings.Contains(string(data), "rules") {
			return // would read files
		}
		top, err := topology.Parse("fuzz", data, ".")
		if err == nil {
			if err := top.Verify(); err != nil {
				t.Errorf("accepted once, then: %v", err)
			}
		}
	})
}
