package netns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// Covered is a namespace in which some files of this machine have other contents, as ip netns exec does with what lies
// in /etc/netns: processes that are started here see them, nobody else does. Close it.
type Covered struct {
	jobs chan func()
	end  chan struct{} // closed by Close,
	over chan struct{} // and then by the thread
}

// Cover makes one; files maps absolute paths, which have to exist, to what they contain. A thread with mounts of its own
// stays until Close, and processes that have a Pdeathsig end with it.
func (n *NS) Cover(files map[string]string) (*Covered, error) {
	c := &Covered{jobs: make(chan func()), end: make(chan struct{}), over: make(chan struct{})}
	ready := make(chan error)
	go c.thread(n, files, ready)
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("namespace %s: %w", n.name, err)
	}
	return c, nil
}

// thread lives on a thread that nobody else gets, neither while it lives nor later: its goroutine ends locked to it.
func (c *Covered) thread(n *NS, files map[string]string, ready chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() {
		// The main thread outlives its goroutine, and what it sees is taken for what the process sees.
		go c.thread(n, files, ready)
		<-c.over
		runtime.UnlockOSThread()
		return
	}
	defer close(c.over)
	err := n.cover(files)
	ready <- err
	if err != nil {
		return
	}
	for {
		select {
		case f := <-c.jobs:
			f()
		case <-c.end:
			return
		}
	}
}

// cover moves the calling thread into the namespace, with mounts of its own.
func (n *NS) cover(files map[string]string) error {
	if err := unix.Setns(n.Fd(), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the network namespace: %w", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("mounts of its own: %w", Explain(err))
	}
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mounts of its own: %w", err)
	}
	for path, content := range files {
		if err := coverFile(path, content); err != nil {
			return fmt.Errorf("cover %s: %w", path, err)
		}
	}
	return nil
}

func coverFile(path, content string) error {
	f, err := os.CreateTemp("", "moat-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // the mount keeps what it has
	_, err = f.WriteString(content)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	err = unix.Mount(f.Name(), path, "", unix.MS_BIND, "")
	switch {
	case errors.Is(err, unix.ENOENT):
		return errors.New("this machine has no such file; an empty one will do")
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: mounting is not allowed here; in a container, --security-opt apparmor=unconfined may help", err)
	}
	return err
}

// Start starts a process that sees the files so.
func (c *Covered) Start(cmd *exec.Cmd) error {
	if cmd.Dir == "" {
		dir, err := os.Getwd() // the thread does not follow the process
		if err != nil {
			return err
		}
		cmd.Dir = dir
	}
	started := make(chan error, 1)
	select {
	case c.jobs <- func() { started <- cmd.Start() }:
		return <-started
	case <-c.over:
		return os.ErrClosed
	}
}

// Close ends the thread. It is called once.
func (c *Covered) Close() {
	close(c.end)
	<-c.over
}
