package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/moat-router/moat/integration/lab"
	"github.com/moat-router/moat/integration/lab/topology"
	"github.com/moat-router/moat/router/sysctl"
)

// program is what runs in a kernel host.
type program struct {
	host  string
	words []string
	shell bool // for somebody at a terminal
}

// grace is how long a program that was sent a signal may take to end before it is killed.
const grace = 2 * time.Second

// programs finds out, before anything is built, whether the programs of a job can run; every error is the caller's.
func (f *labFlags) programs(j *labJob) error {
	for _, w := range f.with {
		name, text, ok := strings.Cut(w, "=")
		if !ok || name == "" || text == "" {
			return fmt.Errorf("--with %q: want HOST=COMMAND", w)
		}
		if j.topology == nil {
			return errors.New("--with is for moat lab with a file, or with --shell")
		}
		j.with = append(j.with, program{host: name, words: []string{"/bin/sh", "-c", text}})
	}
	all := j.with
	if j.program != nil {
		all = append(all, *j.program)
	}
	for i := range all {
		if err := all[i].verify(j.topology, j.want); err != nil {
			return err
		}
		j.want = lab.Kernel
	}
	return nil
}

// verify tells why a program cannot run where it should.
func (p *program) verify(t *topology.Topology, want lab.Mode) error {
	h := t.Host(p.host)
	switch r := t.Router(p.host); {
	case h == nil && r != nil:
		return &topology.Mistake{Position: r.Position, Err: fmt.Errorf("%s is a router, and programs run in hosts; inside of one %q looks into it; %s",
			p.host, "moat conntrack -L --control "+p.host, hostsOf(t))}
	case h == nil:
		return noHost(t, p.host)
	case h.Kind == string(lab.Virtual):
		return &topology.Mistake{Position: h.Position, Err: fmt.Errorf("host %s is said to be virtual (kind), and no process can run in it", p.host)}
	case want == lab.Virtual:
		return &topology.Mistake{Position: h.Position, Err: fmt.Errorf("host %s is virtual, as --hosts virtual has it, and no program can run in it: leave that out, or say --hosts kernel", p.host)}
	}
	if _, err := exec.LookPath(p.words[0]); err != nil {
		return fmt.Errorf("host %s: %w: hosts have the programs of this machine, install it here", p.host, err)
	}
	return nil
}

// hostsOf lists the hosts of a topology for people.
func hostsOf(t *topology.Topology) string {
	var names []string
	for i := range t.Hosts {
		names = append(names, t.Hosts[i].Name)
	}
	if len(names) == 0 {
		return "it has no hosts"
	}
	return "hosts are " + strings.Join(names, ", ")
}

// noHost says that there is no host of a name, and which one may be meant; its place is that one's, or where hosts begin.
func noHost(t *topology.Topology, name string) error {
	m := &topology.Mistake{Err: fmt.Errorf("there is no host %q: %s", name, hostsOf(t))}
	best := len(name)/2 + 1
	for i := range t.Hosts {
		h := &t.Hosts[i]
		if m.Position == "" {
			m.Position = h.Position
		}
		if d := sysctl.Distance(name, h.Name); d < best {
			best = d
			m.Position, m.Err = h.Position, fmt.Errorf("there is no host %q; did you mean %s? %s", name, h.Name, hostsOf(t))
		}
	}
	return m
}

// endSignals are those that end a lab, but for any that this process was started to ignore (nohup).
func endSignals() chan os.Signal {
	ends := make(chan os.Signal, 1)
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(ends, s)
		}
	}
	return ends
}

// command makes a program ready to start in its host.
func (p *program) command(sockets *labSockets) *exec.Cmd {
	cmd := exec.Command(p.words[0], p.words[1:]...)
	cmd.Env = append(os.Environ(), sockets.env()...)
	if p.shell { // a bash's start-up files set the prompt that hosts have
		cmd.Env = append(cmd.Env, "PROMPT_COMMAND=PS1=\"$MOAT_HOST# \"; unset PROMPT_COMMAND")
	}
	cmd.WaitDelay = grace // for output that its children hold open
	return cmd
}

// beside starts a program whose end does not matter, but is told unless it comes with the lab's.
func (c *command) beside(l *lab.Lab, p program, sockets *labSockets, over <-chan struct{}) error {
	cmd := p.command(sockets)
	cmd.Stdout, cmd.Stderr = c.stderr, c.stderr
	if err := l.Host(p.host).Start(cmd); err != nil {
		return err
	}
	go func() {
		err := cmd.Wait()
		select {
		case <-over:
		default:
			if err != nil {
				fmt.Fprintf(c.stderr, "moat lab: %s: %s: %v\n", p.host, p.words[len(p.words)-1], err)
			}
		}
	}()
	return nil
}

// inHost runs a program in a host, connected to this terminal. Its exit code is ours, and signals that should end us end
// it.
func (c *command) inHost(l *lab.Lab, p *program, sockets *labSockets, ends <-chan os.Signal) error {
	cmd := p.command(sockets)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.stdin, c.stdout, c.stderr
	if err := l.Host(p.host).Start(cmd); err != nil {
		return err
	}
	over := make(chan error, 1)
	go func() { over <- cmd.Wait() }()
	var kill <-chan time.Time
	for {
		select {
		case s := <-ends:
			if s == os.Interrupt && atTerminal() {
				continue // which has sent it to the program, too
			}
			cmd.Process.Signal(s)
			if kill == nil {
				kill = time.After(grace)
			}
		case <-kill:
			cmd.Process.Kill()
		case err := <-over:
			return codeOf(err)
		}
	}
}

// codeOf is a program's exit code as ours: as shells have it, 128 and the number of the signal that ended it.
func codeOf(err error) error {
	var e *exec.ExitError
	if !errors.As(err, &e) {
		return err
	}
	if s, ok := e.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return exit(128 + int(s.Signal()))
	}
	return exit(max(e.ExitCode(), 1))
}
