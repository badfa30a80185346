package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLabTestsATopology(t *testing.T) {
	t.Parallel()
	report := filepath.Join(t.TempDir(), "junit.xml")
	code, out, errs := moat("", "lab", "../../configs/labs/02-masquerade.yaml", "test", "--junit", report)
	if code != 0 || !strings.HasPrefix(out, "TAP version 13\n1..6\nok 1 - laptop: ping server\n") || strings.Contains(out, "not ok") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if b, err := os.ReadFile(report); err != nil || !strings.Contains(string(b), `tests="6" failures="0"`) {
		t.Errorf("%v\n%s", err, b)
	}

	wrong := filepath.Join(t.TempDir(), "wrong.yaml")
	text := "networks: [{name: w}]\nhosts: [{name: a, network: w, addresses: [10.0.0.1/24]}]\nchecks: [{from: a, ping: 10.0.0.2}]\n"
	if err := os.WriteFile(wrong, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, _ = moat("", "lab", wrong, "test")
	if code != 1 || !strings.Contains(out, "not ok 1 - a: ping 10.0.0.2\n") || !strings.Contains(out, "wrong.yaml:3") {
		t.Errorf("exit %d\n%s", code, out)
	}
}

func TestLabMistakesExitTwo(t *testing.T) {
	t.Parallel()
	const file = "../../configs/labs/01-two-hosts.yaml"
	for _, tt := range []struct{ words, want string }{
		{"--story ike", `no story "ike"`},
		{"--hosts docker", "virtual, kernel or auto"},
		{"--shell Z", `there is no host "Z": hosts are outside, X, Y`},
		{"--shell fw", "fw is a router, and programs run in hosts"},
		{"--shell fw --with X=true", "fw is a router"},
		{"nowhere.yaml", "nowhere.yaml: no such file"},
		{file + " check", "want test, or exec"},
		{file + " exec", "exec: in which host? Say exec HOST -- COMMAND; hosts are alice, bob"},
		{file + " exec alice", "exec alice: run what? Say exec alice -- COMMAND"},
		{file + " exec alice ls -l", `stands behind "--"`},
		{file + " exec alcie -- ls", file + `:12: there is no host "alcie"; did you mean alice? hosts are alice, bob`},
		{file + " exec carol -- ls", file + `:12: there is no host "carol": hosts are alice, bob`},
		{file + " exec alice -- no-such-program", `host alice: exec: "no-such-program": executable file not found in $PATH: hosts have the programs of this machine`},
		{file + " --hosts virtual exec alice -- ls", file + ":12: host alice is virtual, as --hosts virtual has it, and no program can run in it: leave that out, or say --hosts kernel"},
		{file + " --hosts virtual --with alice=ls", "host alice is virtual"},
		{file + " --with carol=ls", `there is no host "carol"`},
		{file + " --with ls", `--with "ls": want HOST=COMMAND`},
		{"--with X=ls", "--with is for moat lab with a file, or with --shell"},
		{"../../configs/labs/02-masquerade.yaml exec gw -- ls", `:14: gw is a router, and programs run in hosts; inside of one "moat conntrack -L --control gw" looks into it; hosts are laptop, phone, server`},
		{file + " --json", "without a file"},
		{"--shell X --hosts virtual", "host X is virtual"},
	} {
		code, out, errs := moat("", append([]string{"lab"}, strings.Fields(tt.words)...)...)
		if code != 2 || !strings.Contains(errs, tt.want) || strings.Count(errs, "\n") != 1 || out != "" {
			t.Errorf("%s: exit %d, %q %q; want 2 and %q", tt.words, code, out, errs, tt.want)
		}
	}
}

func TestLabMistakesInTheFileExitTwoWithTheirLine(t *testing.T) {
	t.Parallel()
	const file = `networks: [{name: w}]
routers:
  - name: r
    interfaces: [{name: w, addresses: [10.0.0.1/24]}]
hosts:
  - {name: a, network: w, addresses: [10.0.0.2/24], routes: [default via 10.0.0.1], listen: [{proto: udp, port: 7}]}
checks:
  - {from: a, ping: 10.0.0.1}
`
	for _, tt := range []struct{ old, new, want string }{
		{"from: a", "from: b", `wrong.yaml:8: check 1: from: there is no host "b"`},
		{"from: a, ", "", "wrong.yaml:8: check 1: ping: from which host?"},
		{"ping: 10.0.0.1", "name: x", "wrong.yaml:8: check 1: a check needs one of ping,"},
		{"{from: a, ping: 10.0.0.1}", "ip: {router: r, run: rout add}", "wrong.yaml:8: ip at r: "},
		{"10.0.0.2/24", "10.0.0.1/24", "wrong.yaml:6: host a: address 10.0.0.1: router r has it on network w"},
		{"via 10.0.0.1", "via 10.0.0.9", "wrong.yaml:6: host a: gateway 10.0.0.9 is no neighbour's address: there is 10.0.0.1"},
		{"default via 10.0.0.1", "default", `wrong.yaml:6: host a: route "default" leads nowhere`},
		{"port: 7", "port: 7, service: ftp", `wrong.yaml:6: host a: listen: "ftp" is no service`},
		{"10.0.0.1/24]}]", "10.0.0.1/24]}]\n    sysctls: [net.ipv4.nonsense=1]", "wrong.yaml:3: router r: there is no sysctl"},
		{"10.0.0.1/24]}]", "10.0.0.1/24]}]\n    routes: [10.1.0.0/24 dev x]", "wrong.yaml:3: router r: route"},
		{"10.0.0.1/24]}]", "10.0.0.1/24]}]\n    rules: {v4: \"*nat\\n-A POSTROUTING -j MASQUERAD\\nCOMMIT\\n\"}", `did you mean "MASQUERADE"?`},
	} {
		wrong := filepath.Join(t.TempDir(), "wrong.yaml")
		text := strings.Replace(file, tt.old, tt.new, 1)
		if text == file {
			t.Fatalf("%q is not in the file", tt.old)
		}
		if err := os.WriteFile(wrong, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errs := moat("", "lab", wrong, "test", "--hosts", "virtual")
		if code != 2 || !strings.Contains(errs, tt.want) || out != "" {
			t.Errorf("%s: exit %d, %q %q; want 2 and %q", tt.new, code, out, errs, tt.want)
		}
	}
}
