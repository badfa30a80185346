package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/moat-router/moat/stack/netns/netnstest"
)

// labWords is the command line of a test's second process; labUser says as whom it runs.
const (
	labWords = "MOAT_TEST_LAB"
	labUser  = "MOAT_TEST_LAB_USER"
)

const nobody = 65534

// wordEnd stands between the words of labWords.
const wordEnd = "\x1f"

// TestLabProcess is not a test but the second process of those below.
func TestLabProcess(t *testing.T) {
	words := os.Getenv(labWords)
	if words == "" {
		t.Skip("this is the second process of other tests")
	}
	if tun := os.Getenv(labUser); tun != "" {
		fmt.Fprintln(os.Stderr, becomeNobody(tun))
		os.Exit(1)
	}
	os.Exit(run(strings.Split(words, wordEnd), os.Stdin, os.Stdout, os.Stderr))
}

// becomeNobody is in a mount namespace of its own. It opens /dev/net/tun to all there, or closes it, and goes on without
// privilege. It returns only on failure.
func becomeNobody(tun string) error {
	runtime.LockOSThread()
	mode := uint32(0o600)
	if tun == "tun" {
		mode = 0o666
	}
	// A tmpfs of this namespace alone is laid over /mnt for a moment, so nothing has to be removed.
	steps := []func() error{
		func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return unix.Mount("none", "/mnt", "tmpfs", 0, "mode=755") },
		func() error { return unix.Mknod("/mnt/tun", unix.S_IFCHR|mode, int(unix.Mkdev(10, 200))) },
		func() error { return os.Chmod("/mnt/tun", os.FileMode(mode)) },
		func() error { return unix.Mount("/mnt/tun", "/dev/net/tun", "", unix.MS_BIND, "") },
		func() error { return unix.Unmount("/mnt", unix.MNT_DETACH) },
		func() error { return syscall.Setgroups(nil) },
		func() error { return syscall.Setgid(nobody) },
		func() error { return syscall.Setuid(nobody) },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return unix.Exec("/proc/self/exe", os.Args, slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, labUser+"=") }))
}

// labProcess prepares "moat lab WORDS" as "root", as nobody who may open /dev/net/tun ("tun") or as one who may not
// ("nothing").
func labProcess(t *testing.T, as string, words ...string) (cmd *exec.Cmd, out, errs *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(self, "-test.run=^TestLabProcess$")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), labWords + "=lab" + wordEnd + strings.Join(words, wordEnd)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if as != "root" {
		cmd.Env = append(cmd.Env, labUser+"="+as)
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
	}
	out, errs = new(bytes.Buffer), new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, errs
	return cmd, out, errs
}

func TestLabRunsForEverybody(t *testing.T) {
	netnstest.Need(t)
	for _, tt := range []struct{ as, mode, why string }{
		{"root", "kernel", "in network namespaces of their own"},
		{"tun", "kernel", "in a user and network namespace of their own"},
		{"nothing", "virtual", "since /dev/net/tun may not be opened by this user"},
	} {
		t.Run(tt.as, func(t *testing.T) {
			cmd, out, errs := labProcess(t, tt.as, "--json")
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v\n%s%s", err, out, errs)
			}
			if !strings.Contains(errs.String(), tt.why) || strings.Count(errs.String(), "\n") != 1 {
				t.Errorf("it says %q, want one line with %q", errs, tt.why)
			}
			var names []string
			for line := range strings.Lines(out.String()) {
				var r struct {
					Story, Mode string
					Cases       []struct {
						Name string
						Leak bool
					}
				}
				if err := json.Unmarshal([]byte(line), &r); err != nil {
					t.Fatalf("%v: %s", err, line)
				}
				names = append(names, r.Story)
				if r.Mode != tt.mode || len(r.Cases) != 6 {
					t.Errorf("%s: mode %s with %d cases", r.Story, r.Mode, len(r.Cases))
				}
			}
			if strings.Join(names, " ") != "icmp-leak fragments" {
				t.Errorf("stories: %v", names)
			}
			nobodyLeft(t, cmd.Process.Pid)
		})
	}
}

// nobodyLeft waits until the process group is empty.
func nobodyLeft(t *testing.T, group int) {
	t.Helper()
	for range 200 {
		if err := syscall.Kill(-group, 0); errors.Is(err, syscall.ESRCH) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("processes of group %d are left", group)
}

func TestKeptLabEndsWellAtCtrlC(t *testing.T) {
	netnstest.Need(t)
	for _, as := range []string{"root", "tun", "nothing"} {
		cmd, _, errs := labProcess(t, as, "--story", "icmp-leak", "--keep")
		cmd.Stdout = nil
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ready := false
		for lines := bufio.NewScanner(pipe); !ready && lines.Scan(); {
			ready = strings.Contains(lines.Text(), "Ctrl-C ends it")
		}
		syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) // as a terminal does it
		if err := cmd.Wait(); err != nil || !ready {
			t.Errorf("%s: ready %v, %v %s", as, ready, err, errs)
		}
		nobodyLeft(t, cmd.Process.Pid)
	}
}

func TestProcessesRunInsideOfHosts(t *testing.T) {
	netnstest.Need(t)
	for _, program := range []string{"cat", "false"} {
		if _, err := exec.LookPath(program); err != nil {
			netnstest.Skip(t, "%s is not installed here", program)
		}
	}
	const file = "../../configs/labs/02-masquerade.yaml"
	for _, as := range []string{"root", "tun"} {
		cmd, out, errs := labProcess(t, as, file, "exec", "laptop", "--", "cat", "/proc/self/net/dev")
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s: %v\n%s%s", as, err, out, errs)
		}
		if s := out.String(); !strings.Contains(s, "eth0:") || strings.Count(s, "\n") > 4+10 {
			t.Errorf("%s: devices:\n%s", as, s)
		}
		cmd, _, errs = labProcess(t, as, file, "exec", "laptop", "--", "false")
		if err := cmd.Run(); cmd.ProcessState.ExitCode() != 1 {
			t.Errorf("%s: false: %v %s", as, err, errs)
		}
	}
}
