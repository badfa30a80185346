package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/moat-router/moat/stack/netns"
)

// inside marks the environment of a child that lives in namespaces of its own already.
const inside = "MOAT_LAB_NAMESPACE"

// Decision is what the hosts of a lab will be made of, and why.
type Decision struct {
	Mode Mode
	Why  string // a sentence for people
	// Child is set where kernel hosts need a process in namespaces of its own: this program once more, not yet started.
	Child *exec.Cmd
}

// Decide finds out what this machine allows. want is a mode, or "" for the best there is. args are those of the program,
// for a Child.
func Decide(want Mode, args []string) (Decision, error) {
	if want == Virtual {
		return Decision{Mode: Virtual, Why: "in-process gVisor hosts on virtual time, as asked for"}, nil
	}
	devices := "TUN devices"
	way, err := netns.FindWay()
	if way == netns.Nowhere && want == Kernel { // slower, but there is no file in the way
		devices = "pairs of Ethernet devices"
		way, err = netns.FindNamespaces()
	}
	switch {
	case way == netns.Here && os.Getenv(inside) != "":
		return Decision{Mode: Kernel, Why: "kernel hosts on " + devices + ", in a user and network namespace of their own"}, nil
	case way == netns.Here:
		return Decision{Mode: Kernel, Why: "kernel hosts on " + devices + ", in network namespaces of their own"}, nil
	case way == netns.InUserNamespace && os.Getenv(inside) == "":
		child := netns.Reexec(args...)
		child.Env = append(os.Environ(), inside+"=1")
		child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
		child.SysProcAttr.Pdeathsig = unix.SIGKILL
		return Decision{Mode: Kernel, Child: child}, nil
	case way == netns.InUserNamespace:
		err = fmt.Errorf("the user namespace grants nothing: %w", netns.Explain(err))
	}
	return fallBack(want, err)
}

// fallBack is virtual, unless the kernel was asked for.
func fallBack(want Mode, why error) (Decision, error) {
	if want == Kernel {
		return Decision{}, fmt.Errorf("kernel hosts: %w", why)
	}
	return Decision{Mode: Virtual, Why: "in-process gVisor hosts on virtual time, since " + why.Error()}, nil
}

// Run runs the Child to its end and gives its exit code. Signals are passed on, and it dies with this process. If the
// kernel refuses namespaces, started is false, and d is what to do instead.
func (d *Decision) Run(want Mode) (code int, started bool, err error) {
	runtime.LockOSThread() // Pdeathsig is that of the thread
	defer runtime.UnlockOSThread()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer signal.Stop(signals)
	if err := d.Child.Start(); err != nil {
		*d, err = fallBack(want, netns.Explain(err))
		return 0, false, err
	}
	over := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-signals:
				d.Child.Process.Signal(s)
			case <-over:
				return
			}
		}
	}()
	err = d.Child.Wait()
	close(over)
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0, true, err
	}
	if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return 128 + int(s.Signal()), true, nil
	}
	return exit.ExitCode(), true, nil
}
