//go:build !linux

package lab

import (
	"os/exec"

	"github.com/moat-router/moat/stack/netns"
)

// Decision is what the hosts of a lab will be made of, and why.
type Decision struct {
	Mode  Mode
	Why   string
	Child *exec.Cmd // never set on this system
}

// Decide chooses virtual hosts: the others are a feature of Linux.
func Decide(want Mode, _ []string) (Decision, error) {
	if want == Kernel {
		return Decision{}, netns.ErrUnsupported
	}
	return Decision{Mode: Virtual, Why: "in-process gVisor hosts on virtual time"}, nil
}

// Run is not called on this system.
func (*Decision) Run(Mode) (code int, started bool, err error) { return 0, false, netns.ErrUnsupported }
