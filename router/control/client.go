package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
)

// Request is what a client sends: one JSON line.
type Request struct {
	Do   string   `json:"do"` // conntrack, rules, route, link, metrics, version
	Args []string `json:"args,omitempty"`
	In   string   `json:"in,omitempty"` // what the command would read: rules restore
	Name string   `json:"name,omitempty"`
}

// Frame is a line of the answer. Exactly one field is set.
type Frame struct {
	Out  string `json:"out,omitempty"`
	Err  string `json:"err,omitempty"`
	Exit *int   `json:"exit,omitempty"`
}

// Call asks the moat behind path ("": DefaultPath) and copies what it says. It returns the command's exit code; an error
// means that there is no answer, or only part of one.
func Call(ctx context.Context, path string, r *Request, stdout, stderr io.Writer) (int, error) {
	if path == "" {
		path = DefaultPath()
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return 1, dialError(path, err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	b, err := json.Marshal(r)
	if err != nil {
		return 1, err
	}
	if _, err := c.Write(append(b, '\n')); err != nil {
		return 1, fmt.Errorf("%s: %w", path, err)
	}
	return copyFrames(ctx, bufio.NewReaderSize(c, 1<<16), path, stdout, stderr)
}

func copyFrames(ctx context.Context, r *bufio.Reader, path string, stdout, stderr io.Writer) (int, error) {
	for {
		line, err := r.ReadBytes('\n')
		if ctx.Err() != nil {
			return 0, nil // the user has seen enough
		}
		if err != nil {
			return 1, fmt.Errorf("%s: moat ended in the middle of its answer", path)
		}
		var f Frame
		if err := json.Unmarshal(line, &f); err != nil {
			return 1, fmt.Errorf("%s: this is not a moat's control socket", path)
		}
		if _, err := io.WriteString(stdout, f.Out); err != nil {
			return 1, err
		}
		if _, err := io.WriteString(stderr, f.Err); err != nil {
			return 1, err
		}
		if f.Exit != nil {
			return *f.Exit, nil
		}
	}
}

func dialError(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no moat is running on %s: start one with \"moat run\", or name its socket with --control or MOAT_CONTROL", path)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s belongs to another user's moat: run this as that user", path)
	}
	return fmt.Errorf("%s: %w", path, err)
}
