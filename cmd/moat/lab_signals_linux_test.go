package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/moat-router/moat/stack/netns/netnstest"
)

// mark is a variable by which a test finds every process that came from a lab of its own, wherever it went.
const mark = "MOAT_TEST_MARK"

// marked lists the processes with a mark in their environment.
func marked(t *testing.T, value string) (pids []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte(mark+"="+value+"\x00")) {
			pids = append(pids, filepath.Base(filepath.Dir(f)))
		}
	}
	return pids
}

func interfaces(t *testing.T) (names []string) {
	t.Helper()
	list, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		names = append(names, i.Name)
	}
	return names
}

// nothingLeft waits until no process of a lab is there any more, and with them their namespaces and devices, which have
// no other hold; and looks for what could be left in the file system and in this network.
func nothingLeft(t *testing.T, value, temp string, before []string) {
	t.Helper()
	var pids []string
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if pids = marked(t, value); len(pids) == 0 || time.Now().After(end) {
			break
		}
	}
	if len(pids) > 0 {
		t.Errorf("processes are left: %v", pids)
	}
	if left, _ := filepath.Glob(filepath.Join(temp, "*")); len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
	if now := interfaces(t); len(now) > len(before) {
		t.Errorf("interfaces before %v, now %v", before, now)
	}
}

// Devices and namespaces of a lab are held by its processes only, so the end of these is the end of all.
func TestSignalsAtAnyMomentLeaveNothing(t *testing.T) {
	t.Parallel()
	netnstest.Need(t)
	const file = "../../configs/labs/16-roaming.yaml" // its test takes two seconds
	background := []string{"sh", "-c", "sleep 1000 & (trap '' INT TERM HUP; sleep 1000) & sleep 1000"}
	for name, words := range map[string][]string{
		"kept":    {"--keep"},
		"file":    {file},
		"test":    {file, "test", "--hosts", "kernel"},
		"with":    {file, "test", "--hosts", "kernel", "--with", "server=" + background[2]},
		"exec":    append([]string{file, "exec", "phone", "--"}, background...),
		"shell":   {"--shell", "X"},
		"virtual": {file, "--hosts", "virtual"},
	} {
		for _, as := range []string{"root", "tun"} {
			t.Run(name+" "+as, func(t *testing.T) {
				t.Parallel()
				moments := []time.Duration{0, 10, 20, 30, 45, 60, 90, 150, 400}
				for i, after := range moments {
					sig := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}[(i+len(name)+len(as))%3]
					if !signal.Ignored(sig) {
						signalled(t, as, words, sig, after*time.Millisecond)
					}
				}
				if name == "file" || name == "test" { // who is killed cannot clean up: that devices and namespaces go is all
					for _, after := range moments[:8] {
						signalled(t, as, words, syscall.SIGKILL, after*time.Millisecond)
					}
				}
			})
		}
	}
}

// signalled starts a lab and ends it by a signal.
func signalled(t *testing.T, as string, words []string, sig syscall.Signal, after time.Duration) {
	t.Helper()
	before, temp := interfaces(t), folder(t, as)
	value := filepath.Base(temp)
	cmd, out, errs := labProcess(t, as, words...)
	cmd.Env = append(cmd.Env, mark+"="+value, "TMPDIR="+temp, "SHELL=/bin/sh")
	in, err := cmd.StdinPipe() // a shell waits for its end
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after) // the moment is the point
	cmd.Process.Signal(sig)
	over := make(chan error, 1)
	go func() { over <- cmd.Wait() }()
	select {
	case <-over:
	case <-time.After(20 * time.Second):
		cmd.Process.Signal(syscall.SIGQUIT) // its goroutines, for whoever reads this
		<-over
		t.Fatalf("%v after %v: it ran on\n%s%s", sig, after, out, errs)
	}
	if strings.Contains(errs.String(), "panic:") || strings.Contains(errs.String(), "DATA RACE") || strings.Contains(errs.String(), "moat: ") {
		t.Errorf("%v after %v: it said\n%s", sig, after, errs)
	}
	if sig == syscall.SIGKILL {
		os.RemoveAll(temp)
	}
	nothingLeft(t, value, temp, before)
	if t.Failed() {
		t.Fatalf("that was %v after %v: %v", sig, after, cmd.ProcessState)
	}
}

// terminal opens a pseudo terminal: the end of who sits at it, and the name of the other.
func terminal(t *testing.T) (keys *os.File, name string) {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		netnstest.Skip(t, "there are no pseudo terminals here: %v", err)
	}
	n, err := unix.IoctlGetInt(int(keys.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keys.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.SetNonblock(int(keys.Fd()), true)
	}
	if err != nil {
		t.Fatal(err)
	}
	return keys, fmt.Sprintf("/dev/pts/%d", n)
}

// A shell in a lab is a shell: Ctrl-C ends what runs in it, and not the shell; closing the terminal ends all.
func TestShellAtATerminal(t *testing.T) {
	t.Parallel()
	netnstest.Need(t)
	needPrograms(t, "bash")
	for _, as := range everybody {
		for _, closed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, terminal closed %v", as, closed), func(t *testing.T) {
				t.Parallel()
				before, temp := interfaces(t), folder(t, as)
				value := filepath.Base(temp)
				keys, name := terminal(t)
				defer keys.Close()
				own(t, as, name)
				tty, err := os.OpenFile(name, os.O_RDWR|syscall.O_NOCTTY, 0)
				if err != nil {
					t.Fatal(err)
				}
				cmd, _, _ := labProcess(t, as, "--shell", "X")
				cmd.Env = append(cmd.Env, mark+"="+value, "TMPDIR="+temp, "SHELL=/bin/bash", "HISTFILE=/dev/null")
				cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
				cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = false, true, true
				err = cmd.Start()
				tty.Close()
				if err != nil {
					t.Fatal(err)
				}
				seen := &screen{t: t, f: keys}
				seen.until("X#")
				io.WriteString(keys, "sh -c 'echo begin-$((1+1)); exec sleep 1000'\n") // a job in front, before it says so
				seen.until("begin-2")
				if closed {
					keys.Close()
				} else {
					io.WriteString(keys, "\x03")
					seen.until("X#")
					io.WriteString(keys, "echo still-$((2+2))\n")
					seen.until("still-4")
					io.WriteString(keys, "exit 7\n")
				}
				err = cmd.Wait()
				var e *exec.ExitError
				if !closed && (!errors.As(err, &e) || e.ExitCode() != 7) {
					t.Errorf("%v, want exit code 7; the screen showed\n%s", err, seen.text)
				}
				nothingLeft(t, value, temp, before)
			})
		}
	}
}

// screen is what a terminal has shown.
type screen struct {
	t    *testing.T
	f    *os.File
	text string
	read int
}

// until waits for text behind all that was waited for.
func (s *screen) until(want string) {
	s.t.Helper()
	b := make([]byte, 4096)
	s.f.SetReadDeadline(time.Now().Add(30 * time.Second))
	for {
		if i := strings.Index(s.text[s.read:], want); i >= 0 {
			s.read += i + len(want)
			return
		}
		n, err := s.f.Read(b)
		if s.text += string(b[:n]); err != nil {
			s.t.Fatalf("%v while waiting for %q; the screen shows\n%s", err, want, s.text)
		}
	}
}
