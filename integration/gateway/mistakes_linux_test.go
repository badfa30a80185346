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
	"syscall"
	"testing"

	"github.com/moat-router/moat/stack/tun"
)

// oneSentence checks the exit code and that moat said one line with want in it, and nothing on standard output.
func oneSentence(t *testing.T, code, wantCode int, said, want string) {
	t.Helper()
	if code != wantCode || !strings.HasPrefix(said, "moat: ") || !strings.Contains(said, want) || strings.Count(said, "\n") != 1 {
		t.Errorf("exit code %d, %q; want %d and one sentence with %q", code, said, wantCode, want)
	}
}

func TestWhatTheCallerWroteWronglyIsExitTwoAndOneSentence(t *testing.T) {
	t.Parallel()
	w := loneWorld(t)
	w.write("nft.rules", "#!/usr/sbin/nft -f\nflush ruleset\ntable inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy accept;\n\t}\n}\n")
	w.write("saved.rules", "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -p tcp --dport www -j ACCEPT\n-A FORWARD -d www.example.org -j ACCEPT\nCOMMIT\n")
	unreadable := w.write("secret.yaml", "interfaces: [{name: lan}]\n")
	if err := os.Mkdir(filepath.Join(w.dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	lan := "interfaces:\n  - name: lan\n    addresses: [192.168.1.1/24]\n"
	for _, tt := range []struct {
		name, text string // no text: a file that the test has not made
		want       string
	}{
		{"missing.yaml", "", "missing.yaml: there is no such file"},
		{"folder", "", "folder: this is a directory"},
		{"empty.yaml", "\n", "empty.yaml: the file is empty"},
		{"comment.yaml", "# later\n", "comment.yaml: the file is empty"},
		{"text.yaml", "hello\n", `text.yaml:1: is the text "hello"`},
		{"notyaml.yaml", lan + "routes: [}\n", "notyaml.yaml:4: this is not YAML"},
		{"binary.yaml", "\x00\x01\x02\xff", "binary.yaml"},
		{"key.yaml", lan + "speed: 10\n", "key.yaml:4: speed: unknown key"},
		{"typo.yaml", lan + "sysctl: []\n", "did you mean sysctls?"},
		{"type.yaml", "interfaces:\n  - name: lan\n    mtu: big\n", "type.yaml:3: interfaces[0].mtu: "},
		{"bool.yaml", lan + "icmp_translation: false\n", "bool.yaml:4: icmp_translation: is the truth value false, and must be on or off"},
		{"twice.yaml", lan + "  - name: lan\n", "twice.yaml:4: interfaces[1].name: "},
		{"device.yaml", lan + "  - {name: wan, tun: lan}\n", `device "lan" belongs to interface lan already`},
		{"long.yaml", "interfaces:\n  - name: a-very-long-interface\n", "long.yaml:2: interfaces[0].name: "},
		{"loopback.yaml", "interfaces: [{name: lo}]\n", "the router's own loopback"},
		{"address.yaml", lan + "  - {name: wan, addresses: [192.168.2.1]}\n", "write it like 192.168.2.1/24"},
		{"same.yaml", lan + "  - {name: wan, addresses: [192.168.1.1/24]}\n", "192.168.1.1 is the address of lan already"},
		{"gateway.yaml", lan + "routes: [default via 10.9.9.9]\n", "gateway.yaml:4: routes[0]: gateway 10.9.9.9 is on no link"},
		{"nodev.yaml", lan + "routes: [default dev wan]\n", `there is no interface "wan"`},
		{"sysctl.yaml", lan + "sysctls: [net.ipv4.ip_forwarding=1]\n", "did you mean net.ipv4.ip_forward?"},
		{"peer.yaml", "interfaces: [{name: lan, addresses: [10.0.0.1/24], peer: {addresses: [10.0.0.1/24]}}]\n", "the router's own address"},
		{"listen.yaml", lan + "listen: [{proto: udp, port: 80, service: http}]\n", `http needs "proto: tcp"`},
		{"norules.yaml", lan + "rules: {v4: none.rules}\n", "none.rules: there is no such file"},
		{"rule.yaml", lan + "rules:\n  v4: |\n    *filter\n    -A FORWARD -j FLY\n    COMMIT\n", `no target and no chain is named "FLY"`},
		{"hosts.yaml", lan + "rules: {v4: saved.rules}\n", `saved.rules:4:12: host and network names are not looked up ("www.example.org")`},
		{"nft.yaml", lan + "rules: {v4: nft.rules}\n", "nft.rules:2:1: this is nft's language: export the rules with iptables-save"},
		{"script.yaml", lan + "rules: {v4: \"iptables -A INPUT -j DROP\\n\"}\n", "this is a shell command"},
	} {
		file := filepath.Join(w.dir, tt.name)
		if tt.text != "" {
			w.write(tt.name, tt.text)
		}
		// "check" says the same as "run", and neither leaves anything.
		for _, args := range [][]string{{"run", "-c", file, "--control", w.control}, {"check", "-c", file}} {
			p := w.start(args...)
			code := p.wait()
			t.Run(args[0]+" "+tt.name, func(t *testing.T) { oneSentence(t, code, 2, p.said(), tt.want) })
		}
	}
	w.nothingLeft(t, nil)

	if err := os.Chmod(unreadable, 0); err != nil {
		t.Fatal(err)
	}
	code, said := asNobody(t, w, "run", "-c", "secret.yaml")
	oneSentence(t, code, 2, said, "secret.yaml: ")
}

// asNobody runs moat as a user without rights, in the machine's namespace and a directory that this user may enter.
func asNobody(t *testing.T, w *world, args ...string) (code int, said string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "moat-nobody")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(w.dir, "*.yaml"))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(f)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(f)), b, st.Mode().Perm()&0o044|st.Mode().Perm()>>6)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(moatBinary(t), args...)
	cmd.Dir = dir
	cmd.Env = []string{"XDG_RUNTIME_DIR=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := w.machine.Start(cmd); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "moat", "moat.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the control socket is still there (%v)", err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

func TestWhatTheMachineRefusesIsExitOneAndOneSentence(t *testing.T) {
	t.Parallel()
	const lan = "interfaces: [{name: lan, addresses: [10.0.0.1/24]}]\n"
	for _, tt := range []struct {
		name, config string
		before       func(t *testing.T, w *world) // makes the machine refuse
		want         string
	}{
		{"a device name that is taken", lan, func(t *testing.T, w *world) {
			var d *tun.TUN
			if err := w.machine.Do(func() (err error) { d, err = tun.Open(tun.Options{Name: "lan"}); return err }); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { d.Close() })
		}, "remove it (ip link del lan)"},
		{"a second device name that is taken", "interfaces: [{name: wan}, {name: lan}]\n", func(t *testing.T, w *world) {
			var d *tun.TUN
			if err := w.machine.Do(func() (err error) { d, err = tun.Open(tun.Options{Name: "lan"}); return err }); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { d.Close() })
		}, "interface lan: tun lan: "},
		{"a peer that does not run", "interfaces: [{name: lan, peer: {netns: \"pid:999999999\"}}]\n", nil, "there is no such namespace"},
		{"a peer that is a file", "interfaces: [{name: lan, peer: {netns: /etc/passwd}}]\n", nil, "/etc/passwd is not a network namespace"},
		{"a file where the socket should be", lan, func(t *testing.T, w *world) { w.write("moat.sock", "my data") }, "is not a socket"},
		{"a port of the machine in use", lan + "http: 127.0.0.1:9100\n", func(t *testing.T, w *world) {
			l := listen(t, w.machine, "127.0.0.1:9100")
			t.Cleanup(func() { l.Close() })
		}, "address already in use"},
		{"a log file in no directory", lan + "log: {target: file, path: none/moat.log}\n", nil, "none/moat.log"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := loneWorld(t)
			if tt.before != nil {
				tt.before(t, w)
			}
			had := devices(t, w.machine)
			file := w.write("moat.yaml", tt.config)
			p := w.start("run", "-c", file, "--control", w.control)
			oneSentence(t, p.wait(), 1, p.said(), tt.want)
			if now := devices(t, w.machine); fmt.Sprint(now) != fmt.Sprint(had) {
				t.Errorf("devices %q, before %q", now, had)
			}
			if st, err := os.Lstat(w.control); err == nil && st.Mode().Type() == os.ModeSocket {
				t.Error("the control socket is still there")
			}
		})
	}
}

func TestAUserWithoutRightsLearnsWhichOnesAreMissing(t *testing.T) {
	t.Parallel()
	w := loneWorld(t)
	w.write("moat.yaml", "interfaces: [{name: lan, addresses: [10.0.0.1/24]}]\n")
	// Depending on the device's mode it is the open or the making of a device that is refused.
	code, said := asNobody(t, w, "run", "-c", "moat.yaml")
	oneSentence(t, code, 1, said, "interface lan: tun lan: ")
	if !strings.Contains(said, "/dev/net/tun") && !strings.Contains(said, "CAP_NET_ADMIN") {
		t.Errorf("%q does not say what is missing", said)
	}
}

func TestASecondMoatIsRefusedAndADeadOnesSocketReplaced(t *testing.T) {
	t.Parallel()
	w := loneWorld(t)
	first := w.start("run", "-c", w.write("first.yaml", "interfaces: [{name: lan, addresses: [10.0.0.1/24]}]\n"), "--control", w.control)
	first.waitFor("interfaces are up")
	file := w.write("second.yaml", "interfaces: [{name: wan, addresses: [10.0.0.1/24]}]\n")
	second := w.start("run", "-c", file, "--control", w.control)
	oneSentence(t, second.wait(), 1, second.said(), "a moat is already running on "+w.control)
	if out := w.mustAsk("link"); !strings.Contains(out, "lan") || fmt.Sprint(devices(t, w.machine)) != "[lan]" {
		t.Errorf("the first moat has suffered: %s", out)
	}
	first.signal(syscall.SIGKILL)
	first.wait()
	if _, err := os.Lstat(w.control); err != nil {
		t.Fatal("a killed moat cannot have removed its socket, or this shows nothing")
	}
	code, _, errs := w.ask("link")
	oneSentence(t, code, 1, errs, "no moat is running on "+w.control)
	third := w.start("run", "-c", file, "--control", w.control)
	third.waitFor("interfaces are up")
	if out := w.mustAsk("link"); !strings.Contains(out, "wan") {
		t.Errorf("link: %s", out)
	}
	third.signal(syscall.SIGTERM)
	if code := third.wait(); code != 0 {
		t.Errorf("exit code %d: %s", code, third.said())
	}
	w.nothingLeft(t, nil)
}

func TestAClientThatDoesNotReadHoldsNothingUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, world{})
	var d net.Dialer
	for _, request := range []string{`{"do":"conntrack","args":["-E"]}` + "\n", `{"do":`, "", "\x00\xff\n", `{"do":"link","args":["--follow"]}` + "\n"} {
		c, err := d.DialContext(context.Background(), "unix", w.control)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() // only when the test is over: until then it is a client that sits there
		c.Write([]byte(request))
	}
	listenUDP(t, w.inside, "192.168.1.10:7")
	for i := range 200 {
		exchange(t, w.outside, "1.2.3.10:7", fmt.Sprint(i))
	}
	if out := w.mustAsk("conntrack", "-C"); strings.TrimSpace(out) == "0" {
		t.Errorf("conntrack -C: %s", out)
	}
}
