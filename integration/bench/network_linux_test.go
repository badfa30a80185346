package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// network is client, router and server, furnished for one contender.
type network struct {
	t                      *testing.T
	client, router, server string      // names of namespaces
	dir                    string      // of the router's files
	running                []*exec.Cmd // the router's process is the first, where it has one
	log                    *os.File    // what they say
}

func (n *network) sh(format string, args ...any) {
	n.t.Helper()
	line := fmt.Sprintf(format, args...)
	if out, err := exec.Command("sh", "-ec", line).CombinedOutput(); err != nil {
		n.t.Fatalf("%s: %v\n%s", line, err, out)
	}
}

func (n *network) is(format string, args ...any) bool {
	return exec.Command("sh", "-c", fmt.Sprintf(format, args...)).Run() == nil
}

// spawn starts a program in a namespace.
func (n *network) spawn(space string, env string, argv ...string) *exec.Cmd {
	n.t.Helper()
	cmd := exec.Command("ip", append([]string{"netns", "exec", space}, argv...)...)
	cmd.Env = append(os.Environ(), env)
	cmd.Stdout, cmd.Stderr = n.log, n.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.running = append(n.running, cmd)
	return cmd
}

// role starts this test as another process.
func (n *network) role(space, role string) *exec.Cmd {
	n.t.Helper()
	self, err := os.Executable()
	if err != nil {
		n.t.Fatal(err)
	}
	return n.spawn(space, roleEnv+"="+role, self)
}

// until waits for what another process has to do first.
func (n *network) until(what string, ok func() bool) {
	n.t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	n.down()
	n.t.Fatalf("%s: not within ten seconds\n%s", what, n.said())
}

// said is what the processes have written.
func (n *network) said() []byte {
	b, err := os.ReadFile(n.log.Name())
	if err != nil {
		return []byte(err.Error())
	}
	return b
}

// up builds the network with the contender in its middle.
func up(t *testing.T, c contender) *network {
	t.Helper()
	id := fmt.Sprintf("moat-b%d", os.Getpid())
	n := &network{t: t, dir: t.TempDir(), client: id + "c", router: id + "r", server: id + "s"}
	t.Cleanup(n.down)
	var err error
	if n.log, err = os.Create(filepath.Join(t.TempDir(), "log")); err != nil {
		t.Fatal(err)
	}
	for _, space := range []string{n.client, n.router, n.server} {
		n.sh("ip netns add %s; ip -n %s link set lo up", space, space)
		n.sh(`ip netns exec %s sysctl -qw net.ipv4.tcp_congestion_control=reno net.ipv4.ip_local_port_range="1024 65535" net.ipv6.conf.all.disable_ipv6=1 net.ipv4.tcp_tw_reuse=1`, space)
	}
	rules, err := filepath.Abs("testdata/bench.rules.v4")
	if err != nil {
		t.Fatal(err)
	}
	switch c.kind {
	case viaKernel:
		n.sh("ip netns exec %s sysctl -qw net.ipv4.ip_forward=1", n.router)
		n.veth("rc", n.client, "tc", 1)
		n.veth("rs", n.server, "ts", 2)
		n.sh("ip netns exec %s iptables-restore %s", n.router, rules)
		n.furnish(n.client, "tc", 1, "via 10.1.0.1")
		n.furnish(n.server, "ts", 2, "via 10.2.0.1")
	case viaTUNs:
		n.role(n.router, c.role+" "+n.dir+" "+rules)
		n.until(c.name+" opens its devices", func() bool {
			return n.is("ip -n %s link show tc && ip -n %s link show ts", n.router, n.router)
		})
		time.Sleep(100 * time.Millisecond) // real: offloads are set, addresses given
		n.sh("ip -n %s link set tc netns %s; ip -n %s link set ts netns %s", n.router, n.client, n.router, n.server)
		n.furnish(n.client, "tc", 1, "")
		n.furnish(n.server, "ts", 2, "")
	case viaRelay:
		n.veth("rs", n.server, "ts", 2)
		n.furnish(n.server, "ts", 2, "via 10.2.0.1")
		n.sh("ip -n %s route add default via 10.2.0.2", n.router)
		n.spawn(n.router, "", strings.Fields(fmt.Sprintf(c.command, n.client))...)
		n.until(c.name+" opens its device", func() bool { return n.is("ip -n %s route show default | grep -q .", n.client) })
	}
	n.role(n.server, "serve")
	n.until("the server answers", func() bool { _, err := n.load(2, c.target, time.Millisecond); return err == nil })
	return n
}

// veth leads from the router's near to a peer in another namespace.
func (n *network) veth(near, space, far string, net int) {
	n.t.Helper()
	n.sh("ip -n %s link add %s type veth peer name %s netns %s; ip -n %s addr add 10.%d.0.1/24 dev %s; ip -n %s link set %s up",
		n.router, near, far, space, n.router, net, near, n.router, near)
}

func (n *network) furnish(space, dev string, net int, via string) {
	n.t.Helper()
	n.sh("ip -n %s addr add 10.%d.0.2/24 dev %s; ip -n %s link set %s up; ip -n %s route add default %s dev %s", space, net, dev, space, dev, space, via, dev)
}

// load runs load i in the client's namespace.
func (n *network) load(i int, target string, d time.Duration) (v float64, err error) {
	out, err := n.exec(n.client, fmt.Sprintf("load %d %s %s", i, target, d))
	if err == nil {
		_, err = fmt.Sscan(out, &v)
	}
	return v, err
}

// exec plays a role in a namespace to its end and gives what it writes.
func (n *network) exec(space, role string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	cmd := exec.Command("ip", "netns", "exec", space, self)
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return string(out), nil
}

// down ends every process and removes the namespaces; it may be called twice.
func (n *network) down() {
	for _, cmd := range n.running {
		cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(2*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		timer.Stop()
	}
	n.running = nil
	for _, space := range []string{n.client, n.router, n.server} {
		exec.Command("ip", "netns", "del", space).Run()
	}
}
