package check

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/moat-router/moat/integration/lab"
	"github.com/moat-router/moat/integration/lab/pattern"
	"github.com/moat-router/moat/integration/lab/topology"
	"github.com/moat-router/moat/integration/lab/wire"
	"github.com/moat-router/moat/stack/packet"
)

const (
	defaultTimeout = time.Second
	// patience is how long what has to come may take in real time: a busy machine is slow, and nobody waits longer than it
	// takes.
	patience = 10 * time.Second
)

// timeout is how long a check waits for an answer, and for silence.
func timeout(l *lab.Lab, c *topology.Check) time.Duration {
	silence := c.Fails || c.Error == "timeout" || slices.Contains(c.Hops, "*")
	switch {
	case c.Timeout != 0:
		return time.Duration(c.Timeout)
	case l.Mode == lab.Kernel && !silence:
		return patience
	}
	return defaultTimeout
}

// run does one check. why says what is wrong with the network, err what is wrong with the check.
func run(l *lab.Lab, c *topology.Check) (why string, err error) {
	t := &tester{l: l, c: c, timeout: timeout(l, c), from: l.Host(c.From)}
	if c.Source != "" {
		if t.source, err = netip.ParseAddr(c.Source); err != nil {
			return "", fmt.Errorf("source: %q is not an address", c.Source)
		}
	}
	switch c.Kind() {
	case "ping":
		return t.ask(t.ping)
	case "connect":
		return t.ask(t.connect)
	case "http":
		return t.ask(t.get)
	case "traceroute":
		return t.traceroute()
	case "send", "receive":
		return t.receive()
	case "conntrack":
		return t.conntrack(), nil
	case "advance":
		l.Advance(time.Duration(c.Advance))
	case "ip":
		if err := t.ip(); err != nil {
			return "", fmt.Errorf("ip at %s: %w", cmp.Or(c.IP.Router, c.IP.Host), err)
		}
	case "link":
		t.cable()
	case "resolve":
		return t.ask(t.resolve)
	}
	return "", nil
}

type tester struct {
	l       *lab.Lab
	c       *topology.Check
	from    *lab.Host
	source  netip.Addr
	timeout time.Duration
}

// errAnswer is an answer, but not the right one.
type errAnswer string

func (e errAnswer) Error() string { return string(e) }

// ask does something that is answered or not, and compares with what was wanted. ICMP errors are read off the wire.
func (t *tester) ask(do func() error) (string, error) {
	var icmp atomic.Pointer[icmpError]
	stop := t.from.Watch(func(s wire.Sighting) {
		if e := icmpErrorOf(s.Data); e != nil {
			icmp.CompareAndSwap(nil, e)
		}
	})
	err := do()
	stop()
	var wrong errAnswer
	var unknown *net.DNSError
	switch {
	case errors.As(err, &unknown) && len(t.l.Topology.DNS) == 0:
		return "", err
	case t.c.Error != "":
		got := outcome(err)
		if e := icmp.Load(); e != nil && strings.HasPrefix(t.c.Error, "icmp") {
			got = e.name
			if e.name == t.c.Error && t.c.ErrorBy != "" && e.by.String() != t.c.ErrorBy {
				return fmt.Sprintf("%s came from %s, not from %s: %s", e.name, e.by, t.c.ErrorBy, e.text), nil
			}
		}
		if got != t.c.Error {
			return fmt.Sprintf("%s; %s was expected", got, t.c.Error), nil
		}
		return "", nil
	case t.c.Fails && err == nil:
		return "it was answered", nil
	case t.c.Fails && !errors.As(err, &wrong), err == nil:
		return "", nil
	}
	if e := icmp.Load(); e != nil {
		return fmt.Sprintf("%s from %s: %s", e.name, e.by, e.text), nil
	}
	return err.Error(), nil
}

type icmpError struct {
	name, text string
	by         netip.Addr
}

func icmpErrorOf(data []byte) *icmpError {
	p := packet.New()
	p.Load(data)
	if p.Parse() != packet.ReasonNone || !p.IsICMPError() {
		return nil
	}
	b := p.L4Bytes()
	return &icmpError{lab.ICMPName(p.V6, b[0], b[1]), packet.Text(data), p.Src().IP()}
}

// outcome names how something ended, for "error:".
func outcome(err error) string {
	var timeout net.Error
	var name *net.DNSError
	switch {
	case err == nil:
		return "an answer"
	case errors.As(err, &name) && name.IsNotFound:
		return "nxdomain"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	return err.Error()
}

func (t *tester) ping() error {
	dst, err := t.lookup(t.c.Ping)
	if err != nil {
		return err
	}
	a, err := t.from.Ping(dst, lab.Probe{From: t.source, Size: t.c.Size, DF: t.c.DF, Timeout: t.timeout})
	if err == nil && !a.Reply {
		return errors.New(a.String())
	}
	return err
}

func (t *tester) dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), t.timeout)
	defer cancel()
	from := netip.AddrPort{}
	if t.source.IsValid() {
		from = netip.AddrPortFrom(t.source, 0)
	}
	c, err := t.from.DialFrom(ctx, network, from, address)
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(time.Now().Add(t.timeout))
}

// connect is a handshake for TCP, and for UDP a datagram that is answered. With a size all of it has to come back.
func (t *tester) connect() error {
	network, address, _ := strings.Cut(t.c.Connect, "://")
	c, err := t.dial(network, strings.TrimSuffix(address, "/"))
	if err != nil {
		return err
	}
	defer c.Close()
	switch {
	case t.c.Size > 0:
		return echo(c, t.c.Size)
	case network == "tcp":
		return nil
	}
	return echo(c, len("moat"))
}

// echo sends size bytes and reads as many.
func echo(c net.Conn, size int) error {
	if _, udp := c.RemoteAddr().(*net.UDPAddr); udp {
		if _, err := c.Write(bytes.Repeat([]byte{'m'}, size)); err != nil {
			return err
		}
		n, err := c.Read(make([]byte, 65536))
		if err == nil && n != size {
			return errAnswer(fmt.Sprintf("%d bytes came back for %d", n, size))
		}
		return err
	}
	// In pieces, each of which is echoed before the next: neither end waits for room in a buffer.
	piece := bytes.Repeat([]byte{'m'}, min(size, 16<<10))
	for done := 0; done < size; {
		part := piece[:min(len(piece), size-done)]
		if _, err := c.Write(part); err != nil {
			return err
		}
		n, err := io.ReadFull(c, part)
		if done += n; err != nil {
			return fmt.Errorf("%d of %d bytes came back: %w", done, size, err)
		}
	}
	return nil
}

func (t *tester) get() error {
	u, err := url.Parse(t.c.HTTP)
	if err != nil {
		return err
	}
	c, err := t.dial("tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "80")))
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", cmp.Or(u.RequestURI(), "/"), u.Host); err != nil {
		return err
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	switch {
	case err != nil:
		return err
	case r.StatusCode/100 != 2:
		return errAnswer("the server says " + r.Status)
	case !strings.Contains(string(body), t.c.Body):
		return errAnswer(fmt.Sprintf("the body %.80q does not contain %q", body, t.c.Body))
	}
	return nil
}

func (t *tester) traceroute() (string, error) {
	dst, err := t.lookup(t.c.Traceroute)
	if err != nil {
		return "", err
	}
	path, err := t.from.Trace(dst, max(len(t.c.Hops), 1), lab.Probe{From: t.source, Timeout: t.timeout})
	if err != nil {
		return "", err
	}
	var got []string
	for _, a := range path {
		if !a.From.IsValid() {
			got = append(got, "*")
			continue
		}
		got = append(got, a.From.String())
	}
	if g, w := strings.Join(got, " "), strings.Join(t.c.Hops, " "); g != w {
		return fmt.Sprintf("the hops are %s; %s was expected", g, w), nil
	}
	return "", nil
}

// receive sends, if that is wanted, and waits for a datagram; without sending also the past counts.
func (t *tester) receive() (string, error) {
	var datagram []byte
	var err error
	if t.c.Send != "" {
		if datagram, err = packet.Build(t.c.Send); err != nil {
			return "", fmt.Errorf("send: %w", err)
		}
	}
	if t.c.Receive == nil {
		return "", t.from.Send(datagram)
	}
	p, err := pattern.Parse(t.c.Receive.Match)
	if err != nil {
		return "", err
	}
	to := t.l.Host(t.c.Receive.Host)
	var seen atomic.Bool
	look := func(s wire.Sighting) {
		if p.Match(s.Data) && bytes.Contains(s.Data, []byte(t.c.Receive.Contains)) {
			seen.Store(true)
		}
	}
	defer to.Watch(look)()
	if datagram == nil {
		for _, s := range to.Received() {
			look(s)
		}
	} else if err := t.from.Send(datagram); err != nil {
		return "", err
	}
	came := t.l.Wait(seen.Load, t.timeout)
	switch {
	case came && t.c.Fails:
		return fmt.Sprintf("%s received it", to.Name), nil
	case !came && !t.c.Fails:
		return fmt.Sprintf("%s did not receive it; the network carried:\n%s", to.Name, t.l.Timeline()), nil
	}
	return "", nil
}

// conntrack looks for an entry by words that its line has, in their order.
func (t *tester) conntrack() string {
	c := t.c.Conntrack
	lines := t.l.Router(c.Router).ConntrackLines()
	for _, line := range lines {
		if inOrder(strings.Fields(line), strings.Fields(c.Match)) {
			if c.Absent {
				return "there is one: " + line
			}
			return ""
		}
	}
	if c.Absent {
		return ""
	}
	return fmt.Sprintf("%s has no such entry, but %d others\n%s", c.Router, len(lines), strings.Join(lines, "\n"))
}

func inOrder(have, want []string) bool {
	for _, w := range have {
		if len(want) > 0 && w == want[0] {
			want = want[1:]
		}
	}
	return len(want) == 0
}
