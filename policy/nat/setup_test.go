package nat_test

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/policy/nat"
	"github.com/moat-router/moat/policy/nat/walktest"
	"github.com/moat-router/moat/stack/packet"
)

func build(tb testing.TB, text string) []byte {
	tb.Helper()
	b, err := packet.Build(text)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// snat is a router that translates what leaves by wan.
func snat(to string) *walktest.Router {
	r := walktest.New(conntrack.DefaultParams())
	r.SNAT = walktest.Range(to)
	return r
}

// out lets a packet of the client pass and gives the source port or id and address that the world sees.
func out(tb testing.TB, r *walktest.Router, text string) (addr string, port uint16) {
	tb.Helper()
	s := r.Inject(walktest.Lan, build(tb, text))
	if s == nil {
		return r.Reason.String(), 0
	}
	if s.Data[9] == packet.ProtoICMP {
		return packet.Addr4(s.Data[12:]).String(), binary.BigEndian.Uint16(s.Data[24:])
	}
	return packet.Addr4(s.Data[12:]).String(), binary.BigEndian.Uint16(s.Data[20:])
}

func udp(host, port int, dst string) string {
	return fmt.Sprintf("ip4 192.168.1.%d>%s / udp %d>53 len=8", host, dst, port)
}

func TestSNATKeepsPortWhenFree(t *testing.T) {
	t.Parallel()
	r := snat("1.2.3.1")
	for i, text := range []string{
		udp(10, 5000, "198.51.100.9"), udp(11, 5001, "198.51.100.9"),
		udp(12, 5000, "198.51.100.10"), // the same port at another destination is another tuple
	} {
		want := uint16(5000)
		if i == 1 {
			want = 5001
		}
		if a, p := out(t, r, text); a != "1.2.3.1" || p != want {
			t.Errorf("%s: %s:%d, want 1.2.3.1:%d", text, a, p, want)
		}
	}
}

// On a clash the new port is of the old one's class, and the source keeps it at other destinations.
func TestSNATClashStaysInPortClassAndIsRemembered(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ port, lo, hi uint16 }{{400, 1, 511}, {700, 600, 1023}, {5000, 1024, 65535}} {
		r := snat("1.2.3.1")
		out(t, r, udp(10, int(c.port), "198.51.100.9"))
		_, p := out(t, r, udp(11, int(c.port), "198.51.100.9"))
		if p == c.port || p < c.lo || p > c.hi {
			t.Errorf("port %d becomes %d, want another between %d and %d", c.port, p, c.lo, c.hi)
		}
		if _, again := out(t, r, udp(11, int(c.port), "198.51.100.77")); again != c.port && again != p {
			t.Errorf("at another destination the port is %d, want %d or %d", again, c.port, p)
		}
	}
}

// A mapping outside of what the packet has now is reused at another destination (RFC 4787 REQ-1, as far as Linux has it).
func TestSNATReusesTheSourcesMapping(t *testing.T) {
	t.Parallel()
	r := snat("1.2.3.1:2000-2999")
	_, first := out(t, r, udp(10, 5000, "198.51.100.9"))
	for i := range 20 {
		if _, p := out(t, r, udp(10, 5000, fmt.Sprintf("203.0.113.%d", i+1))); p != first {
			t.Fatalf("destination %d sees port %d, the first one %d", i, p, first)
		}
	}
}

// An exhausted range drops the packet, at confirm and by name, and leaves nothing behind.
func TestExhaustedRangeDropsByName(t *testing.T) {
	t.Parallel()
	r := snat("1.2.3.1:2000-2003")
	seen := map[uint16]bool{}
	for i := range 4 {
		a, p := out(t, r, udp(10+i, 5000, "198.51.100.9"))
		if p < 2000 || p > 2003 || seen[p] {
			t.Fatalf("client %d: %s:%d", i, a, p)
		}
		seen[p] = true
	}
	if s := r.Inject(walktest.Lan, build(t, udp(20, 5000, "198.51.100.9"))); s != nil || r.Reason != packet.ReasonNATExhausted {
		t.Errorf("a fifth client: %v, want %v", r.Reason, packet.ReasonNATExhausted)
	}
	if n := r.T.Count(); n != 4 {
		t.Errorf("%d connections, want 4", n)
	}
	// A place that becomes free is found.
	r.Now = packet.Time(31 * time.Second)
	r.T.Advance(r.Now)
	if _, p := out(t, r, udp(20, 5000, "198.51.100.9")); p < 2000 || p > 2003 {
		t.Error("the range stays exhausted after its connections have ended")
	}
}

// Two public addresses that are DNATed to one server: the second flow from the same client port gets another source
// port, though no rule speaks of sources (FACTS: a DNAT can clash, too).
func TestDNATClashChangesTheSourcePort(t *testing.T) {
	t.Parallel()
	r := walktest.New(conntrack.DefaultParams())
	r.DNAT = walktest.Range("192.168.1.10")
	r.To = walktest.Addr("1.2.3.10")
	direct := r.Inject(walktest.Wan, build(t, "ip4 198.51.100.9>192.168.1.10 / udp 4000>53 len=8"))
	mapped := r.Inject(walktest.Wan, build(t, "ip4 198.51.100.9>1.2.3.10 / udp 4000>53 len=8"))
	if direct == nil || mapped == nil {
		t.Fatal("a packet was dropped:", r.Reason)
	}
	if p := binary.BigEndian.Uint16(mapped.Data[20:]); p == 4000 || p < 1024 {
		t.Errorf("the second flow comes from port %d, want another than 4000 above 1023", p)
	}
	back := r.Inject(walktest.Lan, build(t, fmt.Sprintf("ip4 192.168.1.10>198.51.100.9 / udp 53>%d len=8", binary.BigEndian.Uint16(mapped.Data[20:]))))
	if back == nil || packet.Text(back.Data) != "ip4 1.2.3.10>198.51.100.9 ttl=63 id=0x1234 / udp 53>4000 len=8" {
		t.Errorf("its answer: %v", back)
	}
}

// With few attempts left a new TCP connection takes the port of one in TIME_WAIT, if its numbers lie behind it.
func TestTCPTakesOverTimeWait(t *testing.T) {
	t.Parallel()
	for seq, want := range map[uint32]bool{5000: true, 50: false} {
		r := snat("1.2.3.1:2000-2000")
		tcp := func(rest string) string { return "ip4 192.168.1.10>198.51.100.9 / tcp 5000>80 " + rest }
		back := func(rest string) string { return "ip4 198.51.100.9>1.2.3.1 / tcp 80>2000 " + rest }
		for _, p := range []struct{ in, text string }{
			{walktest.Lan, tcp("S seq=100")}, {walktest.Wan, back("SA seq=900 ack=101")}, {walktest.Lan, tcp("A seq=101 ack=901")},
			{walktest.Lan, tcp("FA seq=101 ack=901")}, {walktest.Wan, back("FA seq=901 ack=102")}, {walktest.Lan, tcp("A seq=102 ack=902")},
		} {
			if r.Inject(p.in, build(t, p.text)) == nil {
				t.Fatalf("%s: %v", p.text, r.Reason)
			}
		}
		// One port, and the range does not hold the client's own: the search has one attempt, which may push aside.
		r.SNAT.Flags |= nat.ProtoRandom
		got := r.Inject(walktest.Lan, build(t, fmt.Sprintf("ip4 192.168.1.11>198.51.100.9 / tcp 5000>80 S seq=%d", seq))) != nil
		if got != want {
			t.Errorf("a SYN with number %d passes: %v, want %v (%v)", seq, got, want, r.Reason)
		}
	}
}

// Echo ids are ports: kept where they are free, changed in request and answer alike where not.
func TestEchoIDsClash(t *testing.T) {
	t.Parallel()
	r := snat("1.2.3.1")
	out(t, r, "ip4 192.168.1.10>198.51.100.9 / icmp 8/0 id=7 seq=1")
	_, id := out(t, r, "ip4 192.168.1.11>198.51.100.9 / icmp 8/0 id=7 seq=1")
	if id == 7 {
		t.Fatal("two clients have the same id")
	}
	s := r.Inject(walktest.Wan, build(t, fmt.Sprintf("ip4 198.51.100.9>1.2.3.1 / icmp 0/0 id=%d seq=1", id)))
	if s == nil || packet.Text(s.Data) != "ip4 198.51.100.9>192.168.1.11 ttl=63 id=0x1234 / icmp 0/0 id=7 seq=1 len=0" {
		t.Errorf("the answer: %v", s)
	}
}

// An error about a flow whose port was changed carries the client's own port again, in header and quote, with valid
// checksums.
func TestErrorAboutClashedFlowIsTranslated(t *testing.T) {
	t.Parallel()
	r := snat("1.2.3.1")
	out(t, r, udp(10, 5000, "198.51.100.9"))
	_, p := out(t, r, udp(11, 5000, "198.51.100.9"))
	s := r.Inject(walktest.Wan, build(t, fmt.Sprintf("ip4 203.0.113.7>1.2.3.1 / icmp 3/3 / ip4 1.2.3.1>198.51.100.9 / udp %d>53 len=8", p)))
	if s == nil {
		t.Fatal(r.Reason)
	}
	want := build(t, "ip4 203.0.113.7>192.168.1.11 ttl=63 / icmp 3/3 / ip4 192.168.1.11>198.51.100.9 / udp 5000>53 len=8")
	if string(s.Data) != string(want) {
		t.Errorf("\n got %s\nwant %s", packet.Text(s.Data), packet.Text(want))
	}
}

// A masqueraded connection dies with the address, and with the interface.
func TestMasqueradeEndsWithAddressAndDevice(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(r *walktest.Router){
		"address": func(r *walktest.Router) { nat.MasqueradeAddrGone(r.T, 0, 2, walktest.Addr("10.0.0.2")) },
		"device":  func(r *walktest.Router) { nat.MasqueradeDown(r.T, 0, 2) },
	} {
		r := snat("10.0.0.2")
		r.Masq = true
		out(t, r, udp(10, 5000, "198.51.100.9"))
		nat.MasqueradeAddrGone(r.T, 0, 2, walktest.Addr("10.0.0.3"))
		nat.MasqueradeDown(r.T, 0, 3)
		if r.T.Count() != 1 {
			t.Fatalf("%s: another address or device ended the connection", name)
		}
		end(r)
		if r.T.Count() != 0 {
			t.Errorf("%s: the connection is still there", name)
		}
	}
}

func TestNetMapKeepsTheHostPart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ lo, hi, in, want string }{
		{"1.2.3.0", "1.2.3.255", "192.168.1.77", "1.2.3.77"},
		{"10.16.0.0", "10.31.255.255", "172.29.3.4", "10.29.3.4"},
		{"2001:db8:1::", "2001:db8:1:ffff:ffff:ffff:ffff:ffff", "fd00:1:2:3::4", "2001:db8:1:3::4"},
	} {
		r := nat.NetMapRange(walktest.Range(c.lo+"-"+c.hi), walktest.Addr(c.in))
		if r.MinAddr != walktest.Addr(c.want) || r.MaxAddr != r.MinAddr || r.Flags&nat.MapIPs == 0 {
			t.Errorf("%s in %s-%s: %s, want %s", c.in, c.lo, c.hi, r.MinAddr, c.want)
		}
	}
}

// BenchmarkPortSearch90 is the search for a port where nine of ten are taken.
func BenchmarkPortSearch90(b *testing.B) {
	r := snat("1.2.3.1:1024-11023")
	r.T.SetParams(func() *conntrack.Params { p := conntrack.DefaultParams(); p.Max = 0; return p }())
	p := build(b, udp(10, 5000, "198.51.100.9"))
	client := func(i int) []byte {
		binary.BigEndian.PutUint16(p[14:], uint16(256+i>>14))
		binary.BigEndian.PutUint16(p[20:], uint16(20000+i&0x3fff))
		p[26], p[27] = 0, 0 // no checksum
		packet.SetIPv4Checksum(p)
		return p
	}
	clients := 0
	for ; r.T.Count() < 9000; clients++ {
		r.Inject(walktest.Lan, client(clients)) // a search that is bounded may find nothing: then the next client tries
	}
	pkt := packet.New()
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		var ref conntrack.Ref
		pkt.Load(client(clients + i))
		pkt.Parse()
		r.T.In(0, pkt, &ref, conntrack.HookInfo{Local: true}, r.Rng)
		nat.NullBinding(r.T, 0, ref.Conn, nat.ManipDst, r.Rng)
		nat.Setup(r.T, 0, ref.Conn, r.SNAT, nat.ManipSrc, r.Rng)
		r.T.Release(&ref)
	}
}

// The address of a range is the one that kernel 6.18 took for the same flow: a hash over source and destination, or over
// the source alone with --persistent.
func TestRangeAddressIsTheKernels(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		to, pkt, want string
		flags         nat.Flags
	}{
		{"1.2.3.0-1.2.3.255", "ip4 192.168.1.41>198.51.64.83 / udp 2000>80", "1.2.3.63", 0},
		{"2001:db8:1::1-2001:db8:2::", "ip6 fd00:1::5>2001:db8:9:5::bb7a / udp 2000>53", "2001:db8:1:ef22:ea22:470:ea22:470", 0},
		{"2001:db8:1::fff0-2001:db8:1::1:f", "ip6 fd00:1::18>2001:db8:9:7::4628 / udp 2000>53", "2001:db8:1::ffff", 0},
		{"2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "ip6 fd00:1::11>2001:db8:9:8::62f5 / udp 2000>53", "2001:db8::f817:5816:f817:5816", nat.Persistent},
	} {
		r := snat(c.to)
		r.SNAT.Flags |= c.flags
		s := r.Inject(walktest.Lan, build(t, c.pkt))
		if s == nil {
			t.Fatal(c.pkt, r.Reason)
		}
		got := packet.Addr4(s.Data[12:])
		if s.Data[0]>>4 == 6 {
			got = packet.Addr6(s.Data[8:])
		}
		if got != walktest.Addr(c.want) {
			t.Errorf("%s to %s: %s, want %s", c.pkt, c.to, got, c.want)
		}
	}
}

// An error whose checksum the link vouches for, though it is wrong, leaves with a right one: Linux computes it anew.
func TestTranslatedErrorOfAnOffloadingLinkGetsItsChecksum(t *testing.T) {
	t.Parallel()
	r := snat("1.2.3.1")
	out(t, r, udp(10, 5000, "198.51.100.9"))
	p := parsed(t, "ip4 203.0.113.7>1.2.3.1 / icmp 3/3 sum=bad / ip4 1.2.3.1>198.51.100.9 / udp 5000>53 len=8")
	p.CsumGood = true
	var ref conntrack.Ref
	r.T.In(0, p, &ref, conntrack.HookInfo{}, r.Rng)
	defer r.T.Release(&ref)
	if !nat.TranslateICMP(r.T, p, ref, nat.ManipDst) {
		t.Fatal("it was refused")
	}
	p.CsumGood = false
	if !p.TransportSumOK() || p.Dst() != walktest.Addr("192.168.1.10") {
		t.Errorf("%s: its checksum is wrong", packet.Text(p.Data))
	}
}
