package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// base is a good file to which the cases below add one mistake.
const base = `interfaces:
  - name: wan
    addresses: [192.168.42.1/24, "fd00:42::1/64"]
  - name: lan
    addresses: [192.168.1.1/24]
`

// TestMistakesAreNamed: every mistake is one sentence with file, line and key, and says how to mend it.
func TestMistakesAreNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "empty.rules", " \n")
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", `f.yaml: the file is empty; it needs at least "interfaces:"`},
		{"only a comment", "# moat\n", `f.yaml: the file is empty; it needs at least "interfaces:"`},
		{"text", "hello\n", `f.yaml:1: is the text "hello", and must be a block of "key: value" lines`},
		{"not YAML", "interfaces:\n  - name: wan\n   mtu: 5\n", `f.yaml:2: this is not YAML: did not find expected '-' indicator; look at the indentation and quotes around here`},
		{"bracket", base + "routes: [}\n", `f.yaml:6: this is not YAML: did not find expected node content`},
		{"tab", "interfaces:\n\t- name: wan\n", `f.yaml:2: this is not YAML: found character that cannot start any token`},
		{"two documents", base + "---\nroutes: []\n", `f.yaml:6: a second YAML document begins here; keep one`},
		{"no interfaces", "routes: []\n", `f.yaml:1: interfaces: is missing; a router needs at least one`},
		{"empty interfaces", "interfaces: []\n", `f.yaml:1: interfaces: is empty; a router needs at least one`},
		{"interfaces as a map", "interfaces:\n  wan: {mtu: 1500}\n", `f.yaml:2: interfaces: is a block of keys, and must be a list`},
		{"misspelt key", base + "route: [default via 192.168.42.2]\n", `f.yaml:6: route: unknown key; did you mean routes?`},
		{"upper case", base + "Routes: []\n", `f.yaml:6: Routes: unknown key; did you mean routes?`},
		{"dash for underscore", base + "icmp-translation: on\n", `f.yaml:6: icmp-translation: unknown key; did you mean icmp_translation?`},
		{"unknown key", base + "firewall: yes\n", `f.yaml:6: firewall: unknown key; keys: conntrack, control, defrag, http`},
		{"unknown key inside", "interfaces:\n  - name: wan\n    ip: 1.2.3.4/24\n", `f.yaml:3: interfaces[0].ip: unknown key; keys: addresses, mtu, name, peer, rx_checksum_offload, tun`},
		{"reserved", base + "leak_guard: on\n", `f.yaml:6: leak_guard: this version has no such setting; let rules drop what leaks`},
		{"nat without a way out", base + "nat: full-cone\n", `f.yaml:6: nat: "full-cone": there is no default route that says which side is outside: want "full-cone on INTERFACE"`},
		{"nat by no name", base + "nat: conical on wan\n", `f.yaml:6: nat: "conical" is not a NAT behaviour: want full-cone, restricted`},
		{"nat on nothing", base + "nat: full-cone on eth9\n", `f.yaml:6: nat: there is no interface "eth9": there is wan`},
		{"nat as a list", base + "nat: [full-cone]\n", `f.yaml:6: nat: is a list, and must be text`},
		{"reserved inside", "interfaces:\n  - {name: wan, zone: 5}\n", `f.yaml:2: interfaces[0].zone: this version has no such setting; conntrack zones are set by rules`},
		{"twice", base + "queues: 1\nqueues: 2\n", `f.yaml:7: queues: stands here a second time, the first is on line 6; keep one of them`},
		{"no value", base + "routes:\n", `f.yaml:6: routes: has no value; give it one or remove the line`},
		{"empty text", base + "control: \"\"\n", `f.yaml:6: control: is empty; give it a value or remove the line`},
		{"text for a list", base + "routes: default via 192.168.42.2\n", `f.yaml:6: routes: is the text "default via 192.168.42.2", and must be a list`},
		{"list for text", base + "control: [a, b]\n", `f.yaml:6: control: is a list, and must be text`},
		{"number for text", "interfaces:\n  - name: 7\n", `f.yaml:2: interfaces[0].name: is read as the number 7, and must be text: put "7" in quotes`},
		{"text for a number", "interfaces:\n  - name: wan\n    mtu: big\n", `f.yaml:3: interfaces[0].mtu: is the text "big", and must be a whole number without quotes`},
		{"quoted number", "interfaces:\n  - name: wan\n    mtu: \"1500\"\n", `f.yaml:3: interfaces[0].mtu: is the text "1500", and must be a whole number without quotes`},
		{"text for truth", "interfaces:\n  - name: wan\n    rx_checksum_offload: maybe\n", `f.yaml:3: interfaces[0].rx_checksum_offload: is the text "maybe", and must be true or false`},
		{"truth for on", base + "icmp_translation: true\n", `f.yaml:6: icmp_translation: is the truth value true, and must be on or off`},
		{"choice", base + "conntrack: sometimes\n", `f.yaml:6: conntrack: is the text "sometimes", and must be always or when-used`},
		{"profile", base + "profile: rfc\n", `f.yaml:6: profile: is the text "rfc", and must be linux, rfc4787 or tutorial`},
		{"no name", "interfaces:\n  - mtu: 1500\n", `f.yaml:2: interfaces[0].name: is missing; write "name: ..."`},
		{"same name", "interfaces:\n  - name: wan\n  - name: wan\n", `f.yaml:3: interfaces[1].name: "wan" is already the name of interfaces[0]; every interface needs a name of its own`},
		{"same device", "interfaces:\n  - {name: a, tun: t}\n  - {name: b, tun: t}\n", `f.yaml:3: interfaces[1].tun: device "t" belongs to interface a already`},
		{"loopback", "interfaces:\n  - name: lo\n", `f.yaml:2: interfaces[0].name: lo is the router's own loopback`},
		{"long name", "interfaces:\n  - name: interface-number-one\n", `f.yaml:2: interfaces[0].name: "interface-number-one" cannot be the name of an interface: 1 to 15 bytes are needed`},
		{"small mtu", "interfaces:\n  - {name: wan, mtu: 67}\n", `f.yaml:2: interfaces[0].mtu: 67 is not in 68 to 65535 (RFC 791); 1500 is usual`},
		{"IPv6 in a small mtu", "interfaces:\n  - {name: wan, mtu: 1200, addresses: [\"fd00::1/64\"]}\n", `f.yaml:2: interfaces[0].addresses[0]: IPv6 needs an MTU of at least 1280 (RFC 8200 5), and wan has 1200`},
		{"no prefix length", "interfaces:\n  - {name: wan, addresses: [10.0.0.1]}\n", `f.yaml:2: interfaces[0].addresses[0]: "10.0.0.1" has no prefix length; write it like 10.0.0.1/24`},
		{"no address", "interfaces:\n  - {name: wan, addresses: [10.0.0.300/24]}\n", `f.yaml:2: interfaces[0].addresses[0]: "10.0.0.300/24" is not an address with a prefix length`},
		{"network address", "interfaces:\n  - {name: wan, addresses: [10.0.0.0/24]}\n", `10.0.0.0/24 is the address of the whole network; give the interface one inside, like 10.0.0.1/24`},
		{"broadcast address", "interfaces:\n  - {name: wan, addresses: [10.0.0.255/24]}\n", `10.0.0.255/24 is the broadcast address of its network; choose another one`},
		{"multicast address", "interfaces:\n  - {name: wan, addresses: [224.0.0.5/24]}\n", `224.0.0.5 is a multicast address`},
		{"same address", base + "  - name: dmz\n    addresses: [192.168.1.1/24]\n", `f.yaml:7: interfaces[2].addresses[0]: 192.168.1.1 is the address of lan already (interfaces[1].addresses[0])`},
		{"same network", base + "  - name: dmz\n    addresses: [192.168.1.2/24]\n", `f.yaml:7: interfaces[2].addresses[0]: 192.168.1.2/24 lies in the same network as 192.168.1.1/24 of lan; give the interfaces different networks`},
		{"overlap", base + "  - name: dmz\n    addresses: [192.168.0.1/16]\n", `the network of 192.168.0.1/16 overlaps with that of 192.168.42.1/24 of wan`},
		{"gateway off link", base + "routes:\n  - default via 192.168.43.2\n", `f.yaml:7: routes[0]: gateway 192.168.43.2 is on no link of this router: give an interface an address in its subnet first, or write "dev INTERFACE onlink"`},
		{"gateway elsewhere", base + "routes: [default via 192.168.42.2 dev lan]\n", `f.yaml:6: routes[0]: gateway 192.168.42.2 is not on lan`},
		{"own gateway", base + "routes: [\"default via fd00:42::1\"]\n", `f.yaml:6: routes[0]: gateway fd00:42::1 is an address of this router`},
		{"unknown device", base + "routes: [10.0.0.0/8 dev dmz]\n", `f.yaml:6: routes[0]: there is no interface "dmz" (there are lo, wan, lan)`},
		{"route twice", base + "routes: [10.0.0.0/8 dev lan, 10.0.0.0/8 via 192.168.42.2]\n", `f.yaml:6: routes[1]: there is already a route to 10.0.0.0/8 with this metric`},
		{"host bits", base + "routes: [10.0.0.1/8 dev lan]\n", `f.yaml:6: routes[0]: 10.0.0.1/8 has bits behind its prefix length: did you mean 10.0.0.0/8?`},
		{"route word", base + "routes: [10.0.0.0/8 dev lan metrik 5]\n", `f.yaml:6: routes[0]: "metrik" is not a word of ip route`},
		{"multipath", base + "routes: [default nexthop via 192.168.42.2 nexthop via 192.168.1.2]\n", `routes with several next hops are not supported`},
		{"ip rule", base + "ip_rules: [fwmark x table 5]\n", `f.yaml:6: ip_rules[0]: fwmark "x" is not a number, or number/mask`},
		{"ip rule goto", base + "ip_rules: [from all goto 500]\n", `f.yaml:6: ip_rules[0]: "goto" is not supported in a rule`},
		{"sysctl without value", base + "sysctls: [net.ipv4.ip_forward]\n", `f.yaml:6: sysctls[0]: "net.ipv4.ip_forward" has no "="; write "name=value"`},
		{"sysctl unknown", base + "sysctls: [net.netfilter.nf_conntrack_udp_timout=5]\n", `f.yaml:6: sysctls[0]: there is no sysctl "net.netfilter.nf_conntrack_udp_timout" here: did you mean net.netfilter.nf_conntrack_udp_timeout?`},
		{"sysctl range", base + "sysctls: [net.netfilter.nf_conntrack_tcp_loose=2]\n", `f.yaml:6: sysctls[0]: net.netfilter.nf_conntrack_tcp_loose: 2 is not in 0 to 1`},
		{"sysctl interface", base + "sysctls: [net.ipv4.conf.dmz.rp_filter=1]\n", `f.yaml:6: sysctls[0]: net.ipv4.conf.dmz.rp_filter: there is no interface "dmz"`},
		{"rules missing", base + "rules: {v4: nowhere.rules}\n", `nowhere.rules: there is no such file; name a file beside this one, or write the rules here as a block ("|")`},
		{"rules a directory", base + "rules: {v4: .}\n", `this is a directory, and a file is needed`},
		{"rules empty", base + "rules: {v4: empty.rules}\n", `empty.rules: the file is empty; remove the key if there is nothing to load`},
		{"rules as text", base + "rules: dmz.rules\n", `f.yaml:6: rules: is the text "dmz.rules", and must be a block of "key: value" lines (keys: v4, v6)`},
		{"peer is the router", "interfaces:\n  - name: wan\n    addresses: [10.0.0.1/24]\n    peer:\n      addresses: [10.0.0.1/24]\n", `f.yaml:5: interfaces[0].peer.addresses[0]: 10.0.0.1 is the router's own address on wan; the peer needs another one`},
		{"peer's route", "interfaces:\n  - name: wan\n    addresses: [10.0.0.1/24]\n    peer:\n      addresses: [10.0.0.2/24]\n      routes: [default via 10.9.0.1]\n", `f.yaml:6: interfaces[0].peer.routes[0]: gateway 10.9.0.1 is on no link`},
		{"peer's namespace", "interfaces:\n  - name: wan\n    peer: {netns: \"pid:x\"}\n", `f.yaml:3: interfaces[0].peer.netns: "pid:x" is not a process; write it like pid:1234`},
		{"listen off the router", base + "listen: [{proto: tcp, address: 10.0.0.1, port: 80, service: http}]\n", `f.yaml:6: listen[0].address: 10.0.0.1 is not an address of this router`},
		{"listen without proto", base + "listen: [{port: 80, service: http}]\n", `f.yaml:6: listen[0].proto: is missing; write tcp or udp`},
		{"http over udp", base + "listen: [{proto: udp, port: 80, service: http}]\n", `f.yaml:6: listen[0].service: http needs "proto: tcp"`},
		{"port", base + "listen: [{proto: udp, port: 70000, service: echo}]\n", `f.yaml:6: listen[0].port: 70000 is not in 1 to 65535`},
		{"port twice", base + "listen:\n  - {proto: udp, port: 7, service: echo}\n  - {proto: udp, port: 7, service: discard}\n", `f.yaml:8: listen[1]: listens where listen[0] does already; remove one of them`},
		{"log to no file", base + "log: {target: file}\n", `f.yaml:6: log.target: target file needs the name of the file: add "path: FILE" to log`},
		{"log file without target", base + "log: {path: moat.log}\n", `f.yaml:6: log.path: is used only with "target: file", and target is stderr; remove one of them`},
		{"metrics address", base + "http: localhost\n", `f.yaml:6: http: "localhost" is not an address with a port; write it like 127.0.0.1:9100`},
		{"queues", base + "queues: 1000\n", `f.yaml:6: queues: 1000 is not in 0 to 256; 0 takes one per processor`},
		{"merge key", "x: &x {mtu: 1400}\ninterfaces:\n  - {<<: *x, name: wan}\n", `merge keys are not supported; write the keys out`},
	} {
		_, err := Parse("f.yaml", []byte(c.text), dir)
		if err == nil {
			t.Errorf("%s: no error, want %s", c.name, c.want)
			continue
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, err, c.want)
		}
		var code interface{ ExitCode() int }
		if !errors.As(err, &code) || code.ExitCode() != 2 {
			t.Errorf("%s: the error has no exit code 2", c.name)
		}
	}
}

func TestAllMistakesAreToldAtOnceInOrder(t *testing.T) {
	t.Parallel()
	_, err := Parse("f.yaml", []byte("interfaces:\n  - name: wan\n    mtu: x\n    colour: red\nroutes: 5\n"), t.TempDir())
	var es Errors
	if !errors.As(err, &es) || len(es) != 3 || es[0].Line != 3 || es[1].Line != 4 || es[2].Line != 5 {
		t.Errorf("%v", err)
	}
}

func TestLoadSaysWhyAFileCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(dir, "none.yaml"): "none.yaml: there is no such file",
		dir:                             "this is a directory, and a file is needed",
	} {
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if os.Geteuid() == 0 {
		return // root may read everything
	}
	write(t, dir, "secret.yaml", base)
	path := filepath.Join(dir, "secret.yaml")
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "may not be read by this user") {
		t.Error(err)
	}
}

func TestDefaultsAreThoseOfTheDocumentation(t *testing.T) {
	t.Parallel()
	c, err := Parse("f.yaml", []byte(base+"sysctls: [net.ipv4.conf.lan.rp_filter=0, net/ipv4/conf/default/rp_filter=1, net.netfilter.nf_conntrack_udp_timeout=77]\nprofile: rfc4787\n"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	in := c.Interfaces[0]
	if in.TUN != "wan" || in.MTU != 1500 || !in.RxChecksumOffload {
		t.Errorf("%+v", in)
	}
	if c.Conntrack != "always" || c.Defrag != "fragments" || c.ICMPTranslation != "on" || c.Log.Target != "stderr" || c.Log.Format != "text" || c.Queues != 0 {
		t.Errorf("%+v", c)
	}
	for name, want := range map[string]string{
		"net.netfilter.nf_conntrack_udp_timeout":        "77",  // the file is stronger than the profile
		"net.netfilter.nf_conntrack_udp_timeout_stream": "300", // the profile is stronger than the start
		"net.ipv4.conf.lan.forwarding":                  "1",
		"net.ipv4.conf.wan.rp_filter":                   "1", // interfaces begin with what default says
		"net.ipv4.conf.lan.rp_filter":                   "0",
	} {
		if got, _ := c.Values().Get(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

// TestValuesBesideDefaultsAreKept: what is written is what one gets, also where it is the type's zero.
func TestValuesBesideDefaultsAreKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "v6.rules", "*filter\nCOMMIT\n")
	c, err := Parse("f.yaml", []byte(`
interfaces:
  - {name: WAN, tun: moat-wan, mtu: 9000, rx_checksum_offload: false, addresses: [10.0.0.1/31], peer: {netns: internet, addresses: [10.0.0.0/31], routes: [default via 10.0.0.1]}}
routes: [ip route add default via 10.0.0.0, unreachable 10.0.0.0/8]
ip_rules: [fwmark 1/0xff table 100, ip -6 rule add fwmark 2 table 100]
rules:
  v4: |
    *filter
    COMMIT
  v6: v6.rules
icmp_translation: off
defrag: all
listen: [{proto: tcp, address: 10.0.0.1, port: 80, service: http}]
log: {target: file, path: moat.log, format: json}
http: ":9100"
queues: 2
`), dir)
	if err != nil {
		t.Fatal(err)
	}
	in := c.Interfaces[0]
	if in.Name != "WAN" || in.RxChecksumOffload || in.MTU != 9000 || in.Peer.NetNS != "internet" || c.ICMPTranslation != "off" {
		t.Errorf("%+v %+v", in, c)
	}
	if strings.TrimLeft(c.V4.Text, "\n") != "*filter\nCOMMIT\n" || strings.Count(c.V4.Text, "\n") != 9 || c.V4.Indent != 4 || c.V6.Text != "*filter\nCOMMIT\n" || c.V6.Name != filepath.Join(dir, "v6.rules") {
		t.Errorf("%+v %+v", c.V4, c.V6)
	}
	if want := []string{"fwmark 1/0xff table 100", "from ::/0 fwmark 2 table 100"}; !slices.Equal(c.IPRules, want) {
		t.Errorf("%q", c.IPRules)
	}
	if rules, err := c.FIB().Build().Query("-6 rule"); err != nil || rules[1] != "32765:\tfrom all fwmark 0x2 lookup 100" {
		t.Errorf("%q %v", rules, err)
	}
	if c.LogPath() != filepath.Join(dir, "moat.log") {
		t.Error(c.LogPath())
	}
}

func TestPrintLoadsAgainToTheSame(t *testing.T) {
	t.Parallel()
	c, err := Parse("f.yaml", []byte(base+"routes: [default via 192.168.42.2]\nrules: {v4: \"*filter\\nCOMMIT\\n\"}\nicmp_translation: off\nlog: {target: file, path: x.log}\n"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	first, err := c.Print()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse("f.yaml", first, c.Dir)
	if err != nil {
		t.Fatalf("%v\n%s", err, first)
	}
	second, err := again.Print()
	if err != nil || string(first) != string(second) {
		t.Errorf("%v\n%s\nthen\n%s", err, first, second)
	}
	for _, want := range []string{"mtu: 1500", "tun: wan", "conntrack: always", "rx_checksum_offload: true", "target: file"} {
		if !strings.Contains(string(first), want) {
			t.Errorf("%q is missing in\n%s", want, first)
		}
	}
}

// TestCourseLoads: every example of configs/ loads, and opens with a question and a picture.
func TestCourseLoads(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no examples", err)
	}
	for _, f := range files {
		if _, err := Load(f); err != nil {
			t.Error(err)
		}
		text, _ := os.ReadFile(f)
		head, _, _ := strings.Cut(string(text), "\ninterfaces:")
		first, _, _ := strings.Cut(head, "\n")
		if !strings.HasPrefix(first, "# ") || !strings.HasSuffix(first, "?") {
			t.Errorf("%s does not open with a question: %q", f, first)
		}
		if !strings.Contains(head, "──") {
			t.Errorf("%s has no picture", f)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(base))
	f.Add([]byte("interfaces: [{name: a, addresses: [10.0.0.1/8]}]\nroutes: [default via 10.0.0.2]\nip_rules: [not from 10.0.0.0/8 iif a lookup 5]\nsysctls: [a=b]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f.yaml", data, "/nonexistent")
		if err != nil {
			return
		}
		out, err := c.Print()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse("f.yaml", out, "/nonexistent"); err != nil {
			t.Fatalf("the normal form does not load: %v\n%s", err, out)
		}
	})
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestNATStandsForARule(t *testing.T) {
	t.Parallel()
	const wan = "interfaces: [{name: lan, addresses: [10.0.0.1/24]}, {name: wan, addresses: [192.0.2.1/24]}]\n"
	for _, tt := range []struct{ text, want string }{
		{wan, ""},
		{wan + "nat: restricted on lan\n", "*nat\n-A POSTROUTING -o lan -j MASQUERADE --mapping endpoint-independent --filtering address-dependent\nCOMMIT\n"},
		{wan + "routes: [default via 192.0.2.254]\nnat: cgnat\n",
			"*nat\n-A POSTROUTING -o wan -j MASQUERADE --mapping endpoint-independent --filtering endpoint-independent --port-assignment random\nCOMMIT\n"},
	} {
		c, err := Parse("f.yaml", []byte(tt.text), ".")
		if err != nil || c.NATRules != tt.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", tt.text, err, c.NATRules, tt.want)
		}
	}
}
