package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/moat-router/moat/integration/lab"
	"github.com/moat-router/moat/integration/lab/story"
	"github.com/moat-router/moat/integration/lab/topology"
)

type labFlags struct {
	story, pcap, shell, hosts string
	json, keep                bool
}

func (c *command) lab() *cobra.Command {
	var f labFlags
	cmd := &cobra.Command{
		Use: "lab", Short: "Try moat without root: a DMZ with hosts, and stories about it",
		Long: `Without a file, the DMZ that moat was made for: an outside host, a firewall, a server X that is published by DNAT
and a server Y that is not.

    outside ── 192.168.42.0/24 ── fw ── 192.168.1.0/24 ──┬── X  .10, published as 1.2.3.10
  198.51.100.9  .2             .1    .1                  └── Y  .20

Two stories are played in it with real sockets: icmp-leak (which addresses do ICMP errors tell?) and fragments (why
does IKE with certificates fail behind stateless rules?). What each host saw is printed in packet notation.

Hosts are network namespaces of the kernel with a TUN device each, in a user namespace of their own; where the machine
does not allow that, they are gVisor stacks in this process. Nothing is left behind.`,
		Example: `  moat lab
  moat lab --story icmp-leak --json
  moat lab --pcap /tmp/captures
  moat lab --shell outside          # then: ping 1.2.3.10, traceroute, ...`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return c.runLab(&f) },
	}
	cmd.Flags().StringVar(&f.story, "story", "", "play only the story of this `name`: icmp-leak or fragments")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object for each story")
	cmd.Flags().StringVar(&f.pcap, "pcap", "", "write captures, one pcapng for each interface, below this `directory`")
	cmd.Flags().StringVar(&f.shell, "shell", "", "instead of stories, a shell inside this `host` (kernel hosts)")
	cmd.Flags().BoolVar(&f.keep, "keep", false, "when the stories are told, keep the network until Ctrl-C")
	cmd.Flags().StringVar(&f.hosts, "hosts", "auto", "what hosts are: kernel, virtual or auto")
	return cmd
}

// runLab decides where the lab can be, which may be in a child of this process, and runs it.
func (c *command) runLab(f *labFlags) error {
	want, err := lab.ParseMode(f.hosts)
	if err != nil {
		return caller(fmt.Errorf("--hosts: %w", err))
	}
	stories, err := story.Find(f.story)
	if err != nil {
		return caller(err)
	}
	if f.shell != "" {
		if topology.DMZ().Host(f.shell) == nil {
			return caller(fmt.Errorf("--shell: the DMZ has no host %q: there are outside, X and Y", f.shell))
		}
		want = lab.Kernel
	}
	d, err := lab.Decide(want, os.Args[1:])
	if err != nil {
		return err
	}
	if d.Child != nil {
		code, started, err := d.Run(want)
		switch {
		case err != nil:
			return err
		case started && code != 0:
			return exit(code)
		case started:
			return nil
		}
	}
	if !f.json {
		fmt.Fprintf(c.stdout, "moat lab: %s\n\n", d.Why)
	}
	o := lab.Options{Mode: d.Mode, PCAP: f.pcap}
	if f.shell == "" {
		for _, s := range stories {
			if err := c.tell(s, o, f.json); err != nil {
				return err
			}
		}
	}
	if f.shell == "" && !f.keep {
		return nil
	}
	return c.keepLab(topology.DMZ().WithRules("fw", topology.DMZRulesV4, topology.DMZRulesV6), o, f.shell)
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

// keepLab builds a network and keeps it: until Ctrl-C, or until a shell in one of its hosts ends.
func (c *command) keepLab(t *topology.Topology, o lab.Options, shell string) error {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(interrupted)
	l, err := lab.Open(t, o)
	if err != nil {
		return err
	}
	defer l.Close()
	for _, h := range l.Hosts() {
		fmt.Fprintf(c.stdout, "%-8s %v", h.Name, h.Addrs())
		if p := h.NetNS(); p != "" && shell == "" {
			fmt.Fprintf(c.stdout, "  nsenter --net=%s", p)
		}
		fmt.Fprintln(c.stdout)
	}
	if shell == "" {
		fmt.Fprintln(c.stdout, "Ctrl-C ends it.")
		<-interrupted
		return l.Err()
	}
	name := os.Getenv("SHELL")
	if name == "" {
		name = "/bin/sh"
	}
	fmt.Fprintf(c.stdout, "%s in host %s; leave it with exit.\n", name, shell)
	return c.inHost(l.Host(shell), exec.Command(name))
}

// inHost runs a process in a host, connected to this terminal. Its exit code is ours.
func (c *command) inHost(h *lab.Host, cmd *exec.Cmd) error {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.stdin, c.stdout, c.stderr
	if err := h.Start(cmd); err != nil {
		return err
	}
	err := cmd.Wait()
	var e *exec.ExitError
	if errors.As(err, &e) {
		return exit(max(e.ExitCode(), 1))
	}
	return err
}
