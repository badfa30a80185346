package sysctl

import (
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write docs/sysctls.md")

func TestDocumentationIsCurrent(t *testing.T) {
	const path = "../../docs/sysctls.md"
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
		t.Error("docs/sysctls.md is not what the table says: run go generate ./router/sysctl")
	}
}
