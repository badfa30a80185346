package netns_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/moat-router/moat/stack/netns"
	"github.com/moat-router/moat/stack/netns/netnstest"
	"github.com/moat-router/moat/stack/tun"
)

// The test binary plays three more parts: root about to become a user without rights, that user, and the child of Reexec.
const (
	partBecome = "netns-test-become"
	partUser   = "netns-test-user"
	partChild  = "netns-test-child"
)

func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 2 && os.Args[1] == partBecome:
		fmt.Fprintln(os.Stderr, becomeUser(os.Args[2]))
		os.Exit(1)
	case len(os.Args) > 1 && os.Args[1] == partUser:
		way, _ := netns.FindWay()
		fmt.Println("before", way)
		cmd := netns.Reexec(partChild)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Start(); err != nil {
			fmt.Println("refused:", netns.Explain(err))
			os.Exit(0)
		}
		if err := cmd.Wait(); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	case len(os.Args) > 1 && os.Args[1] == partChild:
		child()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child says what it may do, one line each.
func child() {
	fmt.Println("uid", os.Getuid())
	way, _ := netns.FindWay()
	fmt.Println("way", way)
	fmt.Println("namespaces", netns.CanAdminister())
	if err := netns.CanOpenTUN(); err != nil {
		fmt.Println("tun", err)
		return
	}
	d, err := tun.Open(tun.Options{Name: "rootless", Up: true})
	if err != nil {
		fmt.Println("tun", err)
		return
	}
	defer d.Close()
	far, err := netns.New()
	if err == nil {
		defer far.Close()
		if err = d.MoveToNamespace(far.Fd()); err == nil {
			err = far.Configure("rootless", netns.Config{Addresses: []string{"10.0.0.1/24", "fd00::1/64"}, Up: true,
				Routes: []string{"default via 10.0.0.2"}, Sysctls: []string{"net.ipv4.ip_forward=1"}})
		}
	}
	fmt.Println("tun", err)
}

// becomeUser is in a mount namespace of its own, where /dev/net/tun gets another mode (octal), and goes on as a user without
// rights. It returns only on failure.
func becomeUser(tunMode string) error {
	runtime.LockOSThread()
	mode, err := strconv.ParseUint(tunMode, 8, 12)
	if err != nil {
		return err
	}
	const user = 65534
	// A tmpfs of this namespace alone is laid over /mnt for a moment, so nothing has to be removed.
	for i, step := range []func() error{
		func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return unix.Mount("none", "/mnt", "tmpfs", 0, "mode=755") },
		func() error { return unix.Mknod("/mnt/tun", unix.S_IFCHR|uint32(mode), int(unix.Mkdev(10, 200))) },
		func() error { return os.Chmod("/mnt/tun", os.FileMode(mode)) },
		func() error { return unix.Mount("/mnt/tun", "/dev/net/tun", "", unix.MS_BIND, "") },
		func() error { return unix.Unmount("/mnt", unix.MNT_DETACH) },
		func() error { return syscall.Setgroups(nil) },
		func() error { return syscall.Setgid(user) },
		func() error { return syscall.Setuid(user) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return unix.Exec("/proc/self/exe", []string{os.Args[0], partUser}, nil)
}

// asUser runs this binary as a user without rights, to whom /dev/net/tun has this mode, and gives its lines by their first
// word.
func asUser(t *testing.T, tunMode string) map[string]string {
	t.Helper()
	if os.Getuid() != 0 {
		netnstest.Skip(t, "only root can become another user")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, partBecome, tunMode)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := map[string]string{}
	for l := range strings.Lines(string(out)) {
		first, rest, _ := strings.Cut(strings.TrimSpace(l), " ")
		lines[strings.TrimSuffix(first, ":")] = rest
	}
	if why, ok := lines["refused"]; ok {
		netnstest.Skip(t, "this machine refuses user namespaces: %s", why)
	}
	return lines
}

func TestUserMayDoEverythingWhereTheDeviceIsOpenToAll(t *testing.T) {
	netnstest.Need(t)
	got := asUser(t, "666")
	for k, want := range map[string]string{"before": "in a user namespace", "uid": "0", "way": "here", "namespaces": "<nil>", "tun": "<nil>"} {
		if got[k] != want {
			t.Errorf("%s: %q, want %q", k, got[k], want)
		}
	}
}

func TestUserLearnsThatTheDeviceIsClosed(t *testing.T) {
	netnstest.Need(t)
	got := asUser(t, "600")
	if got["namespaces"] != "<nil>" {
		t.Errorf("namespaces: %q, want none refused", got["namespaces"])
	}
	if got["before"] != "nowhere" || got["way"] != "nowhere" {
		t.Errorf("ways: %q before, %q after; want nowhere", got["before"], got["way"])
	}
	if !strings.Contains(got["tun"], "permission denied") || !strings.Contains(got["tun"], "chmod") {
		t.Errorf("tun: %q, want permission denied and what to do", got["tun"])
	}
}

func TestNamedNamespaceIsMadeAndRemoved(t *testing.T) {
	netnstest.Need(t)
	name := fmt.Sprintf("moat-test-%d", os.Getpid())
	path := filepath.Join(netns.Dir, name)
	n, err := netns.OpenOrCreate(name)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if !n.Created() {
		t.Error("a new name does not count as created")
	}
	if _, err := netns.Create(name); !errors.Is(err, netns.ErrExists) {
		t.Errorf("the name again: %v, want ErrExists", err)
	}
	again, err := netns.OpenOrCreate(name)
	if err != nil || again.Created() {
		t.Fatalf("open by name: created %v, %v", again.Created(), err)
	}
	if inode(t, n) != inode(t, again) {
		t.Error("the name leads to another namespace")
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("closing what was only opened removed it: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestCloseAcceptsThatTheNameIsGone(t *testing.T) {
	netnstest.Need(t)
	n, err := netns.Create(fmt.Sprintf("moat-gone-%d", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(netns.Dir, n.Name())
	if err := errors.Join(n.Release(), unix.Unmount(path, unix.MNT_DETACH), os.Remove(path)); err != nil { // as ip netns del does
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

func inode(t *testing.T, n *netns.NS) (ino uint64) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(n.Fd(), &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func TestOpenByPathAndPid(t *testing.T) {
	t.Parallel()
	n := netnstest.New(t)
	byPath, err := netns.Open(n.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer byPath.Close()
	if inode(t, n) != inode(t, byPath) {
		t.Error("Path leads to another namespace")
	}
	cmd := exec.Command("sleep", "60")
	if err := n.Start(cmd); err != nil {
		t.Skipf("no sleep program: %v", err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	byPid, err := netns.Open(fmt.Sprintf("pid:%d", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	defer byPid.Close()
	if inode(t, n) != inode(t, byPid) {
		t.Error("a process that was started inside is elsewhere")
	}
}

func TestOpenRefusals(t *testing.T) {
	t.Parallel()
	for _, ref := range []string{"", "..", "pid:x", "pid:-1", "/etc/passwd", "/proc/self/ns/mnt", "/nowhere/at/all", "no-such-namespace"} {
		if n, err := netns.Open(ref); err == nil {
			n.Close()
			t.Errorf("%q was opened", ref)
		}
	}
	for _, name := range []string{"", "a/b", "..", "pid:1"} {
		if n, err := netns.Create(name); err == nil {
			n.Close()
			t.Errorf("%q was created", name)
		}
	}
	if _, err := netns.Open("no-such-namespace"); !errors.Is(err, netns.ErrNotExist) {
		t.Errorf("%v, want ErrNotExist", err)
	}
}

func TestDoComesBack(t *testing.T) {
	t.Parallel()
	n := netnstest.New(t)
	home, err := netns.Current()
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	for range 50 {
		netnstest.In(t, n, func() error {
			here, err := netns.Current()
			if err != nil {
				return err
			}
			defer here.Close()
			if inode(t, here) != inode(t, n) {
				t.Error("Do ran elsewhere")
			}
			return nil
		})
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	here, err := netns.Current()
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	if inode(t, here) != inode(t, home) {
		t.Error("a thread stayed behind")
	}
}

func TestConfigureFurnishesAnInterface(t *testing.T) {
	t.Parallel()
	n := netnstest.New(t)
	netnstest.In(t, n, func() error {
		d, err := tun.Open(tun.Options{Name: "d0"})
		if err == nil {
			t.Cleanup(func() { d.Close() })
		}
		return err
	})
	err := n.Configure("d0", netns.Config{
		MTU: 1400, Up: true,
		Addresses: []string{"192.168.42.2/24", "fd00::2/64", "10.9.9.1 peer 10.9.9.2/32"},
		Routes: []string{"default via 192.168.42.1", "default via fd00::1", "10.5.0.0/16 via 192.168.42.7 metric 5 mtu 1300",
			"10.6.0.1", "unreachable 10.7.0.0/16", "fd05::/16 dev d0", "1.2.3.0/24 via 172.16.0.1 onlink src 192.168.42.2"},
		Sysctls: []string{"net.ipv4.conf.d0.forwarding=1", "net/ipv6/conf/d0/accept_ra=0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	routes := map[string]string{}
	netnstest.In(t, n, func() error {
		l, err := netlink.LinkByName("d0")
		if err != nil {
			return err
		}
		if l.Attrs().MTU != 1400 || l.Attrs().Flags&net.FlagUp == 0 {
			t.Errorf("link %+v", l.Attrs())
		}
		rs, err := netlink.RouteList(nil, netlink.FAMILY_ALL)
		for _, r := range rs {
			routes[r.Dst.String()] += fmt.Sprint(r.Gw, " ", r.Priority, " ", r.MTU, " ", r.Type, ";")
		}
		b, _ := os.ReadFile("/proc/sys/net/ipv4/conf/d0/forwarding")
		if string(b) != "1\n" {
			t.Errorf("forwarding is %q", b)
		}
		return err
	})
	for dst, want := range map[string]string{
		"0.0.0.0/0":   "192.168.42.1 0 0 1;",
		"10.5.0.0/16": "192.168.42.7 5 1300 1;",
		"10.6.0.1/32": "<nil> 0 0 1;",
		"10.7.0.0/16": "<nil> 0 0 7;",
		"1.2.3.0/24":  "172.16.0.1 0 0 1;",
		"fd05::/16":   "<nil> 1024 0 1;",
		"::/0":        "fd00::1 1024 0 1;",
	} {
		if routes[dst] != want {
			t.Errorf("route to %s: %q, want %q", dst, routes[dst], want)
		}
	}
	for _, bad := range []netns.Config{
		{Addresses: []string{"192.168.1.1"}}, {Addresses: []string{"nonsense"}}, {Routes: []string{""}}, {Routes: []string{"default via"}},
		{Routes: []string{"10.0.0.1/8"}}, {Routes: []string{"10.0.0.0/8 via fd00::1"}}, {Routes: []string{"10.0.0.0/8 color red"}},
		{Sysctls: []string{"kernel.hostname=x"}}, {Sysctls: []string{"net.ipv4.no_such_thing=1"}}, {Sysctls: []string{"net/../kernel/hostname=x"}},
		{Sysctls: []string{"net.ipv4.ip_forward"}},
	} {
		if err := n.Configure("d0", bad); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
	if err := n.Configure("d1", netns.Config{}); err == nil {
		t.Error("an interface that does not exist was furnished")
	}
}

func TestSocketsOfDoBelongToTheNamespace(t *testing.T) {
	t.Parallel()
	a, b := netnstest.New(t), netnstest.New(t)
	var ln net.Listener
	netnstest.In(t, a, func() (err error) { ln, err = net.Listen("tcp", "127.0.0.1:0"); return err })
	defer ln.Close()
	dial := func() error {
		c, err := net.DialTimeout("tcp", ln.Addr().String(), time.Second)
		if err == nil {
			c.Close()
		}
		return err
	}
	if err := a.Do(dial); err != nil {
		t.Errorf("the same namespace: %v", err)
	}
	if err := b.Do(dial); err == nil {
		t.Error("another namespace reaches the listener")
	}
}

func TestNothingIsLeftOpen(t *testing.T) {
	netnstest.Need(t) // not parallel: it counts the descriptors of the process
	count := func() int {
		e, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(e)
	}
	one := func() {
		n, err := netns.New()
		if err != nil {
			t.Fatal(err)
		}
		n.Do(func() error { return nil })
		n.Configure("lo", netns.Config{Up: true})
		n.Close()
	}
	one()
	before := count()
	for range 20 {
		one()
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	if b, _ := os.ReadFile("/proc/self/mountinfo"); bytes.Contains(b, []byte("moat-test")) {
		t.Error("a mount of a test was left behind")
	}
}
