package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/moat-router/moat/router/control"
	"github.com/moat-router/moat/stack/netns/netnstest"
)

// emptyRoot names the directory that the test's second process makes its root. It holds a copy of the binary.
const emptyRoot = "MOAT_TEST_EMPTY_ROOT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(emptyRoot); dir != "" {
		fmt.Fprintln(os.Stderr, enterEmptyRoot(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

const containerConfig = `
interfaces:
  - name: wan
    addresses: [192.0.2.1/24]
    peer: {addresses: [192.0.2.2/24]}
  - name: lan
    addresses: ["10.0.0.1/24", "fd00::1/64"]
control: /moat.sock
`

// enterEmptyRoot turns this process, which is alone in new mount and network namespaces, into "moat run" whose root holds
// the binary, its configuration and /dev/net/tun, with CAP_NET_ADMIN alone. It returns only on failure.
func enterEmptyRoot(dir string) error {
	runtime.LockOSThread()
	root := filepath.Join(dir, "root")
	steps := []func() error{
		func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return unix.Mount("none", root, "tmpfs", 0, "mode=755") },
		func() error { return os.MkdirAll(filepath.Join(root, "dev/net"), 0o755) },
		func() error { return os.WriteFile(filepath.Join(root, "dev/net/tun"), nil, 0o600) },
		func() error {
			return unix.Mount("/dev/net/tun", filepath.Join(root, "dev/net/tun"), "", unix.MS_BIND, "")
		},
		func() error { return os.WriteFile(filepath.Join(root, "moat.yaml"), []byte(containerConfig), 0o600) },
		func() error {
			b, err := os.ReadFile(filepath.Join(dir, "moat"))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(root, "moat"), b, 0o755)
		},
		func() error { return unix.Chroot(root) },
		func() error { return unix.Chdir("/") },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	for c := uintptr(0); unix.Prctl(unix.PR_CAPBSET_READ, c, 0, 0, 0) == nil; c++ {
		if c == unix.CAP_NET_ADMIN {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	return unix.Exec("/moat", []string{"moat", "run", "-c", "/moat.yaml"}, nil)
}

func TestTheStaticBinaryRunsAloneInItsRootWithNetAdminOnly(t *testing.T) {
	netnstest.Need(t)
	dir := t.TempDir()
	build := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(dir, "moat"), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.Mkdir(filepath.Join(dir, "root"), 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = []string{emptyRoot + "=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	if !lines.Scan() || !strings.Contains(lines.Text(), "2 interfaces are up") {
		cmd.Process.Kill()
		t.Fatalf("moat says %q (%v)", lines.Text(), cmd.Wait())
	}

	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil || !strings.Contains(string(status), "CapEff:\t0000000000001000\n") {
		t.Errorf("more than CAP_NET_ADMIN: %v\n%s", err, status)
	}
	var out, errs bytes.Buffer
	socket := fmt.Sprintf("/proc/%d/root/moat.sock", cmd.Process.Pid)
	code, err := control.Call(ctx, socket, &control.Request{Do: "link"}, &out, &errs)
	if err != nil || code != 0 || !strings.Contains(out.String(), "192.0.2.1/24") || !strings.Contains(out.String(), "fd00::1/64") {
		t.Errorf("link: %v, exit %d, %s%s", err, code, &out, &errs)
	}

	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		t.Errorf("at the end moat says %q", lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
}
