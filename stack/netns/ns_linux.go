package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const ownNS = "/proc/thread-self/ns/net"

// NS is a network namespace that this process holds open.
type NS struct {
	f       *os.File
	name    string
	created string // path that Close unmounts and removes
}

// Current is the namespace of the calling thread.
func Current() (*NS, error) {
	f, err := own()
	if err != nil {
		return nil, fmt.Errorf("namespace current: %w", err)
	}
	return &NS{f: f, name: "current"}, nil
}

// New makes an anonymous namespace with lo up. It lives as long as somebody holds it: this NS, a process or a thread.
func New() (*NS, error) {
	var f *os.File
	err := onThread(-1, func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return Explain(err)
		}
		f, err = os.Open(ownNS)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	n := &NS{f: f, name: "anonymous"}
	if err := n.loUp(); err != nil {
		f.Close()
		return nil, err
	}
	return n, nil
}

// Open opens a namespace that exists: pid:N, a path (with a slash), or a name under Dir.
func Open(ref string) (*NS, error) {
	switch {
	case strings.HasPrefix(ref, "pid:"):
		pid, err := strconv.ParseUint(ref[4:], 10, 31)
		if err != nil {
			return nil, fmt.Errorf("namespace %q: %q is no process id", ref, ref[4:])
		}
		return openPath(fmt.Sprintf("/proc/%d/ns/net", pid), ref)
	case strings.Contains(ref, "/"):
		return openPath(ref, ref)
	case ref == "", ref == ".", ref == "..":
		return nil, fmt.Errorf("namespace %q: want a name, a path or pid:N", ref)
	}
	return openPath(filepath.Join(Dir, ref), ref)
}

func openPath(path, name string) (*NS, error) {
	f, err := os.Open(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("namespace %s: %w (%s)", name, ErrNotExist, path)
	case err != nil:
		return nil, fmt.Errorf("namespace %s: %w", name, err)
	}
	kind, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_NSTYPE)
	if err != nil || kind != unix.CLONE_NEWNET {
		f.Close()
		return nil, fmt.Errorf("namespace %s: %s is not a network namespace", name, path)
	}
	return &NS{f: f, name: name}, nil
}

// Create makes a namespace with a name, as ip netns add, with lo up. Close removes it.
func Create(name string) (n *NS, err error) {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/:") {
		return nil, fmt.Errorf("namespace %q: not a name that ip netns could use", name)
	}
	if err := mountDir(); err != nil {
		return nil, fmt.Errorf("namespace %s: %w", name, Explain(err))
	}
	path := filepath.Join(Dir, name)
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("namespace %s: %w", name, ErrExists)
	}
	if err != nil {
		return nil, fmt.Errorf("namespace %s: %w", name, err)
	}
	f.Close()
	defer func() {
		if err != nil {
			unix.Unmount(path, unix.MNT_DETACH)
			os.Remove(path)
			n, err = nil, fmt.Errorf("namespace %s: %w", name, err)
		}
	}()
	err = onThread(-1, func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return Explain(err)
		}
		return unix.Mount(ownNS, path, "", unix.MS_BIND, "")
	})
	if err != nil {
		return nil, err
	}
	if n, err = openPath(path, name); err != nil {
		return nil, err
	}
	n.created = path
	if err = n.loUp(); err != nil {
		n.f.Close()
	}
	return n, err
}

// mountDir prepares Dir as ip netns does: a shared mount point, so that names made in one mount namespace are seen
// and removed in the others.
func mountDir() error {
	if err := os.MkdirAll(Dir, 0o755); err != nil {
		return err
	}
	err := unix.Mount("", Dir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if errors.Is(err, unix.EINVAL) { // not a mount point yet
		if err = unix.Mount(Dir, Dir, "none", unix.MS_BIND|unix.MS_REC, ""); err == nil {
			err = unix.Mount("", Dir, "none", unix.MS_SHARED|unix.MS_REC, "")
		}
	}
	return err
}

// OpenOrCreate opens what Open opens, and creates a name that does not exist.
func OpenOrCreate(ref string) (*NS, error) {
	n, err := Open(ref)
	if errors.Is(err, ErrNotExist) && !strings.ContainsAny(ref, "/:") {
		return Create(ref)
	}
	return n, err
}

// Name is what the namespace was opened as, for people.
func (n *NS) Name() string { return n.name }

// Fd is the descriptor, valid until Close.
func (n *NS) Fd() int { return int(n.f.Fd()) }

// Path is a path by which this process, and a child that outlives nothing, can open the namespace.
func (n *NS) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.Fd()) }

// Created tells whether this NS made the name and Close removes it.
func (n *NS) Created() bool { return n.created != "" }

// Release lets go of the namespace but leaves its name: from now on it ends when others end it, with every device in
// it. Only Close may follow.
func (n *NS) Release() error { return n.f.Close() }

// Close lets go of the namespace and removes the name if Create made it and nobody else has removed it. Processes in it
// keep it alive.
func (n *NS) Close() error {
	err := n.f.Close()
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	if n.created == "" {
		return err
	}
	if e := unix.Unmount(n.created, unix.MNT_DETACH); e != nil && !errors.Is(e, unix.EINVAL) && !errors.Is(e, unix.ENOENT) {
		err = errors.Join(err, fmt.Errorf("namespace %s: unmount %s: %w", n.name, n.created, e))
	}
	if e := os.Remove(n.created); e != nil && !errors.Is(e, os.ErrNotExist) {
		err = errors.Join(err, fmt.Errorf("namespace %s: %w", n.name, e))
	}
	n.created = ""
	return err
}

// Do runs f on a thread that is in the namespace: sockets that f opens, and processes that it starts, belong there.
func (n *NS) Do(f func() error) error { return onThread(n.Fd(), f) }

// onThread runs f on a locked thread, in namespace fd unless that is negative, and brings the thread back home. A
// thread that cannot be brought back stays locked and dies with its goroutine.
func onThread(fd int, f func() error) error {
	done := make(chan error, 1)
	go func() {
		err := errors.New("the function ended its goroutine")
		defer func() { done <- err }() // also for runtime.Goexit, which testing.T.FailNow calls
		runtime.LockOSThread()
		home, e := os.Open(ownNS)
		if e != nil {
			err = e
			return
		}
		defer func() {
			if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
				runtime.UnlockOSThread()
			}
			home.Close()
		}()
		if fd >= 0 {
			if e := unix.Setns(fd, unix.CLONE_NEWNET); e != nil {
				err = fmt.Errorf("enter the network namespace: %w", e)
				return
			}
		}
		err = f()
	}()
	return <-done
}

func (n *NS) loUp() error {
	return n.netlink(func(h *netlink.Handle) error {
		lo, err := h.LinkByName("lo")
		if err != nil {
			return err
		}
		return h.LinkSetUp(lo)
	})
}
