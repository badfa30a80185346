//go:build linux

package difftest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moat-router/moat/integration/scenario"
)

var (
	count   = flag.Int("difftest.n", 0, "how many random scenarios (default: 500 where MOAT_REQUIRE=kernel, else 40)")
	seed    = flag.Uint64("difftest.seed", 1, "of the random scenarios")
	only    = flag.Int("difftest.only", -1, "this scenario of the seed alone")
	avoid   = flag.String("difftest.avoid", "", "leave out rules and packets that match this expression")
	pairs   = flag.Int("difftest.j", 8, "how many at a time")
	impl    = flag.String("difftest.impl", "", "command that speaks lockstep (default: the router of this tree)")
	outDir  = flag.String("difftest.out", filepath.Join(os.TempDir(), "moat-difftest"), "where failing scenarios are written")
	files   = flag.String("difftest.files", "", "play these scenario files (or a directory of them) on the kernel and on moat, instead of random ones")
	failMax = flag.Int("difftest.failures", 10, "stop after so many failures")
	budget  = flag.Int("difftest.shrink", 150, "scenarios to play for making one failure small; 0: do not")
)

// serving makes this test binary answer lockstep requests with a moat router instead of running tests.
const serving = "MOAT_DIFFTEST_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(serving) != "" {
		if err := scenario.Serve(os.Stdin, os.Stdout, scenario.NewMachine(1)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// moat is the router under test in a process of its own, so that a crash is a finding and not the end.
func moat(t *testing.T) scenario.Player {
	args := strings.Fields(*impl)
	if *impl == "" {
		args = []string{"env", serving + "=1", os.Args[0]}
	}
	p := scenario.NewProcess(0, args...)
	t.Cleanup(func() { p.Close() })
	return p
}

// scenarios is how many of them a test plays: as many as were asked for, else few, or with a kernel many.
func scenarios(many int) int {
	switch {
	case *count > 0:
		return *count
	case os.Getenv("MOAT_REQUIRE") == "kernel":
		return many
	}
	return min(many, 40)
}

// run checks n scenarios with several pairs of players at a time.
func run(t *testing.T, n int, src Source, second func() scenario.Player) {
	src.Seed = *seed
	if *avoid != "" {
		src.Avoid = regexp.MustCompile(*avoid)
	}
	first := 0
	if *only >= 0 {
		first, n = *only, 1
	}
	var next, failed, skipped atomic.Int64
	why := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	began := time.Now()
	for range min(*pairs, n) {
		var ref scenario.Player = kernel(t)
		ours := second()
		if src.Offload {
			ref, ours = Quoteless{ref}, Quoteless{ours}
		}
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || int(failed.Load()) >= *failMax {
					return
				}
				r := Check(ref, ours, src, first+i)
				switch {
				case r.Skipped != "":
					skipped.Add(1)
					mu.Lock()
					why[short(r.Skipped)]++
					mu.Unlock()
					if *only >= 0 {
						t.Log(r.Skipped)
					}
				case r.Deviation != "":
					mu.Lock()
					why["deviates: "+r.Deviation]++
					mu.Unlock()
				case r.Failed():
					failed.Add(1)
					if *budget > 0 {
						r = Shrink(ref, ours, r, *budget)
					}
					file, err := r.Save(*outDir)
					t.Errorf("%v  kept in %s %v", r, file, err)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d scenarios in %v, %d without a decision", min(int(next.Load()), n), time.Since(began).Round(time.Millisecond), skipped.Load())
	for w, n := range why {
		t.Logf("%5d %s", n, w)
	}
	if (int(skipped.Load())-why[tooSlow])*4 > n && n >= 40 {
		t.Errorf("more than a quarter of the scenarios decide nothing")
	}
}

// short is the first line of a reason, for counting.
func short(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s[:min(len(s), 150)]
}

func TestDifferential(t *testing.T) {
	run(t, scenarios(500), Source{}, func() scenario.Player { return moat(t) })
}

// FTP, IRC, TFTP and Amanda between ends that answer what they see.
func TestHelpersReadAlongAsLinux(t *testing.T) {
	run(t, scenarios(100), Source{Helpers: true}, func() scenario.Player { return moat(t) })
}

// What the kernel does twice in the same way must compare equal, or masks and names are wrong.
func TestKernelAgreesWithItself(t *testing.T) {
	run(t, scenarios(40), Source{}, func() scenario.Player { return kernel(t) })
}

// Senders that leave segmentation and checksums to their devices, through links that take super-segments and links that
// do not: rules, conntrack and logs count what those of Linux count, and what leaves is cut where Linux cuts it.
func TestSuperSegmentsCrossAsThroughLinux(t *testing.T) {
	run(t, scenarios(300), Source{Offload: true}, func() scenario.Player { return moat(t) })
}

// Scenarios of one's own, and those that were kept: what the kernel does with them today is written to -difftest.out.
func TestFilesBesideTheKernel(t *testing.T) {
	if *files == "" {
		t.Skip("no -difftest.files")
	}
	list, err := scenario.Load(*files)
	if err != nil {
		t.Fatal(err)
	}
	ref, ours := kernel(t), moat(t)
	for _, s := range list {
		r := Again(ref, ours, s)
		if r.Skipped != "" {
			t.Logf("%s: %s", s.Name, r.Skipped)
		}
		if file, err := r.Save(*outDir); r.Failed() || err != nil {
			t.Errorf("%s: %v  kept in %s %v", s.Name, r, file, err)
		}
	}
}
