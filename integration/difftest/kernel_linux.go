package difftest

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/moat-router/moat/integration/scenario"
	"golang.org/x/sys/unix"
)

// Kernel is the reference: a scenario.Player whose answers come from the Linux kernel of this machine. Every scenario
// gets a network namespace of its own, on a thread that dies with it; nothing leaves the namespace, but for log lines,
// which the whole machine shares. Sleeps are real.
// The next namespace is made while the last scenario is still being looked at.
type Kernel struct {
	next chan *room
	room *room

	began time.Time
	slept time.Duration
	lost  time.Duration
}

// Lost is how long the last scenario took beside its sleeps, from its first step on.
func (k *Kernel) Lost() time.Duration { return k.lost }

// NewKernel needs root and iproute2, iptables-legacy, conntrack and ipset in PATH; the error says what is missing.
func NewKernel() (*Kernel, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the kernel as a reference needs root: it makes network namespaces")
	}
	for _, tool := range []string{"ip", "iptables-legacy-restore", "ip6tables-legacy-restore", "iptables-legacy-save", "conntrack", "ipset"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("the kernel as a reference needs %s in PATH", tool)
		}
	}
	k := &Kernel{next: make(chan *room, 1)}
	k.prepare()
	r := <-k.next
	k.next <- r
	if r.err != nil {
		return nil, r.err
	}
	return k, nil
}

func (k *Kernel) prepare() { go func() { k.next <- newRoom() }() }

// Ask does what the lockstep protocol says.
func (k *Kernel) Ask(r *scenario.Request) (*scenario.Answer, error) {
	if r.Op == "scenario" || r.Op == "end" {
		k.leave()
	}
	switch {
	case r.Op == "end":
		return &scenario.Answer{}, nil
	case r.Op == "scenario":
		if k.room = <-k.next; k.room.err != nil {
			return nil, k.room.err
		}
		k.prepare()
	case k.room == nil:
		return nil, &scenario.Refused{Op: r.Op, Text: "no scenario"}
	}
	if r.Op == "scenario" {
		k.slept = 0
	}
	a, err := k.room.ask(r)
	switch r.Op {
	case "scenario":
		k.began = time.Now()
	case "sleep":
		k.slept += time.Duration(r.MS) * time.Millisecond
	}
	k.lost = time.Since(k.began) - k.slept
	if err != nil {
		if r.Op == "scenario" {
			k.leave()
		}
		return nil, &scenario.Refused{Op: r.Op, Text: err.Error()}
	}
	return a, nil
}

func (k *Kernel) leave() {
	if k.room != nil {
		k.room.close()
		k.room = nil
	}
}

// Close takes down what is left.
func (k *Kernel) Close() {
	k.leave()
	if r := <-k.next; r.err == nil {
		r.close()
	}
}

// room is one namespace with its thread. All that touches the namespace runs there.
type room struct {
	err      error
	todo     chan func()
	tuns     []*tun
	socks    []int
	events   *events
	families map[string]bool // whose rules were loaded
	sets     bool            // ipset has made some
	warn     []string
	log      kernelLog
}

func newRoom() *room {
	r := &room{todo: make(chan func()), families: map[string]bool{}, log: kernelLog{knob: openKnob(), kmsg: -1}}
	ready := make(chan struct{})
	go func() {
		// Never unlocked: the thread ends with the goroutine, and the namespace with it.
		runtime.LockOSThread()
		if r.err = unix.Unshare(unix.CLONE_NEWNET); r.err != nil {
			r.err = fmt.Errorf("a network namespace: %w", r.err)
		} else {
			r.sysctls(defaults, func(name string) bool { return !isForwarding6(name) })
		}
		close(ready)
		if r.err == nil {
			for f := range r.todo {
				f()
			}
		}
	}()
	<-ready
	return r
}

func (r *room) ask(q *scenario.Request) (a *scenario.Answer, err error) {
	done := make(chan struct{})
	r.todo <- func() {
		r.warn = nil
		if a, err = r.act(q); a != nil {
			a.Warn = r.warn
		}
		close(done)
	}
	<-done
	return a, err
}

func (r *room) close() {
	done := make(chan struct{})
	r.todo <- func() {
		for _, t := range r.tuns {
			unix.Close(t.fd)
		}
		for _, fd := range r.socks {
			unix.Close(fd)
		}
		if r.events != nil {
			unix.Close(r.events.fd)
		}
		r.log.close()
		close(done)
	}
	<-done
	close(r.todo)
}

func (r *room) act(q *scenario.Request) (*scenario.Answer, error) {
	var err error
	switch q.Op {
	case "scenario":
		return &scenario.Answer{}, r.build(q)
	case "counters":
		return r.counters(), nil
	}
	if q.Op != "sleep" || r.log.kmsg >= 0 { // who sleeps writes nothing that others would take for theirs
		if err := r.log.lock(); err != nil {
			return nil, err
		}
		defer r.log.unlock()
	}
	switch q.Op {
	case "inject":
		err = r.inject(q)
	case "sleep":
		time.Sleep(time.Duration(q.MS) * time.Millisecond)
	case "rules":
		err = r.load(scenario.Rules{V4: q.V4, V6: q.V6}, q.NoFlush)
	case "sysctl":
		r.sysctls(q.Set, nil)
	case "ct_flush":
		_, err = command("", "conntrack", "-F")
	case "host":
		err = r.host(q.Cmd)
	case "listen":
		err = r.listen(q)
	default:
		err = fmt.Errorf("unknown op %q", q.Op)
	}
	if err != nil {
		return nil, err
	}
	a := &scenario.Answer{CT: lines("nf_conntrack"), Expect: lines("nf_conntrack_expect")}
	for _, t := range r.tuns {
		for _, p := range t.drain() {
			a.Out = append(a.Out, scenario.OutPacket{If: t.name, Hex: hex.EncodeToString(p.data), GSO: p.gso})
		}
	}
	if r.events != nil {
		a.Events = r.events.drain()
	}
	a.Log = r.log.drain()
	return a, nil
}

func (r *room) build(q *scenario.Request) error {
	if q.Log {
		if err := r.log.want(); err != nil {
			return err
		}
	}
	var ip strings.Builder
	fmt.Fprintln(&ip, "link set lo up")
	for _, f := range q.Interfaces {
		if f.CsumOffload {
			return errors.New("csum_offload: this reference cannot say that a checksum was verified")
		}
		t, err := openTun(f.Name, f.Offload)
		if err != nil {
			return err
		}
		r.tuns = append(r.tuns, t)
		mtu := f.MTU
		if mtu == 0 {
			mtu = 1500
		}
		// Without IFF_MULTICAST, and with IPv6 forwarding switched on last, the kernel does not report groups of its own.
		fmt.Fprintf(&ip, "link set %s mtu %d multicast off up\n", f.Name, mtu)
		for _, a := range f.Addrs {
			peer, nodad := "", ""
			if a.Peer != "" {
				peer = " peer " + a.Peer
			}
			if strings.Contains(a.Local, ":") {
				nodad = " nodad"
			}
			fmt.Fprintf(&ip, "addr add %s%s dev %s%s\n", a.Local, peer, f.Name, nodad)
		}
	}
	for _, x := range q.Routes {
		fmt.Fprintln(&ip, "route add "+x)
	}
	if _, err := command(ip.String(), "ip", "-batch", "-"); err != nil {
		return err
	}
	if err := awaitAddresses(q.Interfaces); err != nil {
		return err
	}
	r.sysctls(defaults, isForwarding6)
	r.sysctls(q.Sysctls, nil)
	for _, c := range q.Setup {
		if err := r.host(c); err != nil {
			return err
		}
	}
	if q.Rules != nil {
		if err := r.load(*q.Rules, false); err != nil {
			return err
		}
	}
	if q.Events {
		var err error
		if r.events, err = openEvents(); err != nil {
			return err
		}
	}
	for _, t := range r.tuns {
		t.drain()
	}
	return nil
}

func (r *room) inject(q *scenario.Request) error {
	for _, t := range r.tuns {
		if t.name != q.If {
			continue
		}
		for _, h := range q.Hex {
			b, err := hex.DecodeString(h)
			if err != nil {
				return err
			}
			if err := t.write(b, q.Offload); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("no interface %q", q.If)
}

func (r *room) load(rules scenario.Rules, noflush bool) error {
	for _, f := range [...]struct{ family, tool, text string }{{"v4", "iptables", rules.V4}, {"v6", "ip6tables", rules.V6}} {
		if f.text == "" {
			continue
		}
		args := []string{"-w", "20"}
		if noflush {
			args = append(args, "-n")
		}
		if _, err := command(strings.TrimRight(f.text, "\n")+"\n", f.tool+"-legacy-restore", args...); err != nil {
			return err
		}
		r.families[f.family] = true
	}
	return nil
}

func (r *room) counters() *scenario.Answer {
	a := &scenario.Answer{Counters: map[string]map[string][]string{}}
	for family, tool := range map[string]string{"v4": "iptables", "v6": "ip6tables"} {
		if !r.families[family] {
			continue
		}
		tables := map[string][]string{}
		a.Counters[family] = tables
		text, _ := command("", tool+"-legacy-save", "-c")
		table := ""
		for _, l := range strings.Split(text, "\n") {
			switch {
			case strings.HasPrefix(l, "*"):
				table = l[1:]
			case strings.HasPrefix(l, "["):
				tables[table] = append(tables[table], l)
			}
		}
	}
	if r.sets {
		save, _ := command("", "ipset", "save")
		a.Counters[scenario.SetsFamily] = scenario.SetElements(save)
	}
	return a
}

// host runs a shell line in the namespace.
func (r *room) host(line string) error {
	_, err := command("", "sh", "-c", line)
	if _, ok := scenario.SetCommand(line); ok && err == nil {
		r.sets = true
	}
	return err
}

func (r *room) listen(q *scenario.Request) error {
	family, kind := unix.AF_INET, unix.SOCK_STREAM
	if strings.Contains(q.Addr, ":") {
		family = unix.AF_INET6
	}
	if q.Proto == "udp" {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	r.socks = append(r.socks, fd)
	sa, err := sockaddr(q.Addr, q.Port)
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, sa); err != nil {
		return fmt.Errorf("bind %s port %d: %w", q.Addr, q.Port, err)
	}
	if q.Proto != "udp" {
		return unix.Listen(fd, 8)
	}
	return nil
}

// awaitAddresses waits until IPv6 addresses are the router's own: the kernel makes their local routes in a work queue,
// also without duplicate address detection.
func awaitAddresses(interfaces []scenario.Interface) error {
	var want []string
	for _, f := range interfaces {
		for _, a := range f.Addrs {
			p, err := netip.ParsePrefix(a.Local)
			if err == nil && p.Addr().Is6() {
				b := p.Addr().As16()
				want = append(want, hex.EncodeToString(b[:])+" 80 ")
			}
		}
	}
	for range 20000 {
		routes := strings.Join(lines("ipv6_route"), "\n")
		want = slices.DeleteFunc(want, func(w string) bool { return strings.Contains(routes, w) })
		if len(want) == 0 {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("IPv6 address %s has no local route after twenty seconds", want[0])
}

// sysctls writes those that pass; one that cannot be written is a warning.
func (r *room) sysctls(list scenario.Sysctls, pass func(string) bool) {
	for _, s := range list {
		if pass != nil && !pass(s.Name) {
			continue
		}
		file := "/proc/sys/" + strings.ReplaceAll(strings.ReplaceAll(s.Name, ".", "/"), "@", ".")
		if err := os.WriteFile(file, []byte(s.Value), 0); err != nil {
			r.warn = append(r.warn, s.Name+": "+err.Error())
		}
	}
}

// command runs a program in the namespace of the calling thread. The error holds what it wrote to stderr.
func command(stdin, name string, args ...string) (string, error) {
	c := exec.Command(name, args...)
	var out, errs bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(stdin), &out, &errs
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("%s: %s", name, strings.TrimSpace(errs.String()+" "+err.Error()))
	}
	return out.String(), nil
}

// lines reads a table. Its next piece begins where as many entries have gone before, and those of other namespaces,
// which nobody sees, count: pieces are as large as they come, and a line that comes twice is one.
func lines(file string) (list []string) {
	f, err := os.Open("/proc/thread-self/net/" + file)
	if err != nil {
		return nil
	}
	defer f.Close()
	seen := map[string]bool{}
	for s := bufio.NewScanner(bufio.NewReaderSize(f, 1<<16)); s.Scan(); {
		l := s.Text()
		key := strings.TrimLeft(l, "0123456789") // an expectation's timeout may have moved on
		if !seen[key] {
			seen[key] = true
			list = append(list, l)
		}
	}
	return list
}
