package scenario

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAllRecordingsLoad(t *testing.T) {
	t.Parallel()
	l := load(t)
	if len(l) < 143 {
		t.Errorf("%d scenarios, expected 143 or more", len(l))
	}
	for _, s := range l {
		if s.Why == "" {
			t.Errorf("%s does not say where it comes from", s.Name)
		}
		if s.Recorded == nil || len(s.Expected) == 0 {
			t.Errorf("%s is not recorded", s.Name)
		}
	}
}

func TestABrokenFileIsRefusedWithItsPlace(t *testing.T) {
	t.Parallel()
	tests := []struct{ claim, text, want string }{
		{"syntax", "{\n\"name\": \"x\",\n}", "line 3: invalid character"},
		{"type", "{\n\"name\": 7}", "line 2: cannot unmarshal number"},
		{"cut off", `{"name":"x"`, "line 1: unexpected end of JSON input"},
		{"something else", `{"interfaces":[{"name":"a"}]}`, "scenario 1 has no name"},
		{"no interfaces", `{"name":"x"}`, "x: no interfaces"},
		{"expectations for other steps", `{"name":"x","interfaces":[{"name":"a"}],"steps":[{"op":"sleep"}],"expected":[]}`, "x: 1 steps, but expectations for 0"},
		{"bytes missing", `{"name":"x","interfaces":[{"name":"a"}],"steps":[{"op":"inject","pkt":"ip4"}],"expected":[{}]}`, "step 0 has 1 packets, but bytes of 0"},
		{"address", `{"name":"x","interfaces":[{"name":"a","addrs":[7]}]}`, `an address is "a.b.c.d/n" or ["addr", "peer"], not 7`},
		{"sysctl", `{"name":"x","interfaces":[{"name":"a"}],"sysctls":{"a":[]}}`, "sysctl a: a value is a string or a number"},
	}
	dir := t.TempDir()
	for _, tt := range tests {
		file := filepath.Join(dir, strings.ReplaceAll(tt.claim, " ", "-")+".json")
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(file)
		if err == nil || !strings.HasPrefix(err.Error(), file+": ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.claim, err, tt.want)
		}
	}
	if _, err := Load(filepath.Join(dir, "missing")); err == nil || !strings.HasSuffix(err.Error(), "missing: no such file or directory") {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no scenario files") {
		t.Errorf("empty directory: %v", err)
	}
}

func TestSysctlsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	text := `{"z":"1","a":"2","m":"3"}`
	var s Sysctls
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	if b, err := json.Marshal(s); err != nil || string(b) != text {
		t.Errorf("%s became %s (%v)", text, b, err)
	}
}

func TestOnlyPacketsWithBoundVariablesAreBuiltAgain(t *testing.T) {
	t.Parallel()
	vars := map[string]uint64{"p": 40000}
	for _, tt := range []struct {
		text, want string
		ok         bool
	}{
		{"udp 1>2", "udp 1>2", false},
		{"udp 1>$p", "udp 1>40000", true},
		{"udp $q>$p", "udp 0>40000", false},
	} {
		if got, ok := substitute(tt.text, vars); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %s, %v", tt.text, got, ok)
		}
	}
}
