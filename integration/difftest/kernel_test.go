//go:build linux

package difftest

import (
	"os"
	"testing"

	"github.com/moat-router/moat/integration/scenario"
)

// kernel gives the reference, or skips with what is missing. MOAT_REQUIRE=kernel makes that a failure.
func kernel(t testing.TB) *Kernel {
	t.Helper()
	k, err := NewKernel()
	if err != nil {
		if os.Getenv("MOAT_REQUIRE") == "kernel" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(k.Close)
	return k
}

func TestKernelReferenceAnswersAsRecorded(t *testing.T) {
	k := kernel(t)
	list, err := scenario.Load("../testdata/scenarios")
	if err != nil {
		t.Skip(err)
	}
	for _, s := range list {
		offload := false
		for _, f := range s.Interfaces {
			offload = offload || f.CsumOffload
		}
		slow := int64(0)
		for _, st := range s.Steps {
			slow += st.MS
		}
		if offload || slow > 500 {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			run, err := scenario.Play(k, s)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range scenario.Compare(s, run, 0) {
				t.Error(d)
			}
		})
	}
}
