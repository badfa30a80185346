package check_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moat-router/moat/integration/lab"
	"github.com/moat-router/moat/integration/lab/check"
	"github.com/moat-router/moat/integration/lab/topology"
	"github.com/moat-router/moat/stack/netns/netnstest"
)

func course(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../../configs/labs/*.yaml")
	if err != nil || len(files) < 17 {
		t.Fatalf("the course of labs is not where it was: %v %v", files, err)
	}
	return files
}

func holds(t *testing.T, file string, mode lab.Mode) []check.Outcome {
	t.Helper()
	top, err := topology.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	l, err := lab.Open(top, lab.Options{Mode: mode})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log("what the networks carried:\n" + l.Timeline())
		}
	}()
	outcomes, err := check.Run(l, top.Checks)
	if err != nil {
		t.Fatal(err)
	}
	if len(outcomes) == 0 {
		t.Error("a lab without claims teaches nothing")
	}
	for _, o := range outcomes {
		if !o.OK() {
			t.Errorf("%s: %s: %s", o.Position, o.Name, o.Why)
		}
	}
	return outcomes
}

// span is the time that a lab lets pass.
func span(t *testing.T, file string) (d time.Duration) {
	t.Helper()
	top, err := topology.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range top.Checks {
		d += time.Duration(c.Advance)
	}
	return d
}

func TestCourseHoldsWithVirtualHosts(t *testing.T) {
	t.Parallel()
	for _, file := range course(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			holds(t, file, lab.Virtual)
		})
	}
}

func TestCourseHoldsWithKernelHosts(t *testing.T) {
	t.Parallel()
	netnstest.Need(t)
	for _, file := range course(t) {
		if span(t, file) > 2*time.Second {
			continue // kernel hosts live in real time
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			holds(t, file, lab.Kernel)
		})
	}
}

func TestLabOfTheREADMEHolds(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, labs, _ := strings.Cut(string(b), "\n## Labs\n")
	_, text, _ := strings.Cut(labs, "```yaml\n")
	text, labs, ok := strings.Cut(text, "```\n")
	if !ok {
		t.Fatal("the README shows no topology")
	}
	file := filepath.Join(t.TempDir(), "home.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	outcomes := holds(t, file, lab.Virtual)
	var tap strings.Builder
	if err := check.TAP(&tap, outcomes); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(tap.String()) {
		if !strings.Contains(labs, "    "+line) {
			t.Errorf("the README does not show %s", line)
		}
	}
}
