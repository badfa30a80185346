package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// DefaultPath is where a moat listens if nobody says otherwise: /run/moat/moat.sock for root, else
// $XDG_RUNTIME_DIR/moat/moat.sock, else a directory of the user's own in the temporary directory.
func DefaultPath() string {
	return defaultPath(os.Geteuid(), os.Getenv("XDG_RUNTIME_DIR"), os.TempDir())
}

func defaultPath(uid int, runtime, temp string) string {
	switch {
	case uid == 0:
		return "/run/moat/moat.sock"
	case runtime != "":
		return filepath.Join(runtime, "moat", "moat.sock")
	}
	return filepath.Join(temp, "moat-"+strconv.Itoa(uid), "moat.sock")
}

// Listen opens the socket at path ("": DefaultPath). Its directory is created with mode 0700 if it is missing; if it is
// in the temporary directory it must belong to us and be closed to others.
func Listen(path string) (net.Listener, error) {
	if path == "" {
		path = DefaultPath()
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if path == DefaultPath() {
		if err := private(dir); err != nil {
			return nil, fmt.Errorf("control socket: %w", err)
		}
	}
	if err := vacant(path); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return bind(path)
}

// vacant tells whether path is free, or a socket whose owner has died.
func vacant(path string) error {
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case st.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s exists and is not a socket: choose another path with --control", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return nil
	}
	c.Close()
	return fmt.Errorf("a moat is already running on %s: stop it, or choose another path with --control", path)
}

// maxPath is how long the name of a socket may be (sun_path without its NUL).
const maxPath = 107

// bind makes the socket in a directory that only we can enter, sets its mode, and moves it to its name: at no moment can
// somebody else connect, and a stale socket is replaced in one step.
func bind(path string) (net.Listener, error) {
	tmp, err := os.MkdirTemp(filepath.Dir(path), ".moat-")
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	defer os.RemoveAll(tmp)
	own := filepath.Join(tmp, "s")
	if len(own) > maxPath {
		return nil, fmt.Errorf("control socket %s: the path is %d bytes too long for a socket: choose a shorter one with --control", path, len(own)-maxPath)
	}
	l, err := net.Listen("unix", own)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(own, 0o600), os.Rename(own, path)); err != nil {
		l.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	st, err := os.Lstat(path)
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return &listener{l, path, st}, nil
}

// listener removes its file on Close, if it is still its own.
type listener struct {
	net.Listener
	path string
	file fs.FileInfo
}

func (l *listener) Close() error {
	if st, err := os.Lstat(l.path); err == nil && os.SameFile(st, l.file) {
		os.Remove(l.path)
	}
	return l.Listener.Close()
}
