package difftest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/moat-router/moat/integration/scenario"
)

// Result is how one random scenario went.
type Result struct {
	N        int
	Scenario *scenario.Scenario
	Diffs    []scenario.Diff
	// Skipped says why this scenario decides nothing: the reference refused it, or does not do it twice in the same way.
	Skipped string
	// Deviation names the entry of Deviations that explains Diffs, if there is one.
	Deviation string
	// Err is an implementation that crashed, hung, refused what the reference takes, or answered nonsense.
	Err error
}

// Failed tells whether ours differs and nobody said that it may.
func (r *Result) Failed() bool {
	return r.Skipped == "" && r.Deviation == "" && (r.Err != nil || len(r.Diffs) > 0)
}

// String is a report for people.
func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", r.Scenario.Why)
	if r.Err != nil {
		fmt.Fprintf(&b, "  %v\n", r.Err)
	}
	last := -2
	for _, d := range r.Diffs {
		if d.Step >= 0 && d.Step != last {
			last = d.Step
			st := &r.Scenario.Steps[d.Step]
			fmt.Fprintf(&b, "  step %d > %s %s %s\n", d.Step, st.Op, st.If, strings.Join(st.Pkt, "\n      "))
		}
		fmt.Fprintf(&b, "    %v\n", d)
	}
	return b.String()
}

// reruns is how many more times the reference plays what ours plays differently, to see whether it agrees with itself.
const reruns = 3

// Check generates scenario n of a source on the reference and plays it on ours.
func Check(ref, ours scenario.Player, src Source, n int) *Result {
	s, run, err := src.Generate(ref, n)
	for range reruns {
		if !slow(ref) {
			break
		}
		s, run, err = src.Generate(ref, n)
	}
	r := &Result{N: n, Scenario: s}
	if err != nil {
		r.Skipped = "the reference: " + err.Error()
		if refused, ok := err.(*scenario.Refused); ok && refused.Op == "scenario" {
			r.refused(ours)
		}
		return r
	}
	if slow(ref) {
		r.Skipped = tooSlow
		return r
	}
	r.judge(ref, ours, run)
	return r
}

// refused lets ours build the router that the reference refused to build. It should refuse as well.
func (r *Result) refused(ours scenario.Player) {
	s := r.Scenario
	_, err := start(ours, s)
	var too *scenario.Refused
	switch {
	case err == nil:
		ours.Ask(&scenario.Request{Op: "end"})
		r.Err = errors.New("built, though " + r.Skipped)
	case !errors.As(err, &too):
		r.Err = err
	default:
		return
	}
	r.Skipped = ""
}

const tooSlow = "the machine is too slow at the moment"

// slow tells whether the reference needed so much time beside what it was told to sleep that its timers show it.
func slow(ref scenario.Player) bool {
	k, ok := ref.(interface{ Lost() time.Duration })
	return ok && k.Lost() > time.Second
}

// Again plays a scenario that exists on both.
func Again(ref, ours scenario.Player, s *scenario.Scenario) *Result {
	r := &Result{Scenario: s}
	s.Expected, s.Recorded = nil, nil
	run, err := scenario.Play(ref, s)
	if err != nil {
		r.Skipped = "the reference: " + err.Error()
		return r
	}
	if slow(ref) {
		r.Skipped = tooSlow
		return r
	}
	r.judge(ref, ours, run)
	return r
}

// judge compares ours with a run of the reference. Only where they differ the reference plays again: fields in which it
// differs from itself do not count, and if they cannot be named the scenario does not.
func (r *Result) judge(ref, ours scenario.Player, run *scenario.Run) {
	s := r.Scenario
	runs := []*scenario.Run{run}
	Record(s, runs...)
	got, err := scenario.Play(ours, s)
	if r.Err = err; err != nil {
		return
	}
	if ambiguous(run.Vars, got.Vars) {
		r.Skipped = "two random choices were the same"
		return
	}
	for r.Diffs = scenario.Compare(s, got, 0); len(r.Diffs) > 0 && len(runs) <= reruns; r.Diffs = scenario.Compare(s, got, 0) {
		again, err := scenario.Play(ref, s)
		if err != nil {
			r.Skipped = "the reference, played again: " + err.Error()
			return
		}
		runs = append(runs, again)
		if problems := Record(s, runs...); len(problems) > 0 {
			r.Skipped = "the reference does not agree with itself: " + problems[0]
			return
		}
	}
	for _, ms := range drifts {
		if len(r.Diffs) == 0 {
			break
		}
		got, err := scenario.Play(drifting{ours, ms}, s)
		if err == nil && len(scenario.Compare(s, got, 0)) == 0 {
			r.Skipped = "a matter of milliseconds"
			return
		}
	}
	for _, d := range Deviations {
		if len(r.Diffs) > 0 && d.Explains != nil && d.Explains(s, r.Diffs) {
			r.Deviation = d.Name
			return
		}
	}
}

// ambiguous tells whether two names stand for one value here and for two there: then nobody can say which of them is
// meant where it occurs.
func ambiguous(a, b map[string]uint64) bool {
	for x := range a {
		for y := range a {
			if (a[x] == a[y]) != (b[x] == b[y]) {
				return true
			}
		}
	}
	return false
}

// Save writes the scenario with the reference's answers to DIR/name.json, ready to be replayed.
func (r *Result) Save(dir string) (string, error) {
	b, err := json.MarshalIndent(r.Scenario, "", " ")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, r.Scenario.Name+".json")
	return file, errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(file, append(b, '\n'), 0o644))
}
