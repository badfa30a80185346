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
		{"--shell Z", `no host "Z"`},
		{"nowhere.yaml", "nowhere.yaml: no such file"},
		{file + " check", "want test, or exec"},
		{file + " exec carol -- ls", `no host "carol"`},
		{file + " --json", "without a file"},
		{"--shell X --hosts virtual", "kernel host only"},
	} {
		code, out, errs := moat("", append([]string{"lab"}, strings.Fields(tt.words)...)...)
		if code != 2 || !strings.Contains(errs, tt.want) || out != "" {
			t.Errorf("%s: exit %d, %q %q; want 2 and %q", tt.words, code, out, errs, tt.want)
		}
	}
}
