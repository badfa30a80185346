//go:build !linux

package lab

import (
	"os/exec"

	"github.com/moat-router/moat/integration/lab/topology"
	"github.com/moat-router/moat/integration/lab/wire"
	"github.com/moat-router/moat/stack/netns"
)

func (l *Lab) newKernelHost(*topology.Host) (machine, []*wire.Port, error) {
	return nil, nil, netns.ErrUnsupported
}

// EndProcesses ends what runs inside of kernel hosts, of which there are none here.
func (l *Lab) EndProcesses() error { return nil }

// Start starts a process inside a kernel host.
func (h *Host) Start(*exec.Cmd) error { return netns.ErrUnsupported }

// Enter is the command by which another terminal gets into a kernel host; "" for a virtual one.
func (h *Host) Enter() string { return "" }
