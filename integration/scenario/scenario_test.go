package scenario

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

const (
	recordings = "../testdata/scenarios"
	offloads   = "../testdata/offload" // the same, of senders and links with offloads
)

// load reads the recordings, or those of these directories.
func load(t *testing.T, dirs ...string) []*Scenario {
	t.Helper()
	if dirs == nil {
		dirs = []string{recordings}
	}
	list, err := Load(dirs...)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// An outside implementation of the protocol, such as a harness around a real kernel, can be measured with the same
// comparison: MOAT_LOCKSTEP="moat replay --lockstep" go test ./integration/scenario -run Outside
func TestOutsideImplementationAgreesWithRecordings(t *testing.T) {
	words := strings.Fields(os.Getenv("MOAT_LOCKSTEP"))
	if len(words) == 0 {
		t.Skip("MOAT_LOCKSTEP names no implementation of the lockstep protocol")
	}
	if _, err := exec.LookPath(words[0]); err != nil {
		t.Fatal(err)
	}
	p := NewProcess(0, words...)
	defer p.Close()
	for _, s := range load(t) {
		t.Run(s.Name, func(t *testing.T) {
			run, err := Play(p, s)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range Compare(s, run, 0) {
				t.Error(d)
			}
		})
	}
}
