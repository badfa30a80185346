package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/moat-router/moat/integration/lab"
	"github.com/moat-router/moat/integration/lab/check"
	"github.com/moat-router/moat/integration/lab/story"
	"github.com/moat-router/moat/integration/lab/topology"
)

type labFlags struct {
	story, pcap, shell, hosts, junit string
	with                             []string
	json, keep                       bool
}

func (c *command) lab() *cobra.Command {
	var f labFlags
	cmd := &cobra.Command{
		Use: "lab [FILE [test | exec HOST -- COMMAND...]]", Short: "Try moat without root: networks of hosts and routers, and stories about a DMZ",
		Long: `Without a file, the DMZ that moat was made for: an outside host, a firewall, a server X that is published by DNAT
and a server Y that is not.

    outside ── 192.168.42.0/24 ── fw ── 192.168.1.0/24 ──┬── X  .10, published as 1.2.3.10
  198.51.100.9  .2             .1    .1                  └── Y  .20

Two stories are played in it with real sockets: icmp-leak (which addresses do ICMP errors tell?) and fragments (why
does IKE with certificates fail behind stateless rules?). What each host saw is printed in packet notation.

With a file, the topology that it describes (configs/labs is a course): "test" holds its checks against it and reports
them as TAP, "exec" runs a program in one of its hosts, and without either it stays until Ctrl-C. --with starts a program
in another host before that, a server say; it ends with the lab.

Routers can be looked into while a lab is there: inside of exec and --shell "moat conntrack -L --control ROUTER" asks
that router (without --control the first one of the file), and a lab that stays prints the words for other terminals.

Hosts are network namespaces of the kernel with a TUN device each, in a user namespace of their own; where the machine
does not allow that, they are gVisor stacks in this process, on virtual time. "test" takes the latter anyway unless
--hosts says otherwise. Where only /dev/net/tun is closed, exec, --shell and --hosts kernel take pairs of Ethernet devices
(veth) instead. Nothing is left behind.`,
		Example: `  moat lab
  moat lab --story icmp-leak --json
  moat lab --pcap /tmp/captures
  moat lab --shell outside          # then: ping 1.2.3.10, traceroute, ...
  moat lab configs/labs/02-masquerade.yaml test
  moat lab configs/labs/02-masquerade.yaml exec laptop -- ping -c 3 203.0.113.9
  moat lab configs/labs/07-port-forward.yaml --with 'server=nc -lk 25' exec server -- nc -z 192.168.1.10 25
  moat lab configs/labs/06-two-nats.yaml exec laptop -- sh -c 'ping -c 1 198.51.100.9; moat conntrack -L --control cgn'`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return c.runLab(&f, args) },
	}
	cmd.Flags().StringVar(&f.story, "story", "", "play only the story of this `name`: icmp-leak or fragments")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object for each story")
	cmd.Flags().StringVar(&f.pcap, "pcap", "", "write captures, one pcapng for each interface, below this `directory`")
	cmd.Flags().StringVar(&f.shell, "shell", "", "instead of stories, a shell inside this `host` (kernel hosts)")
	cmd.Flags().BoolVar(&f.keep, "keep", false, "when the stories are told, keep the network until Ctrl-C")
	cmd.Flags().StringVar(&f.hosts, "hosts", "auto", "what hosts are: kernel, virtual or auto")
	cmd.Flags().StringArrayVar(&f.with, "with", nil, "`HOST=COMMAND`: with a file or --shell, run this shell command in a kernel host, until the lab ends; may be repeated")
	cmd.Flags().StringVar(&f.junit, "junit", "", "with test: write a JUnit report to this `file`, too")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return fmt.Errorf("%w (a program of exec, with its own flags, stands behind \"--\")", err)
	})
	cmd.AddCommand(c.natCheck())
	return cmd
}

// labJob is what a lab is wanted for, once the command line makes sense.
type labJob struct {
	stories  []story.Story
	topology *topology.Topology // of the network to keep, test or work in; nil: only stories
	test     bool
	program  *program  // whose end is the lab's
	with     []program // that run beside it
	want     lab.Mode
}

// job reads the command line; every error is the caller's.
func (f *labFlags) job(args []string) (j labJob, err error) {
	if j.want, err = lab.ParseMode(f.hosts); err != nil {
		return j, fmt.Errorf("--hosts: %w", err)
	}
	if len(args) == 0 {
		if j.stories, err = story.Find(f.story); err != nil {
			return j, err
		}
		if f.keep || f.shell != "" {
			j.topology = topology.DMZ().WithRules("fw", topology.DMZRulesV4, topology.DMZRulesV6)
		}
	} else {
		if f.story != "" || f.json {
			return j, errors.New("--story and --json are for moat lab without a file")
		}
		if j.topology, err = topology.Load(args[0]); err != nil {
			return j, err
		}
		switch rest := args[1:]; {
		case len(rest) == 0:
		case rest[0] == "test" && len(rest) == 1:
			if j.test = true; j.want == "" && len(f.with) == 0 {
				j.want = lab.Virtual
			}
			if len(j.topology.Checks) == 0 {
				return j, fmt.Errorf("%s has no checks: add a list \"checks:\", as in configs/labs/01-two-hosts.yaml", args[0])
			}
		case rest[0] == "exec" && len(rest) == 1:
			return j, fmt.Errorf("exec: in which host? Say exec HOST -- COMMAND; %s", hostsOf(j.topology))
		case rest[0] == "exec" && len(rest) == 2:
			return j, fmt.Errorf("exec %s: run what? Say exec %s -- COMMAND", rest[1], rest[1])
		case rest[0] == "exec":
			j.program = &program{host: rest[1], words: rest[2:]}
		default:
			return j, fmt.Errorf("%q: want test, or exec HOST -- COMMAND", strings.Join(rest, " "))
		}
	}
	if f.shell != "" {
		name := os.Getenv("SHELL")
		if name == "" {
			name = "/bin/sh"
		}
		j.stories, j.program = nil, &program{f.shell, []string{name}, true}
	}
	return j, f.programs(&j)
}

// runLab decides where the lab can be, which may be in a child of this process, and runs it.
func (c *command) runLab(f *labFlags, args []string) (err error) {
	j, err := f.job(args)
	if err != nil {
		return caller(err)
	}
	d, err := lab.Decide(j.want, os.Args[1:])
	if err != nil {
		return err
	}
	if d.Child != nil {
		code, started, err := d.Run(j.want)
		switch {
		case err != nil:
			return err
		case started && code != 0:
			return exit(code)
		case started:
			return nil
		}
	}
	// People read this first; programs that read the output are not to be bothered.
	if people := !f.json && !j.test && j.program == nil; people {
		fmt.Fprintf(c.stdout, "moat lab: %s\n\n", d.Why)
	} else {
		fmt.Fprintf(c.stderr, "moat lab: %s\n", d.Why)
	}
	o := lab.Options{Mode: d.Mode}
	if f.pcap != "" {
		if o.Captures, err = lab.NewCaptures(f.pcap); err != nil {
			return caller(err)
		}
		defer func() { err = errors.Join(err, o.Captures.Close()) }()
	}
	for _, s := range j.stories {
		if err := c.tell(s, o, f.json); err != nil {
			return err
		}
	}
	if j.topology == nil {
		return nil
	}
	return c.inLab(j, o, f.junit)
}

func (c *command) tell(s story.Story, o lab.Options, asJSON bool) error {
	r, err := s.Play(o)
	if err != nil {
		return err
	}
	if asJSON {
		e := json.NewEncoder(c.stdout)
		e.SetEscapeHTML(false)
		return e.Encode(r)
	}
	return story.Print(c.stdout, s, r)
}

// inLab builds a network and does in it what is wanted: test, run a process, or keep it until Ctrl-C.
func (c *command) inLab(j labJob, o lab.Options, junit string) (err error) {
	ends := endSignals()
	defer signal.Stop(ends)
	if o.Captures != nil {
		o.Captures.Label = j.topology.Name
	}
	if !j.test {
		o.Keep = -1 // nobody will ask what happened
	}
	l, err := lab.Open(j.topology, o)
	if err != nil {
		return written(err)
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if j.test && len(j.with) == 0 {
		signal.Stop(ends) // their default ends everything
		return c.testLab(l, junit)
	}
	sockets, err := listenInLab(l)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sockets.Close()) }()
	over := make(chan struct{})
	defer close(over)
	for _, p := range j.with {
		if err := c.beside(l, p, sockets, over); err != nil {
			return err
		}
	}
	switch {
	case j.test:
		return c.testBeside(l, junit, sockets, ends)
	case j.program != nil:
		return c.inHost(l, j.program, sockets, ends)
	}
	for _, h := range l.Hosts() {
		fmt.Fprintf(c.stdout, "%-8s %v  %s\n", h.Name, h.Addrs(), h.Enter())
	}
	for _, r := range j.topology.Routers {
		fmt.Fprintf(c.stdout, "%-8s moat conntrack -L --control %s\n", r.Name, sockets.path(r.Name))
	}
	fmt.Fprintln(c.stdout, "Ctrl-C ends it.")
	<-ends
	return l.Err()
}

// testBeside tests a lab with programs in it, which have to end with it.
func (c *command) testBeside(l *lab.Lab, junit string, sockets *labSockets, ends <-chan os.Signal) error {
	tested := make(chan error, 1)
	go func() { tested <- c.testLab(l, junit) }()
	select {
	case err := <-tested:
		return err
	case s := <-ends:
		// The checks go on, so the lab cannot be closed under them: the end of this process is that of all the rest.
		l.EndProcesses()
		sockets.Close()
		os.Exit(128 + int(s.(syscall.Signal)))
		return nil
	}
}

// written tells mistakes in the topology, which are the caller's, from what the machine refuses.
func written(err error) error {
	if m := (*topology.Mistake)(nil); errors.As(err, &m) {
		return caller(err)
	}
	return err
}

func (c *command) testLab(l *lab.Lab, junit string) error {
	outcomes, err := check.Run(l, l.Topology.Checks)
	if err != nil {
		return written(err)
	}
	if err := check.TAP(c.stdout, outcomes); err != nil {
		return err
	}
	if junit != "" {
		file, err := os.Create(junit)
		if err != nil {
			return caller(err)
		}
		defer file.Close()
		if err := check.JUnit(file, l.Topology.Name, outcomes); err != nil {
			return err
		}
	}
	for _, o := range outcomes {
		if !o.OK() {
			fmt.Fprintf(c.stderr, "moat lab: what the networks carried:\n%s", l.Timeline())
			return exit(exitFailed)
		}
	}
	return nil
}
