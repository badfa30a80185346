package difftest

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/moat-router/moat/integration/scenario"
)

// What a random scenario has shown once, made small, with what the kernel did then and why. Needs no kernel. Those that
// open.txt names are known differences that still exist: they skip with the reason.
func TestFoundDifferencesStayMended(t *testing.T) {
	t.Parallel()
	list, err := scenario.Load("testdata/found")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/found/open.txt")
	if err != nil {
		t.Fatal(err)
	}
	open := strings.Fields(string(text))
	for _, s := range list {
		t.Run(s.Name, func(t *testing.T) {
			m := scenario.NewMachine(1)
			defer m.Close()
			run, err := scenario.Play(m, s)
			if err != nil {
				t.Fatal(err)
			}
			diffs := scenario.Compare(s, run, 0)
			switch known := slices.Contains(open, s.Name); {
			case known && len(diffs) > 0:
				t.Skipf("known difference: %s\n%v", s.Why, diffs[0])
			case known:
				t.Logf("agrees with the kernel now: take it off open.txt")
			}
			for _, d := range diffs {
				t.Errorf("%v\n%s", d, s.Why)
			}
		})
	}
}
