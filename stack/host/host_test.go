package host

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

var (
	ap   = netip.MustParseAddrPort
	ip   = netip.MustParseAddr
	cidr = netip.MustParsePrefix
)

// pair is two hosts at the ends of one cable, on virtual time.
type pair struct {
	a, b  *Host
	clock *Clock
	net   *Network
}

func newPair(t *testing.T, o link.PipeOptions) *pair {
	t.Helper()
	p := &pair{clock: NewClock()}
	p.net = NewNetwork(p.clock)
	la, lb := link.Pipe("a", "b", o)
	for _, h := range []struct {
		h    **Host
		l    link.Link
		addr []netip.Prefix
	}{{&p.a, la, []netip.Prefix{cidr("10.0.0.1/24"), cidr("fd00::1/64")}}, {&p.b, lb, []netip.Prefix{cidr("10.0.0.2/24"), cidr("fd00::2/64")}}} {
		var err error
		if *h.h, err = NewHost(h.l, HostConfig{Addresses: h.addr, Clock: p.clock, Wait: p.net.Wait}); err != nil {
			t.Fatal(err)
		}
		p.net.Add((*h.h).Pump)
		t.Cleanup(func() { (*h.h).Close() })
	}
	return p
}

func TestTCPOnVirtualTime(t *testing.T) {
	t.Parallel()
	for _, server := range []netip.AddrPort{ap("10.0.0.2:7"), ap("[fd00::2]:7")} {
		p := newPair(t, link.PipeOptions{})
		if _, err := p.b.Serve(Echo, "tcp", server); err != nil {
			t.Fatal(err)
		}
		c, err := p.a.DialTCP(context.Background(), netip.AddrPort{}, server)
		if err != nil {
			t.Fatal(err)
		}
		sent := bytes.Repeat([]byte("moat"), 20000)
		if _, err := c.Write(sent); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("echo differs, %v", err)
		}
		c.SetReadDeadline(time.Now().Add(time.Hour))
		before := p.clock.Time()
		if _, err := c.Read(got); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("silence: %v, want a deadline", err)
		}
		if d := p.clock.Time().Sub(before); d < 59*time.Minute || d > time.Hour {
			t.Errorf("the clock moved by %v, want an hour", d)
		}
		c.SetReadDeadline(time.Time{})
		c.(interface{ CloseWrite() error }).CloseWrite()
		if _, err := c.Read(got); err != io.EOF {
			t.Errorf("after both closed: %v, want EOF", err)
		}
		c.Close()
	}
}

func TestTCPSurvivesLossOnVirtualTime(t *testing.T) {
	t.Parallel()
	p := newPair(t, link.PipeOptions{Slots: 3}) // a window does not fit: segments are lost and sent again by timers
	p.b.Serve(Echo, "tcp", ap("0.0.0.0:7"))
	c, err := p.a.DialTCP(context.Background(), netip.AddrPort{}, ap("10.0.0.2:7"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sent := bytes.Repeat([]byte("0123456789"), 5000)
	if _, err := c.Write(sent); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("echo differs, %v", err)
	}
	if p.clock.Time() == 0 {
		t.Error("no retransmission timer was needed: the test tests nothing")
	}
}

func TestUDPOnVirtualTime(t *testing.T) {
	t.Parallel()
	p := newPair(t, link.PipeOptions{})
	p.b.Serve(Echo, "udp", ap("[::]:7"))
	for _, to := range []string{"10.0.0.2:7", "[fd00::2]:7"} {
		c, err := p.a.DialUDP(netip.AddrPort{}, ap(to))
		if err != nil {
			t.Fatal(err)
		}
		big := bytes.Repeat([]byte{1, 2, 3}, 1500) // crosses the cable in fragments
		for _, m := range [][]byte{[]byte("hello"), big} {
			c.Write(m)
			buf := make([]byte, 9000)
			n, err := c.Read(buf)
			if err != nil || !bytes.Equal(buf[:n], m) {
				t.Errorf("%s: %d of %d bytes, %v", to, n, len(m), err)
			}
		}
		c.Close()
	}
	c, _ := p.a.DialUDP(netip.AddrPort{}, ap("10.0.0.2:9"))
	c.Write([]byte("x"))
	c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Read(make([]byte, 10)); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("closed port: %v, want connection refused", err)
	}
}

func TestHTTPOnVirtualTime(t *testing.T) {
	t.Parallel()
	p := newPair(t, link.PipeOptions{})
	ln, err := p.b.ListenTCP(ap("10.0.0.2:80"))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "you are "+r.RemoteAddr)
	})}
	go srv.Serve(ln)
	defer srv.Close()
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
		return p.a.DialTCP(ctx, netip.AddrPort{}, ap(addr))
	}}
	client := http.Client{Transport: tr}
	for range 3 {
		r, err := client.Get("http://10.0.0.2:80/")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || !strings.HasPrefix(string(body), "you are 10.0.0.1:") {
			t.Errorf("%q, %v", body, err)
		}
	}
}

func TestClosedPortRefuses(t *testing.T) {
	t.Parallel()
	p := newPair(t, link.PipeOptions{})
	if _, err := p.a.DialTCP(context.Background(), netip.AddrPort{}, ap("10.0.0.2:80")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v, want connection refused", err)
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	p := newPair(t, link.PipeOptions{})
	for _, dst := range []string{"10.0.0.2", "fd00::2"} {
		a, err := p.a.Ping(ip(dst), Probe{Size: 56})
		if err != nil || !a.Reply || a.From != ip(dst) || a.TTL != 64 {
			t.Errorf("%s: %+v, %v", dst, a, err)
		}
		a, err = p.a.Ping(ip(dst), Probe{UDP: 33434})
		port := [2]uint8{3, 3}
		if ip(dst).Is6() {
			port = [2]uint8{1, 4}
		}
		if err != nil || a.Reply || [2]uint8{a.Type, a.Code} != port {
			t.Errorf("UDP to %s: %+v, %v; want port unreachable", dst, a, err)
		}
	}
	if _, err := p.a.Ping(ip("10.0.0.77"), Probe{}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("nobody: %v", err)
	}
	if p.clock.Time() != packet.Time(time.Second) {
		t.Errorf("the clock stands at %v, want the second that Ping waited", time.Duration(p.clock.Time()))
	}
	if path, err := p.a.Trace(ip("10.0.0.2"), 5, Probe{}); err != nil || len(path) != 1 || !path[0].Reply {
		t.Errorf("trace: %v, %v", path, err)
	}
}

func TestLiveHostsSpeakHTTP(t *testing.T) {
	t.Parallel()
	la, lb := link.Pipe("a", "b", link.PipeOptions{})
	a, err := NewHost(la, HostConfig{Addresses: []netip.Prefix{cidr("10.0.0.1/24")}})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := NewHost(lb, HostConfig{Addresses: []netip.Prefix{cidr("10.0.0.2/24")}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.Serve(Hello, "tcp", ap("0.0.0.0:80")); err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
		return a.DialTCP(ctx, netip.AddrPort{}, ap(addr))
	}}}
	r, err := client.Get("http://10.0.0.2:80/")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if body, err := io.ReadAll(r.Body); err != nil || string(body) != "hello from moat\n" {
		t.Errorf("%q, %v", body, err)
	}
	if pong, err := a.Ping(ip("10.0.0.2"), Probe{Timeout: 5 * time.Second}); err != nil || !pong.Reply {
		t.Errorf("live ping: %v, %v", pong, err)
	}
}

// router is a Stack as the router uses it, with what it sends.
func router(t *testing.T, mtus ...int) (*Stack, *[][]byte) {
	t.Helper()
	var out [][]byte
	s := New(Config{Clock: NewClock(), Out: func(p *packet.Packet) { out = append(out, bytes.Clone(p.Data)) }})
	t.Cleanup(func() { s.Close() })
	for i, mtu := range mtus {
		if err := s.SetLink(i+1, fmt.Sprint("if", i), mtu); err != nil {
			t.Fatal(err)
		}
		for _, a := range []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, byte(i + 1), 1}), 24)} {
			if err := s.AddAddress(i+1, a); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s, &out
}

func parsed(t *testing.T, hexBytes string) *packet.Packet {
	t.Helper()
	b, err := hex.DecodeString(hexBytes)
	if err != nil {
		t.Fatal(err)
	}
	p := packet.New()
	p.Load(b)
	if why := p.Parse(); why != packet.ReasonNone {
		t.Fatalf("%s: %v", hexBytes, why)
	}
	return p
}

func TestSynAckLooksLikeLinux(t *testing.T) {
	t.Parallel()
	tests := []struct {
		claim   string
		mtu     int
		synOpts string // of a SYN from 192.168.1.10:5000 to 192.168.1.1:80
		want    string // window and options of the answer of kernel 6.18
	}{
		{"mtu 1500, MSS option", 1500, "020405b4", "faf0 020405b4"},
		{"mtu 1280, MSS option", 1280, "020405b4", "fbe0 020404d8"},
		{"mtu 9000, MSS option", 9000, "020405b4", "f500 02042300"},
		{"mtu 9000, no option", 9000, "", "f500 02042300"},
		{"all that Linux offers", 1500, "020405b40402080a000000010000000001030307", "fe88 020405b40402080a********000000010103030a"},
		{"SACK and window scale", 1500, "020405b40101040201030307", "faf0 020405b4010104020103030a"},
		{"timestamps alone", 1500, "020405b40101080a0000000100000000", "fe88 020405b40101080a********00000001"},
		{"window scale alone", 1500, "020405b401030307", "faf0 020405b40103030a"},
		{"small MSS of the peer", 1500, "02040218", "faf0 020405b4"},
	}
	for _, tt := range tests {
		s, out := router(t, tt.mtu)
		if _, err := s.Serve(Silent, "tcp", ap("0.0.0.0:80")); err != nil {
			t.Fatal(err)
		}
		s.Deliver(syn(t, tt.synOpts), 1)
		s.Settle()
		if len(*out) != 1 {
			t.Errorf("%s: %d answers", tt.claim, len(*out))
			continue
		}
		b := (*out)[0]
		p := parsed(t, hex.EncodeToString(b))
		got := hex.EncodeToString(b[34:36]) + " " + hex.EncodeToString(b[40:])
		if i := strings.Index(tt.want, "*"); i > 0 && len(got) == len(tt.want) { // our own timestamp
			got = got[:i] + "********" + got[i+8:]
		}
		if got != tt.want {
			t.Errorf("%s: window and options %s, want %s", tt.claim, got, tt.want)
		}
		if !bytes.Equal(b[4:9], []byte{0, 0, 0x40, 0, 64}) || b[1] != 0 {
			t.Errorf("%s: IPv4 header %x, want identification 0, DF, TTL 64, TOS 0", tt.claim, b[:20])
		}
		if b[33] != 0x12 || !p.TransportSumOK() {
			t.Errorf("%s: flags %#x, checksum good: %v", tt.claim, b[33], p.TransportSumOK())
		}
	}
}

func syn(t *testing.T, options string) *packet.Packet {
	t.Helper()
	o, err := hex.DecodeString(options)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := hex.DecodeString("45000028123440004006000" + "0" + "c0a8010ac0a80101" + "1388005000000064000000005002ffff00000000")
	b = append(b, o...)
	b[3] = byte(len(b))
	b[32] = byte(5+len(o)/4) << 4
	packet.SetIPv4Checksum(b[:20])
	p := parsed(t, hex.EncodeToString(b))
	p.PutTransportChecksum()
	return p
}

// A segment without SYN to a listener that knows no such connection; expected bytes from kernel 6.18.
func TestStraySegmentToListenerIsReset(t *testing.T) {
	t.Parallel()
	s, out := router(t, 1500)
	if _, err := s.Serve(Silent, "tcp", ap("0.0.0.0:80")); err != nil {
		t.Fatal(err)
	}
	p := syn(t, "")
	copy(p.Data[20:], []byte{0x13, 0x8e}) // port 5006, ack 77, flags A
	p.Data[31], p.Data[33] = 77, 0x10
	p.PutTransportChecksum()
	s.Deliver(p, 1)
	s.Settle()
	want := "45000028000040004006b774c0a80101c0a8010a0050138e0000004d0000000050040000185a0000"
	if len(*out) != 1 || hex.EncodeToString((*out)[0]) != want {
		t.Errorf("answers %x, want %s", *out, want)
	}
}

// A SYN over IPv6 and the answer of kernel 6.18, but for what it chose: sequence number, timestamp and checksum.
func TestSynAckOverIPv6(t *testing.T) {
	t.Parallel()
	s, out := router(t, 1500)
	if err := s.AddAddress(1, cidr("fd00:1::1/64")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Serve(Silent, "tcp", ap("[::]:81")); err != nil {
		t.Fatal(err)
	}
	b, err := packet.Build("ip6 fd00:1::10>fd00:1::1 / tcp 5007>81 S seq=100 mss=1440 sackok ts=1:0 ws=7")
	if err != nil {
		t.Fatal(err)
	}
	p := packet.New()
	p.Load(b)
	if p.Parse() != packet.ReasonNone || !s.HasSocket(p) || !s.Deliver(p, 1) {
		t.Fatal("not delivered")
	}
	s.Settle()
	want := "6000000000280640fd000001000000000000000000000001fd0000010000000000000000000000100051138f" +
		"********" + "00000065a012fb04" + "****" + "0000020405a00402080a" + "********" + "000000010103030a"
	if len(*out) != 1 || len((*out)[0])*2 != len(want) {
		t.Fatalf("answers %x", *out)
	}
	got := []byte(hex.EncodeToString((*out)[0]))
	for i := range want {
		if want[i] == '*' {
			got[i] = '*'
		}
	}
	if string(got) != want {
		t.Errorf("answer %s, want %s", got, want)
	}
}

func TestTakenPortIsRefused(t *testing.T) {
	t.Parallel()
	s, _ := router(t, 1500)
	for _, network := range []string{"tcp", "udp"} {
		if _, err := s.Serve(Silent, network, ap("192.168.1.1:80")); err != nil {
			t.Fatal(err)
		}
		for _, again := range []string{"192.168.1.1:80", "0.0.0.0:80", "[::]:80"} {
			if _, err := s.Serve(Silent, network, ap(again)); !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("%s %s again: %v, want EADDRINUSE", network, again, err)
			}
		}
		if _, err := s.Serve(Silent, network, ap("127.0.0.1:80")); err == nil {
			t.Errorf("%s: 127.0.0.1 is no address here", network)
		}
		if _, err := s.Serve(Silent, network, ap("192.168.9.9:81")); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("%s on a foreign address: %v, want EADDRNOTAVAIL", network, err)
		}
	}
}

func TestListenerMayComeBack(t *testing.T) {
	t.Parallel()
	p := newPair(t, link.PipeOptions{})
	for range 3 {
		l, err := p.b.ListenTCP(ap("10.0.0.2:80"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := p.a.DialTCP(context.Background(), netip.AddrPort{}, ap("10.0.0.2:80"))
		if err != nil {
			t.Fatal(err)
		}
		d, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		d.Close() // the server's end keeps the port in TIME_WAIT
		c.Close()
		l.Close()
		p.net.Settle()
	}
}

func TestOnlySocketsAreFound(t *testing.T) {
	t.Parallel()
	s, out := router(t, 1500, 1500)
	p := syn(t, "")
	if s.HasSocket(p) {
		t.Error("a socket, though nobody listens")
	}
	stop, err := s.Serve(Silent, "tcp", ap("192.168.1.1:80"))
	if err != nil {
		t.Fatal(err)
	}
	if !s.HasSocket(p) {
		t.Error("the listener is not found")
	}
	stop()
	s.Settle()
	if s.HasSocket(p) {
		t.Error("the listener outlived its stop")
	}
	s.Deliver(p, 1)
	s.Settle()
	for _, b := range *out {
		if b[9] == 1 {
			t.Errorf("an ICMP message left, which is the router's work: %x", b)
		}
	}
}

func TestReplyLeavesThoughItsAddressIsOnAnotherInterface(t *testing.T) {
	t.Parallel()
	s, out := router(t, 1500, 1500)
	if _, err := s.Serve(Silent, "tcp", ap("0.0.0.0:80")); err != nil {
		t.Fatal(err)
	}
	if !s.Deliver(syn(t, ""), 2) { // for 192.168.1.1, but it came in by the second interface
		t.Fatal("not delivered")
	}
	s.Settle()
	if len(*out) != 1 {
		t.Errorf("%d answers, want a SYN/ACK", len(*out))
	}
}

func TestDeliveringFromInsideOutDoesNotRecurse(t *testing.T) {
	t.Parallel()
	// The router talks to itself: what its socket sends comes back in.
	var s *Stack
	depth, deepest := 0, 0
	s = New(Config{Clock: NewClock(), Out: func(p *packet.Packet) {
		depth++
		deepest = max(deepest, depth)
		if p.Parse() == packet.ReasonNone && s.HasSocket(p) {
			s.Deliver(p, 1)
		}
		s.Settle()
		depth--
	}})
	defer s.Close()
	s.SetLink(1, "lo", 65535)
	s.AddAddress(1, cidr("192.168.1.1/24"))
	if _, err := s.Serve(Echo, "tcp", ap("192.168.1.1:7")); err != nil {
		t.Fatal(err)
	}
	c, err := s.DialTCP(context.Background(), ap("192.168.1.1:0"), ap("192.168.1.1:7"))
	if err != nil {
		t.Fatal(err)
	}
	c.Write([]byte("me"))
	b := make([]byte, 2)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "me" {
		t.Fatalf("%q, %v", b, err)
	}
	if deepest != 1 {
		t.Errorf("Out was entered %d times over", deepest)
	}
}

func TestUDPSuperSegmentArrivesAsDatagrams(t *testing.T) {
	t.Parallel()
	s, _ := router(t, 1500)
	c, err := s.ListenUDP(ap("192.168.1.1:9"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b, err := packet.Build("ip4 192.168.1.10>192.168.1.1 / udp 1>9 len=250")
	if err != nil {
		t.Fatal(err)
	}
	p := packet.New()
	p.Load(b)
	p.Offload = packet.Offload{GSO: packet.GSOUDP, GSOSize: 100, HdrLen: 28, NeedsCsum: true, CsumStart: 20, CsumOff: 6}
	if why := p.Parse(); why != packet.ReasonNone || !s.Deliver(p, 1) {
		t.Fatalf("not delivered: %v", why)
	}
	for _, want := range []int{100, 100, 50} {
		buf := make([]byte, 1000)
		c.SetReadDeadline(time.Now().Add(time.Second))
		if n, _, err := c.ReadFrom(buf); err != nil || n != want {
			t.Errorf("datagram of %d bytes, %v; want %d", n, err, want)
		}
	}
}

func TestChecksums(t *testing.T) {
	t.Parallel()
	tests := []struct {
		claim, text string
		o           packet.Offload
		heard       bool
	}{
		{"good", "udp 1>9 len=5", packet.Offload{}, true},
		{"wrong", "udp 1>9 len=5 sum=bad", packet.Offload{}, false},
		{"none", "udp 1>9 len=5 sum=none", packet.Offload{}, true},
		{"still to be filled in", "udp 1>9 len=5 sum=bad", packet.Offload{NeedsCsum: true, CsumStart: 20, CsumOff: 6}, true},
		{"vouched for by the link", "udp 1>9 len=5 sum=bad", packet.Offload{CsumGood: true}, true},
	}
	for _, tt := range tests {
		s, _ := router(t, 1500)
		c, err := s.ListenUDP(ap("192.168.1.1:9"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := packet.Build("ip4 192.168.1.10>192.168.1.1 / " + tt.text)
		if err != nil {
			t.Fatal(err)
		}
		p := packet.New()
		p.Load(b)
		p.Offload = tt.o
		p.Parse()
		s.Deliver(p, 1)
		c.SetReadDeadline(time.Now().Add(time.Second))
		n, _, err := c.ReadFrom(make([]byte, 100))
		if heard := err == nil && n == 5; heard != tt.heard {
			t.Errorf("%s: heard %v (%v), want %v", tt.claim, heard, err, tt.heard)
		}
	}
}

func TestFullRingIsCounted(t *testing.T) {
	t.Parallel()
	s := New(Config{Clock: NewClock(), Ring: 2})
	defer s.Close()
	s.SetLink(1, "x", 1500)
	s.AddAddress(1, cidr("10.0.0.1/24"))
	c, err := s.DialUDP(netip.AddrPort{}, ap("10.0.0.9:9"))
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if sent, lost := s.Settle(), s.Dropped(); sent != 2 || lost != 3 {
		t.Errorf("%d sent, %d dropped; want 2, 3", sent, lost)
	}
}

func TestTimersFireInOrder(t *testing.T) {
	t.Parallel()
	c := NewClock()
	var got []int
	note := func(i int) func() { return func() { got = append(got, i) } }
	c.AfterFunc(2*time.Second, note(3))
	c.AfterFunc(time.Second, note(1))
	c.AfterFunc(time.Second, note(2))
	stopped := c.AfterFunc(time.Second, note(99))
	again := c.AfterFunc(time.Millisecond, note(4))
	again.Reset(3 * time.Second)
	if !stopped.Stop() || stopped.Stop() {
		t.Error("Stop must say true once")
	}
	if n := c.Advance(packet.Time(2 * time.Second)); n != 3 {
		t.Errorf("%d timers ran by 2 s, want 3", n)
	}
	c.Advance(packet.Time(5 * time.Second))
	for i, g := range got {
		if g != i+1 {
			t.Fatalf("order %v", got)
		}
	}
	if c.Time() != packet.Time(5*time.Second) || len(got) != 4 {
		t.Errorf("clock at %d, ran %v", c.Time(), got)
	}
	c.Advance(packet.Time(time.Second))
	if c.Time() != packet.Time(5*time.Second) {
		t.Error("the clock went back")
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		New(Config{Clock: NewClock()}).Close()
	}
}

func BenchmarkSettleQuiet(b *testing.B) {
	s := New(Config{Clock: NewClock()})
	defer s.Close()
	for b.Loop() {
		s.Settle()
	}
}

func BenchmarkBarrier(b *testing.B) {
	s := New(Config{Clock: NewClock()})
	defer s.Close()
	for b.Loop() {
		s.barrier()
	}
}
