package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/moat-router/moat/integration/scenario"
	"github.com/moat-router/moat/stack/packet"
)

type replayFlags struct {
	lockstep, verbose, quiet bool
	only, skip               string
	seed                     uint64
	jobs                     int
}

func (c *command) replay() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use: "replay {FILE|DIRECTORY... | --lockstep}", Short: "Play recorded scenarios on virtual time, without a network",
		Long: `Plays scenario files: a small router, packets that arrive, and what a Linux kernel did with them. What differs is
printed, "-" for the kernel and "+" for moat, and the exit code is 1. A scenario without a recording is played and
shown. No time passes and no device is opened.

With --lockstep moat answers a harness instead: one JSON request on a line of standard input, one answer on a line of
standard output (integration/scenario describes the protocol).`,
		Example: `  moat replay integration/testdata/scenarios
  moat replay -v integration/testdata/scenarios/A10-dnat-reject-X.json
  moat replay --only '^D1' --no timers,counters integration/testdata/scenarios
  some-harness --implementation "moat replay --lockstep"`,
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case f.lockstep && len(args) > 0:
				return caller(errors.New("--lockstep reads requests from standard input: it takes no files"))
			case f.lockstep:
				m := scenario.NewMachine(f.seed)
				defer m.Close()
				return scenario.Serve(c.stdin, c.stdout, m)
			case len(args) == 0:
				return caller(errors.New("which scenarios? Name files or directories (integration/testdata/scenarios), or say --lockstep"))
			}
			return c.replayFiles(args, &f)
		},
	}
	cmd.Flags().BoolVar(&f.lockstep, "lockstep", false, "answer a harness on standard input and output")
	cmd.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "show every packet")
	cmd.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "show only what differs")
	cmd.Flags().StringVar(&f.only, "only", "", "only scenarios whose name matches this regular `expression`")
	cmd.Flags().StringVar(&f.skip, "no", "", "do not compare these `kinds`: out,ct,timers,expect,events,log,counters")
	cmd.Flags().Uint64Var(&f.seed, "seed", 1, "`number` that random choices follow from; 0 is another one each time")
	cmd.Flags().IntVarP(&f.jobs, "jobs", "j", 1, "`number` of scenarios to play side by side")
	return cmd
}

func (c *command) replayFiles(paths []string, f *replayFlags) error {
	skip, err := scenario.ParseKinds(f.skip)
	if err != nil {
		return caller(err)
	}
	only, err := regexp.Compile(f.only)
	if err != nil {
		return caller(fmt.Errorf("--only: %w", err))
	}
	all, err := scenario.Load(paths...)
	if err != nil {
		return caller(err)
	}
	var list []*scenario.Scenario
	for _, s := range all {
		if only.MatchString(s.Name) {
			list = append(list, s)
		}
	}
	if len(list) == 0 {
		return caller(fmt.Errorf("no scenario matches %q", f.only))
	}
	results := make([]chan result, len(list))
	for i := range results {
		results[i] = make(chan result, 1)
	}
	next := make(chan int)
	var wg sync.WaitGroup
	for range max(f.jobs, 1) {
		wg.Go(func() {
			for i := range next {
				results[i] <- playOne(list[i], f, skip)
			}
		})
	}
	go func() {
		for i := range list {
			next <- i
		}
		close(next)
	}()
	failed := 0
	for i := range list {
		r := <-results[i]
		if !r.ok {
			failed++
		}
		if !r.ok || !f.quiet {
			io.WriteString(c.stdout, r.text)
		}
	}
	wg.Wait()
	fmt.Fprintf(c.stdout, "%d passed, %d failed\n", len(list)-failed, failed)
	if failed > 0 {
		return exit(exitFailed)
	}
	return nil
}

type result struct {
	ok   bool
	text string
}

// playOne plays a scenario on a router of its own.
func playOne(s *scenario.Scenario, f *replayFlags, skip scenario.Kinds) result {
	m := scenario.NewMachine(f.seed)
	defer m.Close()
	run, err := scenario.Play(m, s)
	var diffs []scenario.Diff
	recorded := s.Expected != nil
	if err == nil && recorded {
		diffs = scenario.Compare(s, run, skip)
	}
	ok := err == nil && len(diffs) == 0
	b := new(strings.Builder)
	switch {
	case !ok:
		fmt.Fprintf(b, "FAIL %s", s.Name)
		if s.Why != "" {
			fmt.Fprintf(b, "  (%s)", s.Why)
		}
		b.WriteByte('\n')
	case recorded:
		fmt.Fprintf(b, "ok   %s\n", s.Name)
	default:
		fmt.Fprintf(b, "     %s (nothing recorded to compare with)\n", s.Name)
	}
	if f.verbose || !recorded {
		transcript(b, s, run)
	}
	if err != nil {
		fmt.Fprintf(b, "    %v\n", err)
	}
	last := -1
	for _, d := range diffs {
		if d.Step >= 0 && d.Step != last && !f.verbose && d.Step < len(run.Steps) {
			showStep(b, s, run, d.Step)
			last = d.Step
		}
		fmt.Fprintf(b, "    %s\n", strings.ReplaceAll(d.String(), "\n", "\n  "))
	}
	return result{ok, b.String()}
}

func transcript(b *strings.Builder, s *scenario.Scenario, run *scenario.Run) {
	for i, o := range run.Steps {
		showStep(b, s, run, i)
		for _, p := range o.Out {
			fmt.Fprintf(b, "        < %s: %s\n", p.If, packet.Text(p.Data))
		}
	}
}

// showStep prints what came in.
func showStep(b *strings.Builder, s *scenario.Scenario, run *scenario.Run, i int) {
	st := &s.Steps[i]
	if st.Op != "inject" {
		fmt.Fprintf(b, "  %3d > %s", i, st.Op)
		for _, w := range []string{st.Cmd, st.Proto, st.Addr} {
			if w != "" {
				fmt.Fprintf(b, " %s", w)
			}
		}
		if st.MS > 0 {
			fmt.Fprintf(b, " %d ms", st.MS)
		}
		b.WriteByte('\n')
	}
	for _, p := range run.Steps[i].Sent {
		fmt.Fprintf(b, "  %3d > %s: %s\n", i, st.If, packet.Text(p))
	}
}
