//go:build linux

package difftest

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

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
	list, err := scenario.Load("../testdata/scenarios", "../testdata/offload")
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

// What is in testdata/offload was recorded here: -update does it again, three times each, for what differs from time to time.
func TestRecordOffloads(t *testing.T) {
	if !*update {
		t.Skip("records only with -update")
	}
	const dir = "../testdata/offload"
	k := kernel(t)
	list, err := scenario.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		s.Expected, s.Recorded = nil, nil
		var runs []*scenario.Run
		for range 3 {
			run, err := scenario.Play(k, s)
			if err != nil {
				t.Fatalf("%s: %v", s.Name, err)
			}
			runs = append(runs, run)
		}
		if problems := Record(s, runs...); len(problems) > 0 {
			t.Errorf("%s: %v", s.Name, problems)
		}
		if s.Recorded.Kernel, err = release(); err != nil {
			t.Fatal(err)
		}
		if _, err := (&Result{Scenario: s}).Save(dir); err != nil {
			t.Fatal(err)
		}
	}
}

func release() (string, error) {
	var u unix.Utsname
	err := unix.Uname(&u)
	return unix.ByteSliceToString(u.Release[:]), err
}
