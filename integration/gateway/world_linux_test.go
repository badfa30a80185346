package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/moat-router/moat/stack/netns"
	"github.com/moat-router/moat/stack/netns/netnstest"
)

// patience bounds every wait for something that should happen at once. It is long because machines can be busy.
const patience = 30 * time.Second

// binary is moat, built once for all tests of this package.
var binary struct {
	once sync.Once
	dir  string
	path string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if binary.dir != "" {
		os.RemoveAll(binary.dir)
	}
	os.Exit(code)
}

func moatBinary(t testing.TB) string {
	t.Helper()
	binary.once.Do(func() {
		if binary.dir, binary.err = os.MkdirTemp("", "moat-gateway"); binary.err != nil {
			return
		}
		binary.err = os.Chmod(binary.dir, 0o755) // other users run it, too
		binary.path = filepath.Join(binary.dir, "moat")
		args := []string{"build", "-buildvcs=false", "-o", binary.path}
		if raceEnabled {
			args = append(args, "-race")
		}
		out, err := exec.Command("go", append(args, "../../cmd/moat")...).CombinedOutput()
		if err != nil {
			binary.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if binary.err != nil {
		t.Fatalf("go build: %v", binary.err)
	}
	return binary.path
}

// world is a moat between two namespaces. Its first fields say what is unusual about it.
type world struct {
	more  string // more lines of configuration
	rules string // instead of dmzRules

	t               testing.TB
	machine         *netns.NS // where moat runs
	inside, outside *netns.NS
	dir, config     string
	control         string
	moat            *process
}

const dmzRules = `
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -d 1.2.3.10/32 -j DNAT --to-destination 192.168.1.10
-A POSTROUTING -o wan -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -m conntrack --ctstate INVALID -j DROP
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i lan -j ACCEPT
-A FORWARD -d 192.168.1.10/32 -i wan -j ACCEPT
COMMIT
`

// newWorld makes the namespaces and starts moat.
func newWorld(t testing.TB, w world) *world {
	t.Helper()
	netnstest.Need(t)
	w.t, w.dir = t, t.TempDir()
	w.machine, w.inside, w.outside = netnstest.New(t), netnstest.New(t), netnstest.New(t)
	for _, n := range []*netns.NS{w.inside, w.outside} {
		// Else the kernel's own limits decide what a traceroute shows.
		if err := errors.Join(n.Sysctl("net.ipv4.icmp_ratelimit", "0"), n.Sysctl("net.ipv6.icmp.ratelimit", "0")); err != nil {
			t.Fatal(err)
		}
	}
	if w.rules == "" {
		w.rules = dmzRules
	}
	w.control = filepath.Join(w.dir, "moat.sock")
	w.config = filepath.Join(w.dir, "moat.yaml")
	w.write("moat.rules", w.rules)
	w.write("moat.yaml", fmt.Sprintf(`
interfaces:
  - name: wan
    addresses: [192.168.42.1/24, "fd00:42::1/64"]
    peer:
      netns: %s
      addresses: [192.168.42.2/24, "fd00:42::2/64"]
      routes: [1.2.3.0/24 via 192.168.42.1, "fd00:1::/64 via fd00:42::1"]
  - name: lan
    addresses: [192.168.1.1/24, "fd00:1::1/64"]
    peer:
      netns: %s
      addresses: [192.168.1.10/24, "fd00:1::10/64"]
      routes: [default via 192.168.1.1, "default via fd00:1::1"]
routes: [default via 192.168.42.2 dev wan]
rules: {v4: moat.rules}
control: %s
%s`, w.outside.Path(), w.inside.Path(), w.control, w.more))
	w.moat = w.start("run", "-c", w.config)
	w.moat.waitFor("interfaces are up")
	t.Cleanup(func() {
		if !w.moat.ended() {
			w.moat.signal(syscall.SIGTERM)
		}
		if code := w.moat.wait(); code != 0 {
			t.Errorf("moat ended with exit code %d and said:\n%s", code, w.moat.said())
		}
		w.checkNothingLeft()
	})
	return &w
}

func (w *world) write(name, text string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// checkNothingLeft looks for devices and for the socket of a moat that has ended.
func (w *world) checkNothingLeft() {
	w.t.Helper()
	for name, n := range map[string]*netns.NS{"machine": w.machine, "inside": w.inside, "outside": w.outside} {
		if left := devices(w.t, n); len(left) > 0 {
			w.t.Errorf("devices left in namespace %s: %q", name, left)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(w.dir, "*moat*")); len(left) > 2 {
		w.t.Errorf("files left: %q", left)
	}
	if _, err := os.Lstat(w.control); !errors.Is(err, os.ErrNotExist) {
		w.t.Errorf("the control socket is still there (%v)", err)
	}
}

// devices lists those of a namespace but lo.
func devices(t testing.TB, n *netns.NS) (names []string) {
	t.Helper()
	h, err := netns.Handle(n.Fd())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	links, err := h.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if l.Attrs().Flags&net.FlagLoopback == 0 {
			names = append(names, l.Attrs().Name)
		}
	}
	return names
}

// setLink sets an interface of a namespace up or down.
func setLink(t testing.TB, n *netns.NS, dev string, up bool) {
	t.Helper()
	h, err := netns.Handle(n.Fd())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	l, err := h.LinkByName(dev)
	if err == nil && up {
		err = h.LinkSetUp(l)
	} else if err == nil {
		err = h.LinkSetDown(l)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// addRoute gives the namespace a default route again: those of an interface that goes down are lost.
func addRoute(t testing.TB, n *netns.NS, dev, dst, via string) {
	t.Helper()
	h, err := netns.Handle(n.Fd())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	l, err := h.LinkByName(dev)
	if err != nil {
		t.Fatal(err)
	}
	_, to, err := net.ParseCIDR(dst)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.RouteReplace(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: to, Gw: net.ParseIP(via)}); err != nil {
		t.Fatal(err)
	}
}

// ask runs a moat command against the world's control socket.
func (w *world) ask(args ...string) (code int, out, errs string) {
	w.t.Helper()
	return w.askWith("", args...)
}

func (w *world) askWith(stdin string, args ...string) (code int, out, errs string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, moatBinary(w.t), args...)
	cmd.Env = append(os.Environ(), "MOAT_CONTROL="+w.control)
	var o, e bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), o.String(), e.String()
}

// mustAsk is ask for what has to succeed.
func (w *world) mustAsk(args ...string) string {
	w.t.Helper()
	code, out, errs := w.ask(args...)
	if code != 0 {
		w.t.Fatalf("moat %s: exit %d, %s", strings.Join(args, " "), code, errs)
	}
	return out
}

// tool runs a program inside a namespace and gives what it printed. A program that is not installed skips the test.
func tool(t testing.TB, n *netns.NS, name string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		netnstest.Skip(t, "%s is not installed here", name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := n.Start(cmd); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	return out.String(), err
}

// eventually asks again until ok, for what takes some time in the kernel or in moat.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}
