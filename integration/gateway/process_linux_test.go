package gateway

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a moat that runs.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	done chan struct{}

	mu   sync.Mutex
	text strings.Builder
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

// said is everything that it has printed.
func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// start starts moat in the machine's namespace. It is killed when the test ends, if it still runs.
func (w *world) start(args ...string) *process {
	w.t.Helper()
	p := &process{t: w.t, cmd: exec.Command(moatBinary(w.t), args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.Env = append(os.Environ(), "GORACE=halt_on_error=0")
	p.cmd.Dir = w.dir
	p.begin(func() error { return w.machine.Start(p.cmd) })
	return p
}

func (p *process) begin(start func() error) {
	p.t.Helper()
	if err := start(); err != nil {
		p.t.Fatal(err)
	}
	go func() { p.cmd.Wait(); close(p.done) }()
	p.t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
		if s := p.said(); strings.Contains(s, "panic:") || strings.Contains(s, "fatal error:") || strings.Contains(s, "DATA RACE") {
			p.t.Errorf("moat said:\n%s", s)
		}
	})
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// wait gives the exit code, -1 if a signal was its end.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.cmd.Process.Signal(syscall.SIGQUIT) // its goroutines, for whoever reads this
		<-p.done
		p.t.Fatalf("moat did not end within %v:\n%s", patience, p.said())
	}
	return p.cmd.ProcessState.ExitCode()
}

// waitFor waits until moat has said s.
func (p *process) waitFor(s string) {
	p.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		said := p.said()
		switch {
		case strings.Contains(said, s):
			return
		case p.ended():
			p.t.Fatalf("moat ended with exit code %d and said:\n%s", p.wait(), said)
		case time.Now().After(end):
			p.t.Fatalf("waited %v for moat to say %q; it said:\n%s", patience, s, said)
		}
	}
}
