package iptables_test

import (
	"strings"
	"testing"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/iptables"
)

// Odd numbers, short addresses, abbreviations and words that exclude each other, as whole lines.
func TestRuleLinesSaveAsThoseOfIptables(t *testing.T) {
	t.Parallel()
	fam, table, chain := policy.V4, "", ""
	for line := range strings.Lines(read(t, "testdata/normal-form.txt")) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		if head, ok := strings.CutPrefix(line, "== "); ok {
			family, name, _ := strings.Cut(head, " ")
			fam, table, chain = policy.V4, name, "PREROUTING"
			if family == "v6" {
				fam = policy.V6
			}
			if table == "mangle" {
				chain = "FORWARD"
			}
			continue
		}
		rule, want, _ := strings.Cut(line, "\t")
		got := "FAIL"
		set, err := iptables.Parse(fam, "rules", []byte("*"+table+"\n-A "+chain+" "+rule+"\nCOMMIT\n"), iptables.Options{})
		if err == nil {
			_, got, _ = strings.Cut(string(iptables.Save(mustCompile(t, set, nil), fam, false)), "-A "+chain)
			got, _, _ = strings.Cut(got, "\n")
		}
		if strings.TrimSpace(got) != want {
			t.Errorf("%v %s: %s (%v)\n got %s\nwant %s", fam, table, rule, err, got, want)
		}
	}
}
