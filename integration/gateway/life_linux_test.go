package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/moat-router/moat/router/control"
	"github.com/moat-router/moat/stack/netns"
	"github.com/moat-router/moat/stack/netns/netnstest"
)

func TestTrafficResumesWhenAFarEndWasDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, world{})
	s := newStream(t, w, "7")
	s.flows(t, 1<<20)
	for range 2 {
		setLink(t, w.outside, "wan", false)
		time.Sleep(300 * time.Millisecond) // real: retransmissions meet a link that is down
		setLink(t, w.outside, "wan", true)
		s.flows(t, 1<<20)
		setLink(t, w.inside, "lan", false)
		time.Sleep(300 * time.Millisecond)
		setLink(t, w.inside, "lan", true)
		addRoute(t, w.inside, "lan", "0.0.0.0/0", "192.168.1.1")
		s.flows(t, 1<<20)
	}
	if m := w.mustAsk("metrics"); strings.Contains(m, `moat_drops_total{reason="link_down"} 0`) {
		t.Error("no packet met the link that was down, so this showed nothing")
	}
}

// named is a configuration whose peers are namespaces that moat has to make, by names that no other test uses.
func named(t *testing.T, control string) (config string, names []string) {
	a := fmt.Sprintf("moat-%d-%s", os.Getpid(), strings.ToLower(t.Name()[max(0, len(t.Name())-8):]))
	a = strings.ReplaceAll(a, "/", "-")
	b := a + "-far"
	return fmt.Sprintf(`
interfaces:
  - name: lan
    addresses: [10.0.1.1/24]
    peer: {netns: %s, addresses: [10.0.1.2/24], routes: [default via 10.0.1.1]}
  - name: wan
    addresses: [10.0.2.1/24]
    peer: {netns: %s, addresses: [10.0.2.2/24], routes: [default via 10.0.2.1]}
control: %s
`, a, b, control), []string{a, b}
}

// loneWorld is a world in which a test starts moat itself.
func loneWorld(t *testing.T) *world {
	t.Helper()
	netnstest.Need(t)
	w := &world{t: t, dir: t.TempDir(), machine: netnstest.New(t)}
	w.control = filepath.Join(w.dir, "moat.sock")
	return w
}

// nothingLeft checks the machine's devices, the socket and the names of namespaces.
func (w *world) nothingLeft(t *testing.T, names []string) {
	t.Helper()
	if left := devices(t, w.machine); len(left) > 0 {
		t.Errorf("devices left: %q", left)
	}
	if _, err := os.Lstat(w.control); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the control socket is still there (%v)", err)
	}
	if left, _ := filepath.Glob(filepath.Join(w.dir, ".moat*")); len(left) > 0 {
		t.Errorf("files left: %q", left)
	}
	for _, n := range names {
		if _, err := os.Lstat(filepath.Join(netns.Dir, n)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("namespace %s is still there (%v)", n, err)
		}
	}
}

func TestSignalsLeaveNothingBehindAtAnyMoment(t *testing.T) {
	t.Parallel()
	w := loneWorld(t)
	text, names := named(t, w.control)
	file := w.write("moat.yaml", text)
	moatBinary(t)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		if signal.Ignored(sig) {
			t.Logf("%v is ignored here (nohup), and so moat ignores it, as it should", sig)
			continue
		}
		// Before main, while devices and namespaces are made, just after, and in quiet times.
		for _, after := range []int{0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 60, 70, 80, 100, 150, 300, -1} {
			p := w.start("run", "-c", file)
			if after < 0 {
				p.waitFor("interfaces are up")
			} else {
				time.Sleep(time.Duration(after) * time.Millisecond)
			}
			p.signal(sig)
			code := p.wait()
			before := code == -1 && p.said() == "" // it had not begun, so the signal's default was its end
			if code != 0 && !before {
				t.Errorf("%v after %d ms: exit code %d, %s", sig, after, code, p.said())
			}
			w.nothingLeft(t, names)
			if t.Failed() {
				return
			}
		}
	}
}

func TestAPeerNamespaceThatIsDeletedEndsMoatWithASentence(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(t *testing.T, ns string)
	}{
		{"namespace", func(t *testing.T, ns string) {
			path := filepath.Join(netns.Dir, ns)
			if err := errors.Join(unix.Unmount(path, unix.MNT_DETACH), os.Remove(path)); err != nil {
				t.Fatal(err)
			}
		}},
		{"device", func(t *testing.T, ns string) {
			n, err := netns.Open(ns)
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			h, err := netns.Handle(n.Fd())
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			l, err := h.LinkByName("lan")
			if err == nil {
				err = h.LinkDel(l)
			}
			if err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := loneWorld(t)
			text, names := named(t, w.control)
			p := w.start("run", "-c", w.write("moat.yaml", text))
			p.waitFor("interfaces are up")
			tt.end(t, names[0])
			code := p.wait()
			_, said, _ := strings.Cut(p.said(), "\n") // behind the line that says that it is up
			if code != 1 || strings.Count(said, "\n") != 1 || !strings.Contains(said, "interface lan: tun lan: the device is gone") {
				t.Errorf("exit code %d, %q; want 1 and one sentence about lan", code, said)
			}
			w.nothingLeft(t, names)
		})
	}
}

// restoreA and restoreB are two rulesets that agree only with themselves: with the nat table of one and the filter table
// of the other no new connection gets through.
func restoreRules(port string) string {
	return fmt.Sprintf(`*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -d 1.2.3.10/32 -p udp -m udp --dport 9000 -j DNAT --to-destination 192.168.1.10:%[1]s
-A POSTROUTING -o wan -j MASQUERADE
COMMIT
*filter
:FORWARD DROP [0:0]
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i lan -j ACCEPT
-A FORWARD -p udp -m udp --dport %[1]s -j ACCEPT
COMMIT
`, port)
}

func TestReplacingRulesUnderTrafficDropsAndMixesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, world{rules: restoreRules("9001")})
	s := newStream(t, w, "7")
	listenUDP(t, w.inside, "192.168.1.10:9001")
	listenUDP(t, w.inside, "192.168.1.10:9002")

	var restores atomic.Int32
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			var out, errs bytes.Buffer
			code, err := control.Call(context.Background(), w.control,
				&control.Request{Do: "rules", Args: []string{"restore"}, In: restoreRules([]string{"9002", "9001"}[i%2])}, &out, &errs)
			if err != nil || code != 0 {
				done <- fmt.Errorf("restore: exit %d, %v, %s", code, err, &errs)
				return
			}
			restores.Add(1)
		}
		done <- nil
	}()
	// Each exchange is a new connection, so it asks the nat table; one at a time, so no queue may overflow.
	b := make([]byte, 100)
	for i := range 500 {
		c, err := dial(w.outside, "udp", "1.2.3.10:9000")
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte("x"))
		c.SetReadDeadline(time.Now().Add(patience / 4))
		if _, err := c.Read(b); err != nil {
			t.Errorf("connection %d got no answer, after %d restores: %v", i, restores.Load(), err)
			break
		}
		c.Close()
	}
	s.flows(t, 1<<20)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := restores.Load(); n < 10 {
		t.Errorf("only %d restores happened meanwhile", n)
	}
	// A restore that is refused changes nothing.
	before := w.mustAsk("rules", "save")
	if code, _, errs := w.askWith("*filter\n:FORWARD ACCEPT\n-A FORWARD -j FLY\nCOMMIT\n", "rules", "restore"); code != 2 || !strings.Contains(errs, ":3:12: ") {
		t.Errorf("restore of a bad ruleset: exit %d, %s", code, errs)
	}
	if after := w.mustAsk("rules", "save"); after != before {
		t.Errorf("a refused restore changed the rules:\n%s\nwas\n%s", after, before)
	}
}

func TestTheRoutersOwnServicesAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, world{more: `
listen:
  - {proto: tcp, port: 80, service: http}
  - {proto: tcp, port: 7, service: echo}
  - {proto: udp, port: 7, service: echo}
  - {proto: udp, port: 9, service: discard, address: 192.168.1.1}
`})
	for _, tt := range []struct {
		from *netns.NS
		host string
	}{
		{w.inside, "192.168.1.1"}, {w.inside, "192.168.42.1"}, {w.outside, "192.168.42.1"}, {w.inside, "fd00:1::1"}, {w.outside, "fd00:42::1"},
	} {
		client := &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: func(_ context.Context, network, a string) (net.Conn, error) {
			return dial(tt.from, network, a)
		}}}
		r, err := client.Get("http://" + net.JoinHostPort(tt.host, "80") + "/")
		if err != nil {
			t.Errorf("http: %v", err)
			continue
		}
		if b, err := io.ReadAll(r.Body); r.StatusCode != 200 || err != nil || len(b) == 0 {
			t.Errorf("http: %s, %q, %v", r.Status, b, err)
		}
		r.Body.Close()
		client.CloseIdleConnections()

		long := strings.Repeat("echo", 1000)
		if got := exchange(t, tt.from, net.JoinHostPort(tt.host, "7"), long); got != long {
			t.Errorf("udp echo at %s: %d bytes of %d came back", tt.host, len(got), len(long))
		}
		c, err := dial(tt.from, "tcp", net.JoinHostPort(tt.host, "7"))
		if err != nil {
			t.Error(err)
			continue
		}
		long = strings.Repeat(long, 100)
		go func() { io.WriteString(c, long); c.(*net.TCPConn).CloseWrite() }()
		if got, err := io.ReadAll(c); string(got) != long {
			t.Errorf("tcp echo at %s: %d bytes of %d came back: %v", tt.host, len(got), len(long), err)
		}
		c.Close()
		// Where nobody listens, a reset says so at once.
		if _, err := dial(tt.from, "tcp", net.JoinHostPort(tt.host, "81")); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("port 81 of %s: %v, want refused", tt.host, err)
		}
	}
}

func TestAStrangersRouteIntoMoatFromItsOwnNamespace(t *testing.T) {
	t.Parallel()
	// Without a peer's netns the kernel's end stays beside moat, as in a container with CAP_NET_ADMIN alone.
	w := loneWorld(t)
	p := w.start("run", "-c", w.write("moat.yaml", `
interfaces:
  - {name: lan, addresses: [10.9.0.1/24], peer: {addresses: [10.9.0.2/24]}}
control: `+w.control+"\n"))
	p.waitFor("interfaces are up")
	h, err := netns.Handle(w.machine.Fd())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if l, err := h.LinkByName("lan"); err != nil || l.Attrs().Flags&net.FlagUp == 0 || l.(*netlink.Tuntap) == nil {
		t.Errorf("lan: %v, %v", l, err)
	}
	if out, err := tool(t, w.machine, "ping", "-n", "-c", "2", "-i", "0.1", "-W", "5", "10.9.0.1"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d: %s", code, p.said())
	}
	w.nothingLeft(t, nil)
}
