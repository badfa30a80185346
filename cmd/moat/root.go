package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes: what the caller wrote, and what the machine refused.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// exit is an error that has said all there is to say: only its code counts.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// callerError is a mistake in what the caller wrote.
type callerError struct{ error }

func (e callerError) ExitCode() int { return exitUsage }
func (e callerError) Unwrap() error { return e.error }

// caller makes err the caller's mistake; nil stays nil.
func caller(err error) error {
	if err == nil {
		return nil
	}
	return callerError{err}
}

// command is what all subcommands share.
type command struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	control        string // --control
	started        bool   // a command runs: what goes wrong before that is the caller's mistake
}

// run is main, for tests: it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := &command{stdin: stdin, stdout: stdout, stderr: stderr, control: os.Getenv("MOAT_CONTROL")}
	root := c.root()
	root.SetArgs(args)
	return c.code(root.Execute())
}

// code reports an error in one sentence and gives the exit code that it stands for.
func (c *command) code(err error) int {
	var done exit
	var coded interface{ ExitCode() int }
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &done):
		return int(done)
	}
	fmt.Fprintf(c.stderr, "moat: %s\n", strings.TrimSuffix(err.Error(), "\n"))
	switch {
	case errors.As(err, &coded):
		return coded.ExitCode()
	case !c.started:
		return exitUsage
	}
	return exitFailed
}

func (c *command) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "moat",
		Short: "A userspace router with netfilter's semantics",
		Long: `moat is a router in one process. TUN devices hand it IP packets; it reassembles, tracks connections, applies
iptables rules with NAT as Linux does, and sends packets on by another TUN.

Try it without root:      moat lab
Check a configuration:    moat check -c configs/03-dmz.yaml
Run it as a gateway:      moat run -c configs/03-dmz.yaml
Ask the running gateway:  moat conntrack -L;  moat rules -L -v -n

Exit codes: 0; 2 for what you wrote (arguments, configuration, rules, a file that cannot be read);
1 for what the machine refused (a name in use, /dev/net/tun, namespaces, sockets).`,
		SilenceUsage: true, SilenceErrors: true,
		Args:             cobra.NoArgs,
		RunE:             func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRun: func(*cobra.Command, []string) { c.started = true },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetIn(c.stdin)
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	root.AddCommand(c.run(), c.check(), c.lab(), c.replay(), c.conntrack(), c.rules(), c.route(), c.link(), c.metrics(), c.version())
	return root
}

func (c *command) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print moat's version", Args: cobra.NoArgs,
		Run: func(*cobra.Command, []string) { fmt.Fprintln(c.stdout, versionText()) },
	}
}

// versionText is "moat v1.2.3 (abcdef123456) go1.26": what the go command wrote into the binary.
func versionText() string {
	b, ok := debug.ReadBuildInfo()
	if !ok {
		return "moat (unknown)"
	}
	text := "moat " + b.Main.Version
	for _, s := range b.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			text += " (" + s.Value[:12] + ")"
		}
	}
	return text + " " + b.GoVersion
}

// readFile reads a file, or standard input for "-". A file that cannot be read is the caller's mistake.
func (c *command) readFile(name string) (string, error) {
	if name == "-" {
		b, err := io.ReadAll(c.stdin)
		return string(b), err
	}
	b, err := os.ReadFile(name)
	if err != nil {
		var p *fs.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return "", caller(fmt.Errorf("%s: %w", name, err))
	}
	return string(b), nil
}
