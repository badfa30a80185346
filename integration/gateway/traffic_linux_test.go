package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moat-router/moat/stack/netns"
	"github.com/moat-router/moat/stack/netns/netnstest"
)

// listen opens a TCP socket inside a namespace.
func listen(t testing.TB, n *netns.NS, address string) net.Listener {
	t.Helper()
	var l net.Listener
	netnstest.In(t, n, func() (err error) { l, err = net.Listen("tcp", address); return err })
	t.Cleanup(func() { l.Close() })
	return l
}

// listenUDP answers each datagram with the address that it came from and its own bytes.
func listenUDP(t testing.TB, n *netns.NS, address string) {
	t.Helper()
	var c net.PacketConn
	netnstest.In(t, n, func() (err error) { c, err = net.ListenPacket("udp", address); return err })
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			c.WriteTo(append([]byte(from.String()+" "), b[:n]...), from)
		}
	}()
}

// dial connects from inside a namespace.
func dial(n *netns.NS, network, address string) (c net.Conn, err error) {
	err = n.Do(func() (err error) {
		// On this thread: goroutines that DialContext starts for a race of addresses would be at home.
		c, err = (&net.Dialer{Timeout: patience, FallbackDelay: -1}).Dial(network, address)
		return err
	})
	if err == nil {
		err = c.SetDeadline(time.Now().Add(patience))
	}
	return c, err
}

// exchange sends text and gives what comes back, trying again as UDP must.
func exchange(t testing.TB, n *netns.NS, address, text string) string {
	t.Helper()
	c, err := dial(n, "udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := make([]byte, 1<<16)
	for range 5 {
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(patience / 5))
		if got, err := c.Read(b); err == nil {
			return string(b[:got])
		}
	}
	t.Fatalf("nothing came back from %s", address)
	return ""
}

func TestConnectionsCrossByDNATFromOutsideAndByMasqueradeFromInside(t *testing.T) {
	t.Parallel()
	w := newWorld(t, world{})
	for _, tt := range []struct {
		name           string
		server, client *netns.NS
		listen, dial   string
		seen           string // the address that the server sees
		from           string // the address that the client's socket has
	}{
		{"DNAT", w.inside, w.outside, "192.168.1.10:8080", "1.2.3.10:8080", "192.168.42.2", "192.168.42.2"},
		{"MASQUERADE", w.outside, w.inside, "192.168.42.2:8080", "192.168.42.2:8080", "192.168.42.1", "192.168.1.10"},
		{"IPv6, untranslated", w.outside, w.inside, "[fd00:42::2]:8080", "[fd00:42::2]:8080", "fd00:1::10", "fd00:1::10"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := listen(t, tt.server, tt.listen)
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
					fmt.Fprintln(c, host)
					io.Copy(c, c)
					c.Close()
				}
			}()
			c, err := dial(tt.client, "tcp", tt.dial)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if host, _, _ := net.SplitHostPort(c.LocalAddr().String()); host != tt.from {
				t.Errorf("the client is %s, want %s", host, tt.from)
			}
			if _, err := io.WriteString(c, "hello"); err != nil {
				t.Fatal(err)
			}
			c.(*net.TCPConn).CloseWrite()
			if got, err := io.ReadAll(c); err != nil || string(got) != tt.seen+"\nhello" {
				t.Errorf("TCP: %q, %v; want %q", got, err, tt.seen+"\nhello")
			}

			listenUDP(t, tt.server, tt.listen)
			got := exchange(t, tt.client, tt.dial, "hello")
			from, text, _ := strings.Cut(got, " ")
			if host, _, err := net.SplitHostPort(from); err != nil || host != tt.seen || text != "hello" {
				t.Errorf("UDP: %q, want it from %s", got, tt.seen)
			}
			// A datagram that has to be cut on the way, and made whole at both ends.
			long := strings.Repeat("0123456789", 600)
			if got := exchange(t, tt.client, tt.dial, long); !strings.HasSuffix(got, " "+long) {
				t.Errorf("UDP of %d bytes: %d came back", len(long), len(got))
			}
		})
	}
}

// noise is a file of n bytes that cannot be compressed, guessed or mixed up; sum learns its checksum on the way.
func noise(n int64, sum hash.Hash) io.Reader {
	return io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{1}), n), sum)
}

func TestAGigabyteByHTTPArrivesAsItWasSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, world{})
	size := int64(1 << 30)
	if testing.Short() || raceEnabled {
		size = 64 << 20
	}
	sums := make(chan string, 1)
	s := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Length", fmt.Sprint(size))
		sum := sha256.New()
		io.Copy(rw, noise(size, sum))
		sums <- fmt.Sprintf("%x", sum.Sum(nil))
	})}
	l := listen(t, w.inside, "192.168.1.10:80")
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })

	client := &http.Client{Transport: &http.Transport{
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			c, err := dial(w.outside, network, address)
			if err == nil {
				c.SetDeadline(time.Now().Add(10 * patience))
			}
			return c, err
		},
	}}
	defer client.CloseIdleConnections()
	r, err := client.Get("http://1.2.3.10/file")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	if err != nil || n != size {
		t.Fatalf("%d bytes of %d arrived: %v", n, size, err)
	}
	if got, want := fmt.Sprintf("%x", sum.Sum(nil)), <-sums; got != want {
		t.Errorf("checksum %s, sent was %s", got, want)
	}
}

func TestPingCrossesWholeAndInPieces(t *testing.T) {
	t.Parallel()
	w := newWorld(t, world{})
	for _, tt := range []struct {
		from *netns.NS
		to   string
	}{
		{w.inside, "192.168.42.2"}, {w.inside, "192.168.42.1"}, {w.inside, "192.168.1.1"}, {w.outside, "1.2.3.10"},
		{w.inside, "fd00:42::2"}, {w.inside, "fd00:42::1"}, {w.inside, "fd00:1::1"}, {w.outside, "fd00:1::10"},
	} {
		for _, size := range []string{"56", "3000", "60000"} {
			out, err := tool(t, tt.from, "ping", "-n", "-c", "3", "-i", "0.1", "-W", "5", "-s", size, tt.to)
			if err != nil || !strings.Contains(out, "3 received, 0% packet loss") {
				t.Errorf("ping -s %s %s: %v\n%s", size, tt.to, err, out)
			}
		}
	}
}

func TestTracerouteShowsTheRouterAndWhatIsBehindIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, world{})
	for _, tt := range []struct {
		name string
		from *netns.NS
		to   string
		hops []string
	}{
		{"from inside", w.inside, "192.168.42.2", []string{"192.168.1.1", "192.168.42.2"}},
		// The error about a packet to X belongs to X's connection, so it comes from X's public address (as on Linux).
		{"by DNAT", w.outside, "1.2.3.10", []string{"1.2.3.10", "1.2.3.10"}},
		{"IPv6 from inside", w.inside, "fd00:42::2", []string{"fd00:1::1", "fd00:42::2"}},
		{"IPv6 from outside", w.outside, "fd00:1::10", []string{"fd00:42::1", "fd00:1::10"}},
	} {
		for _, how := range []string{"-U", "-I", "-T"} {
			out, err := tool(t, tt.from, "traceroute", "-n", "-q", "1", "-N", "1", "-w", "5", "-m", "4", how, tt.to)
			var hops []string
			for line := range strings.Lines(out) {
				if f := strings.Fields(line); len(f) > 1 && f[0] != "traceroute" {
					hops = append(hops, f[1])
				}
			}
			if err != nil || strings.Join(hops, " ") != strings.Join(tt.hops, " ") {
				t.Errorf("%s, traceroute %s: hops %q, want %q (%v)\n%s", tt.name, how, hops, tt.hops, err, out)
			}
		}
	}
}

func TestIperfNeverStalls(t *testing.T) {
	t.Parallel()
	iperf, err := exec.LookPath("iperf3")
	if err != nil {
		netnstest.Skip(t, "iperf3 is not installed here")
	}
	w := newWorld(t, world{})
	seconds := "10"
	if testing.Short() || raceEnabled {
		seconds = "2"
	}
	server := exec.Command(iperf, "-s", "-B", "192.168.1.10")
	if err := w.inside.Start(server); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Process.Kill(); server.Wait() })
	eventually(t, "iperf3 -s listens", func() bool {
		c, err := dial(w.outside, "tcp", "1.2.3.10:5201")
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
	for _, args := range [][]string{
		{"-t", seconds}, {"-t", seconds, "-R"}, {"-t", "2", "-P", "4"},
		{"-t", "2", "-u", "-b", "100M", "-l", "1400"}, {"-t", "2", "-u", "-b", "50M", "-l", "4000", "-R"}, // the latter in fragments
	} {
		out, err := tool(t, w.outside, "iperf3", append([]string{"-J", "-c", "1.2.3.10"}, args...)...)
		out = out[max(0, strings.Index(out, "{")):] // there may be a warning about the size in front
		var report struct {
			Error     string
			Intervals []struct {
				Sum struct{ Bytes, Seconds float64 }
			}
		}
		if jerr := json.Unmarshal([]byte(out), &report); err != nil || jerr != nil || report.Error != "" || len(report.Intervals) == 0 {
			t.Errorf("iperf3 %v: %v, %v, %s", args, err, jerr, report.Error)
			continue
		}
		for i, iv := range report.Intervals {
			if iv.Sum.Bytes == 0 && iv.Sum.Seconds > 0.5 {
				t.Errorf("iperf3 %v: nothing in second %d", args, i)
			}
		}
	}
}

// stream keeps a TCP connection busy from inside to a server outside, and counts what has come back.
type stream struct {
	c    net.Conn
	back chan int // bytes as they arrive
	fail chan error
}

// newStream connects by MASQUERADE to an echo outside.
func newStream(t testing.TB, w *world, port string) *stream {
	t.Helper()
	l := listen(t, w.outside, "192.168.42.2:"+port)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	c, err := dial(w.inside, "tcp", "192.168.42.2:"+port)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Time{})
	t.Cleanup(func() { c.Close() })
	// Retransmissions back off to seconds while a link is down; that is TCP's business, not what tests wait for.
	if raw, err := c.(*net.TCPConn).SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, 44 /* TCP_RTO_MAX_MS */, 1000) })
	}
	s := &stream{c: c, back: make(chan int, 1<<12), fail: make(chan error, 2)}
	want := rand.NewChaCha8([32]byte{7})
	go func() {
		if _, err := io.Copy(c, struct{ io.Reader }{rand.NewChaCha8([32]byte{7})}); err != nil {
			s.fail <- err
		}
	}()
	go func() {
		got, exp := make([]byte, 1<<16), make([]byte, 1<<16)
		for {
			n, err := c.Read(got)
			if err != nil {
				s.fail <- err
				return
			}
			want.Read(exp[:n])
			if string(got[:n]) != string(exp[:n]) {
				s.fail <- fmt.Errorf("the stream came back with other bytes")
				return
			}
			select {
			case s.back <- n:
			default: // nobody listens now
			}
		}
	}()
	return s
}

// flows waits until so many bytes more have come back.
func (s *stream) flows(t testing.TB, bytes int) {
	t.Helper()
	for len(s.back) > 0 { // old news
		<-s.back
	}
	end := time.After(patience)
	for bytes > 0 {
		select {
		case n := <-s.back:
			bytes -= n
		case err := <-s.fail:
			t.Fatalf("the stream broke: %v", err)
		case <-end:
			t.Fatalf("the stream stalls: %d bytes are missing after %v", bytes, patience)
		}
	}
}
