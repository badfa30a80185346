package bench

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/moat-router/moat/stack/netns/netnstest"
)

var (
	rounds = flag.Int("bench.rounds", 1, "rounds; every contender runs once in each")
	secs   = flag.Float64("bench.secs", 0.1, "seconds that each load runs")
	cpus   = flag.String("bench.cpus", "all", "one: everything on one processor, so that figures mean cost; all")
	only   = flag.String("bench.only", "", "contenders, comma separated; all that can run")
	outDir = flag.String("bench.out", "", "directory for performance-CPUS.md and performance-CPUS.svg")
)

// roleEnv tells a copy of this test what to be instead.
const roleEnv = "MOAT_BENCH_ROLE"

func TestMain(m *testing.M) {
	role := strings.Fields(os.Getenv(roleEnv))
	if len(role) == 0 {
		os.Exit(m.Run())
	}
	os.Unsetenv(roleEnv)
	if err := act(role); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func act(role []string) error {
	switch role[0] {
	case "serve":
		return serve()
	case "moat":
		return runMoat(role[1], role[2])
	case "splice":
		return runSplice()
	case "gvisor":
		return runGVisor()
	case "count":
		port, err := strconv.Atoi(role[1])
		if err != nil {
			return err
		}
		return countDatagrams(port)
	case "segments":
		port, err := strconv.Atoi(role[2])
		if err != nil {
			return err
		}
		return sendSegments(role[1], port)
	case "send":
		port, err := strconv.Atoi(role[2])
		if err != nil {
			return err
		}
		rate, err := strconv.Atoi(role[3])
		if err != nil {
			return err
		}
		d, err := time.ParseDuration(role[4])
		if err != nil {
			return err
		}
		n, err := sendDatagrams(role[1], port, rate, d)
		if err == nil {
			fmt.Println(n)
		}
		return err
	case "load":
		i, err := strconv.Atoi(role[1])
		if err != nil {
			return err
		}
		d, err := time.ParseDuration(role[3])
		if err != nil {
			return err
		}
		v, err := load(i, role[2], d)
		if err == nil {
			fmt.Println(v)
		}
		return err
	}
	return fmt.Errorf("no role %q", role)
}

// needNetworks skips where they cannot be made, and pins what is to run on one processor.
func needNetworks(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds networks and loads them: left out of short runs")
	}
	netnstest.Need(t)
	for _, program := range []string{"sh", "ip"} { // they make the networks
		if _, err := exec.LookPath(program); err != nil {
			netnstest.Skip(t, "%s is not installed here", program)
		}
	}
	if *cpus == "one" {
		pin(t)
	}
}

// chosen are the contenders that can run here and were asked for.
func chosen() []contender {
	all := contenders()
	if *only != "" {
		names := strings.Split(*only, ",")
		all = slices.DeleteFunc(all, func(c contender) bool { return !slices.Contains(names, c.name) })
	}
	return all
}

// inTurn is their order in a round.
func inTurn(all []contender, round int) []contender {
	order := slices.Clone(all)
	if round%2 == 1 {
		slices.Reverse(order)
	}
	return order
}

func title() string {
	return map[string]string{"one": "everything on one CPU", "all": fmt.Sprintf("%d CPUs", runtime.NumCPU())}[*cpus]
}

// TestSideBySide is the comparison. It fails only on errors: how fast a machine is, is no claim.
func TestSideBySide(t *testing.T) {
	needNetworks(t)
	all := chosen()
	r := Report{Title: title(), Loads: Loads}
	for _, c := range all {
		r.Contenders = append(r.Contenders, c.name)
	}
	for round := range *rounds {
		for _, c := range inTurn(all, round) {
			t.Run(fmt.Sprintf("%d/%s", round, c.name), func(t *testing.T) {
				n := up(t, c)
				for i, l := range Loads {
					v, err := n.load(i, c.target, time.Duration(*secs*float64(time.Second)))
					if err != nil {
						t.Fatalf("%s: %v\n%s", l.Name, err, n.said())
					}
					r.Add(c.name, l, v)
				}
			})
		}
	}
	t.Logf("medians of %d rounds (ratio to %s)\n%s", *rounds, r.Contenders[0], r.Table())
	if *outDir == "" || t.Failed() {
		return
	}
	for name, text := range map[string]string{"performance-" + *cpus + ".md": r.Table(), "performance-" + *cpus + ".svg": r.Chart()} {
		if err := os.WriteFile(filepath.Join(*outDir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// pin keeps this process, and all that it starts, on the last processor that it may use.
func pin(t *testing.T) {
	t.Helper()
	var may unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		t.Fatal(err)
	}
	last := -1
	for i := range 1024 {
		if may.IsSet(i) {
			last = i
		}
	}
	var one unix.CPUSet
	one.Set(last)
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks { // processes are started from any thread of this one
		id, _ := strconv.Atoi(task.Name())
		if err := unix.SchedSetaffinity(id, &one); err != nil {
			t.Fatal(err)
		}
	}
}
