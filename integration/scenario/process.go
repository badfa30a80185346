package scenario

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// Process is a Player in another program that speaks the lockstep protocol on its standard input and output. A program
// that crashes or does not answer in time is started again with the next scenario.
type Process struct {
	args    []string
	timeout time.Duration

	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan []byte // closed when the program's output ends
	tail  *tail
}

// NewProcess prepares a Player; the program starts with the first request. timeout 0 is 10 s; it grows by the
// milliseconds of a sleep.
func NewProcess(timeout time.Duration, args ...string) *Process {
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	return &Process{args: args, timeout: timeout}
}

func (p *Process) start() error {
	p.tail = &tail{}
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	p.cmd.Stderr = p.tail
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		p.cmd = nil
		return err
	}
	p.in, p.lines = in, make(chan []byte)
	go func(lines chan<- []byte) {
		defer close(lines)
		r := bufio.NewReaderSize(out, 1<<16)
		for {
			line, err := r.ReadBytes('\n')
			if err != nil {
				return
			}
			lines <- line
		}
	}(p.lines)
	return nil
}

// Ask sends one request and waits for its answer.
func (p *Process) Ask(r *Request) (*Answer, error) {
	if p.cmd == nil {
		if err := p.start(); err != nil {
			return nil, err
		}
	}
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if _, err := p.in.Write(append(b, '\n')); err != nil {
		return nil, p.broken(fmt.Sprintf("exited before %q", r.Op))
	}
	limit := time.NewTimer(p.timeout + time.Duration(r.MS)*time.Millisecond)
	defer limit.Stop()
	select {
	case line, ok := <-p.lines:
		if !ok {
			return nil, p.broken(fmt.Sprintf("exited during %q", r.Op))
		}
		a, err := decode(r.Op, line)
		if _, refused := err.(*Refused); err != nil && !refused {
			return nil, p.broken(fmt.Sprintf("answer to %q is not what the protocol says: %v: %.200q", r.Op, err, line))
		}
		return a, err
	case <-limit.C:
		return nil, p.broken(fmt.Sprintf("no answer to %q within %v", r.Op, p.timeout))
	}
}

// Close ends the program.
func (p *Process) Close() error {
	if p.cmd == nil {
		return nil
	}
	p.in.Close()
	cmd, lines := p.cmd, p.lines
	p.cmd = nil
	kill := time.AfterFunc(5*time.Second, func() { cmd.Process.Kill() })
	defer kill.Stop()
	for range lines {
	}
	return cmd.Wait()
}

func (p *Process) broken(why string) error {
	p.cmd.Process.Kill()
	status := p.Close()
	return fmt.Errorf("%s: %s (%v)%s", strings.Join(p.args, " "), why, status, p.tail.text())
}

// tail keeps the last lines of a program's standard error.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if n := len(t.buf) - 4096; n > 0 {
		t.buf = append(t.buf[:0], t.buf[n:]...)
	}
	return len(b), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var s strings.Builder
	for _, l := range bytes.Split(bytes.TrimSpace(t.buf), []byte{'\n'}) {
		if len(l) > 0 {
			fmt.Fprintf(&s, "\n| %s", l)
		}
	}
	return s.String()
}
