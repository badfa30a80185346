package gateway

import (
	"errors"
	"math/rand/v2"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/moat-router/moat/stack/netns"
	"github.com/moat-router/moat/stack/netns/netnstest"
	"github.com/moat-router/moat/stack/packet"
)

// rawSender sends whatever bytes it is given by an interface, as only a packet socket can.
func rawSender(t testing.TB, n *netns.NS, dev string) func([]byte) {
	t.Helper()
	fd := -1
	var to unix.SockaddrLinklayer
	netnstest.In(t, n, func() (err error) {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		i, err := net.InterfaceByName(dev)
		if err == nil {
			to.Ifindex = i.Index
		}
		return err
	})
	t.Cleanup(func() { unix.Close(fd) })
	return func(b []byte) {
		t.Helper()
		to.Protocol = 0x0008 // ETH_P_IP in network order
		if len(b) > 0 && b[0]>>4 == 6 {
			to.Protocol = 0xdd86
		}
		// What is longer than the device, or finds its queue full, the kernel may refuse.
		if err := unix.Sendto(fd, b, 0, &to); err != nil && !errors.Is(err, unix.EMSGSIZE) && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINVAL) {
			t.Fatalf("send %d bytes: %v", len(b), err)
		}
	}
}

// sumHeader makes the checksum of an IPv4 header right, where there is one.
func sumHeader(b []byte) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return
	}
	b[10], b[11] = 0, 0
	var sum uint32
	for i := 0; i+1 < min(len(b), int(b[0]&15)*4); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	sum = sum&0xffff + sum>>16
	sum += sum >> 16
	b[10], b[11] = byte(^sum>>8), byte(^sum)
}

// drops reads moat's counters of packets that died.
func (w *world) drops() map[string]int {
	w.t.Helper()
	got := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^moat_drops_total\{reason="(\w+)"\} (\S+)$`).FindAllStringSubmatch(w.mustAsk("metrics"), -1) {
		n, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			w.t.Fatal(err)
		}
		got[m[1]] = int(n)
	}
	return got
}

func TestMalformedPacketsAreCountedByReasonAndHurtNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, world{})
	send := rawSender(t, w.outside, "wan")
	listenUDP(t, w.inside, "192.168.1.10:7")
	udp := packet.MustBuild("ip4 192.168.42.2>1.2.3.10 / udp 5000>7 len=8")
	udp6 := packet.MustBuild("ip6 fd00:42::2>fd00:1::10 / udp 5000>7 len=8")
	edit := func(b []byte, at int, v ...byte) []byte {
		b = append([]byte(nil), b...)
		copy(b[at:], v)
		if at != 10 {
			sumHeader(b)
		}
		return b
	}
	text := packet.MustBuild
	for _, tt := range []struct {
		name, reason string
		b            []byte
	}{
		{"version 0", "ip_version", edit(udp, 0, 0x05)},
		{"version 15", "ip_version", edit(udp, 0, 0xf5)},
		{"one byte", "ip_truncated", udp[:1]},
		{"half a header", "ip_truncated", udp[:10]},
		{"half an IPv6 header", "ip_truncated", udp6[:39]},
		{"IHL 4", "ip_header_length", edit(udp, 0, 0x44)},
		{"IHL behind the end", "ip_truncated", edit(udp[:24], 0, 0x4f)},
		{"longer than it is", "ip_truncated", edit(udp, 2, 0xff, 0xff)},
		{"shorter than its header", "ip_header_length", edit(udp, 2, 0, 19)},
		{"wrong header checksum", "ip_checksum", edit(udp, 10, 1, 2)},
		{"IPv6 longer than it is", "ip_truncated", edit(udp6, 4, 0xff, 0xff)},
		{"loopback source", "martian_source", text("ip4 127.0.0.1>1.2.3.10 / udp 1>2 len=8")},
		{"broadcast source", "martian_source", text("ip4 255.255.255.255>1.2.3.10 / udp 1>2 len=8")},
		{"multicast source", "martian_source", text("ip4 224.0.0.1>1.2.3.10 / udp 1>2 len=8")},
		{"our own address as source", "martian_source", text("ip4 192.168.42.1>1.2.3.10 / udp 1>2 len=8")},
		{"loopback destination", "martian_dest", text("ip4 192.168.42.2>127.0.0.1 / udp 1>2 len=8")},
		{"IPv6 multicast source", "martian_source", text("ip6 ff02::1>fd00:1::10 / udp 1>2 len=8")},
		{"IPv6 loopback source", "martian_source", text("ip6 ::1>fd00:1::10 / udp 1>2 len=8")},
	} {
		before := w.drops()
		send(tt.b)
		eventually(t, tt.name+" is counted", func() bool {
			after := w.drops()
			for why, n := range after {
				if n > before[why] && why != tt.reason && why != "local_ignored" {
					t.Fatalf("%s: counted as %s, want %s", tt.name, why, tt.reason)
				}
			}
			return after[tt.reason] > before[tt.reason]
		})
	}
	if got := exchange(t, w.outside, "1.2.3.10:7", "well?"); !strings.HasSuffix(got, "well?") {
		t.Errorf("after all that: %q", got)
	}
}

func TestAFloodOfBrokenPacketsStallsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, world{rules: dmzRules + "*mangle\n-A PREROUTING -m string --string x --algo bm -j MARK --set-mark 1\n-A POSTROUTING -p tcp --tcp-flags SYN SYN -j TCPMSS --clamp-mss-to-pmtu\nCOMMIT\n"})
	s := newStream(t, w, "7")
	s.flows(t, 1<<20)
	var good [][]byte
	for _, text := range []string{
		"ip4 192.168.42.2>1.2.3.10 / udp 5000>7 len=8", "ip4 192.168.42.2>1.2.3.10 / tcp 5000>7 S mss=1460 ws=7 sackok ts=1:0",
		"ip4 192.168.42.2>192.168.42.1 / icmp 8/0 id=1 seq=1 len=100", "ip4 192.168.42.2>1.2.3.10 mf id=7 / udp 5000>7 len=800",
		"ip4 192.168.42.2>192.168.42.1 / icmp 3/3 / ip4 192.168.42.1>192.168.42.2 / udp 7>5000 len=8",
		"ip6 fd00:42::2>fd00:1::10 / udp 5000>7 len=8", "ip6 fd00:42::2>fd00:42::1 / icmp6 128/0 id=1 seq=1 len=100",
		"ip6 fd00:42::2>fd00:42::1 / icmp6 1/4 / ip6 fd00:42::1>fd00:42::2 / udp 1>2 len=8", "ip4 192.168.42.2>1.2.3.10 / raw 0102030405060708",
		"ip6 fd00:42::2>fd00:1::10 / frag6 off=8 mf id=5 nh=17 / raw 0102030405060708",
	} {
		b, err := packet.Build(text)
		if err != nil {
			t.Fatal(err)
		}
		good = append(good, b)
	}
	for name, n := range map[string]*netns.NS{"wan": w.outside, "lan": w.inside} {
		send := rawSender(t, n, name)
		rnd := rand.New(rand.NewPCG(1, uint64(len(name))))
		rounds := 10_000
		if testing.Short() || raceEnabled {
			rounds = 3_000
		}
		for i := range rounds {
			b := append([]byte(nil), good[rnd.IntN(len(good))]...)
			for range 1 + rnd.IntN(4) {
				b[rnd.IntN(len(b))] = byte(rnd.Uint32())
			}
			if rnd.IntN(3) == 0 {
				b = b[:1+rnd.IntN(len(b))]
			}
			if rnd.IntN(4) > 0 { // past the first check
				sumHeader(b)
			}
			send(b)
			if i%1000 == 0 && w.moat.ended() {
				t.Fatalf("moat has ended: %s", w.moat.said())
			}
		}
	}
	s.flows(t, 1<<20)
}
