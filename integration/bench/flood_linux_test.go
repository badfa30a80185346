package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"github.com/moat-router/moat/router/control"
)

// The ports that a flood and two polite flows go to: one that takes the flood's way, and one that comes towards it.
const (
	portFlood = 7010 + iota
	portBeside
	portAgainst
)

// politeRate is how many datagrams a polite flow sends in a second.
const politeRate = 1000

// Floods is what a flood shows.
var Floods = []Load{
	{Name: "offered", Unit: "kpps"},
	{Name: "delivered", Unit: "kpps"},
	{Name: "dropped in front of the router", Unit: "%"},
	{Name: "polite flow beside it", Unit: "%"},
	{Name: "polite flow towards it", Unit: "%"},
	{Name: "resident memory before", Unit: "MB", Lower: true},
	{Name: "most during it", Unit: "MB", Lower: true},
	{Name: "after it", Unit: "MB", Lower: true},
}

// TestFlood sends datagrams faster than any router here can take them, and asks what became of them, of two polite flows, and of
// the router's memory. Of moat it asks, too, whether it knows what was dropped in front of it. It fails only on errors.
func TestFlood(t *testing.T) {
	needNetworks(t)
	r := Report{Title: title(), Loads: Floods, Plain: true}
	var all []contender
	for _, c := range chosen() {
		if c.kind != viaRelay {
			all = append(all, c)
			r.Contenders = append(r.Contenders, c.name)
		}
	}
	for round := range *rounds {
		for _, c := range inTurn(all, round) {
			t.Run(fmt.Sprintf("%d/%s", round, c.name), func(t *testing.T) {
				n := up(t, c)
				v, err := n.flood(c, time.Duration(*secs*float64(time.Second)))
				if err != nil {
					t.Fatalf("%v\n%s", err, n.said())
				}
				for _, l := range Floods {
					if x, ok := v[l.Name]; ok {
						r.Add(c.name, l, x)
					}
				}
			})
		}
	}
	t.Logf("medians of %d rounds\n%s", *rounds, r.Table())
	if *outDir == "" || t.Failed() {
		return
	}
	if err := os.WriteFile(filepath.Join(*outDir, "flood-"+*cpus+".md"), []byte(r.Table()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (n *network) flood(c contender, d time.Duration) (map[string]float64, error) {
	var counters [3]*counter
	for i, space := range []string{n.server, n.server, n.client} {
		var err error
		if counters[i], err = n.count(space, portFlood+i); err != nil {
			return nil, err
		}
	}
	v := map[string]float64{}
	if c.kind == viaTUNs {
		v["resident memory before"] = n.resident()
		v["most during it"] = v["resident memory before"]
	}
	before, err := n.kernelDrops()
	if err != nil {
		return nil, err
	}
	type sent struct {
		i, n int
		err  error
	}
	done := make(chan sent)
	for i, s := range []struct{ space, host, rate string }{
		{n.client, c.target, "0"}, {n.client, c.target, strconv.Itoa(politeRate)}, {n.server, "10.1.0.2", strconv.Itoa(politeRate)}} {
		go func() {
			out, err := n.exec(s.space, fmt.Sprintf("send %s %d %s %s", s.host, portFlood+i, s.rate, d))
			x := sent{i: i, err: err}
			if err == nil {
				_, x.err = fmt.Sscan(out, &x.n)
			}
			done <- x
		}()
	}
	var offered [3]int
	for left := len(offered); left > 0; {
		select {
		case s := <-done:
			if s.err != nil {
				err = errors.Join(err, s.err)
			}
			offered[s.i] = s.n
			left--
		case <-time.After(10 * time.Millisecond):
			if c.kind == viaTUNs {
				v["most during it"] = max(v["most during it"], n.resident())
			}
		}
	}
	if err != nil {
		return nil, err
	}
	time.Sleep(300 * time.Millisecond) // real: what is under way arrives
	var got [3]int
	for i, k := range counters {
		if got[i], err = k.stop(); err != nil {
			return nil, err
		}
	}
	after, err := n.kernelDrops()
	if err != nil {
		return nil, err
	}
	v["offered"], v["delivered"] = float64(offered[0])/1e3/d.Seconds(), float64(got[0])/1e3/d.Seconds()
	v["polite flow beside it"] = 100 * float64(got[1]) / float64(offered[1])
	v["polite flow towards it"] = 100 * float64(got[2]) / float64(offered[2])
	if c.kind == viaTUNs {
		v["dropped in front of the router"] = 100 * float64(after-before) / float64(offered[0]+offered[1])
		v["after it"] = n.resident()
	}
	if c.role == "moat" {
		if knows, err := n.receiveDropped(); err != nil || knows != after {
			return nil, fmt.Errorf("the device dropped %d datagrams, moat's metrics say %d, %v", after, knows, err)
		}
	}
	return v, nil
}

// kernelDrops is what the queue of the device in front of the router has dropped so far; 0 where there is none.
func (n *network) kernelDrops() (int, error) {
	out, err := exec.Command("ip", "-n", n.client, "-s", "-j", "link", "show", "tc").Output()
	if err != nil {
		return 0, fmt.Errorf("ip link show tc: %w", err)
	}
	var l []struct {
		Stats64 struct {
			Tx struct{ Dropped int }
		}
	}
	if err := json.Unmarshal(out, &l); err != nil || len(l) != 1 {
		return 0, fmt.Errorf("ip link show tc: %w in %s", err, out)
	}
	return l[0].Stats64.Tx.Dropped, nil
}

// receiveDropped is the same as moat's metrics tell it.
func (n *network) receiveDropped() (int, error) {
	var out bytes.Buffer
	if _, err := control.Call(context.Background(), filepath.Join(n.dir, "moat.sock"), &control.Request{Do: "metrics"}, &out, &out); err != nil {
		return 0, err
	}
	for l := range strings.Lines(out.String()) {
		if v, ok := strings.CutPrefix(l, `moat_link_receive_dropped_total{link="rc"} `); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			return int(f), err
		}
	}
	return 0, fmt.Errorf("no moat_link_receive_dropped_total of rc in\n%s", out.String())
}

// resident is the router process's memory in MB (VmRSS).
func (n *network) resident() float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.running[0].Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	kb, _ := strconv.Atoi(strings.Fields(rest + " 0")[0])
	return float64(kb) / 1024
}

// counter is a process that counts what arrives at a port.
type counter struct {
	cmd *exec.Cmd
	out *bufio.Reader
}

func (n *network) count(space string, port int) (*counter, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("ip", "netns", "exec", space, self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=count %d", roleEnv, port))
	cmd.Stderr = n.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	n.running = append(n.running, cmd)
	c := &counter{cmd, bufio.NewReader(pipe)}
	_, err = c.out.ReadString('\n') // it listens
	return c, err
}

func (c *counter) stop() (n int, err error) {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	_, err = fmt.Fscan(c.out, &n)
	return n, err
}

// countDatagrams is the role "count".
func countDatagrams(port int) error {
	u, err := net.ListenUDP("udp4", &net.UDPAddr{Port: port})
	if err != nil {
		return err
	}
	u.SetReadBuffer(8 << 20)
	stop := untilSignal()
	fmt.Println("listening")
	context.AfterFunc(stop, func() { u.SetReadDeadline(time.Now()) })
	p, m := ipv4.NewPacketConn(u), messages()
	for total := 0; ; {
		n, err := p.ReadBatch(m, 0)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			fmt.Println(total)
			return nil
		}
		if err != nil {
			return err
		}
		total += n
	}
}

// sendDatagrams is the role "send": 64-byte datagrams for d, rate of them in a second, or as fast as it can (0).
func sendDatagrams(host string, port, rate int, d time.Duration) (int, error) {
	u, err := net.Dial("udp4", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return 0, err
	}
	defer u.Close()
	p, m := ipv4.NewPacketConn(u.(*net.UDPConn)), messages()
	for i := range m {
		m[i].Buffers[0] = m[i].Buffers[0][:64]
	}
	total := 0
	for begin := time.Now(); ; {
		gone := time.Since(begin)
		if gone >= d {
			return total, nil
		}
		n := burst
		if rate != 0 {
			if n = min(int(gone.Seconds()*float64(rate))-total, burst); n <= 0 {
				time.Sleep(time.Second / time.Duration(rate))
				continue
			}
		}
		k, err := p.WriteBatch(m[:n], 0)
		// A device that is full says so to the sender (ENOBUFS), and one that nobody listens behind, too.
		if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.ECONNREFUSED) {
			return 0, err
		}
		if err != nil {
			k = n
		}
		total += k
	}
}
