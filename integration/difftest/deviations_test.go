package difftest

import (
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write docs/deviations.md")

func TestDeviationsPageIsCurrent(t *testing.T) {
	t.Parallel()
	const path = "../../docs/deviations.md"
	want := Markdown()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/deviations.md is not what deviations.go says: run go test ./integration/difftest -run TestDeviationsPage -update")
	}
}

func TestEveryDeviationIsToldApartOrNotMet(t *testing.T) {
	t.Parallel()
	for _, d := range Deviations {
		if (d.Explains == nil) == (d.Unmet == "") {
			t.Errorf("%s: it must have either Explains or Unmet", d.Name)
		}
	}
}
