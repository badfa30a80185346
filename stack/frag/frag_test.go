package frag

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

func parsed(t testing.TB, text string) *packet.Packet {
	t.Helper()
	p := packet.New()
	p.Load(packet.MustBuild(text))
	if why := p.Parse(); why != packet.ReasonNone {
		t.Fatalf("%s: reason %d", text, why)
	}
	return p
}

// whole is a datagram as reassembly leaves it: text, and the sizes of the pieces that it came in, the largest of which
// had a header of hlen bytes.
func whole(t testing.TB, text string, hlen int, sizes ...int) *packet.Packet {
	p := parsed(t, text)
	off := 0
	for _, n := range sizes {
		p.Pieces = append(p.Pieces, packet.Piece{Off: uint16(off), Len: uint16(n)})
		off += n
		p.FragMax = max(p.FragMax, hlen+n)
	}
	return p
}

func cut(t testing.TB, p *packet.Packet, w Way) (texts []string, err error) {
	t.Helper()
	err = New().Cut(p, w, func(f *packet.Packet) error {
		texts = append(texts, packet.Text(f.Data))
		if f.Len() > w.MTU && f.GSO == packet.GSONone {
			t.Errorf("%d bytes left by an MTU of %d", f.Len(), w.MTU)
		}
		return nil
	})
	return texts, err
}

// The expected texts are what kernel 6.18 sent: the scenarios that are named, and probes of the same kind.
func TestCutsAreThoseOfTheKernel(t *testing.T) {
	t.Parallel()
	const s4, s6 = "ip4 198.51.100.9>192.168.1.10 ttl=63", "ip6 2001:db8:9::9>fd00:1::10 hlim=63"
	for _, c := range []struct {
		name string
		p    *packet.Packet
		mtu  int
		want []string
	}{
		{"G14: IPv4 in its original geometry", whole(t, s4+" / udp 1000>53 len=2000", 20, 400, 400, 400, 400, 400, 8), 1500, []string{
			s4 + " id=0x1234 mf / udp 1000>53 len=392 ulen=2008",
			s4 + " id=0x1234 mf off=400 / raw[400]", s4 + " id=0x1234 mf off=800 / raw[400]", s4 + " id=0x1234 mf off=1200 / raw[400]",
			s4 + " id=0x1234 mf off=1600 / raw[400]", s4 + " id=0x1234 off=2000 / raw[8]"}},
		{"G15: IPv4 that would fit", whole(t, s4+" / udp 1000>53 len=200", 20, 104, 104), 1500, []string{
			s4 + " id=0x1234 mf / udp 1000>53 len=96 ulen=208", s4 + " id=0x1234 off=104 / raw[104]"}},
		{"G15: IPv6 that would fit", whole(t, s6+" / udp 1000>53 len=200", 48, 104, 104), 1500, []string{
			s6 + " / frag6 off=0 id=0x77 nh=17 mf / udp 1000>53 len=96 ulen=208", s6 + " / frag6 off=104 id=0x77 nh=17 / raw[104]"}},
		{"G12: DF is dropped", whole(t, s4+" df id=0x77 / udp 1000>53 len=56", 20, 32, 32), 1500, []string{
			s4 + " id=0x77 mf / udp 1000>53 len=24 ulen=64", s4 + " id=0x77 off=32 / raw[32]"}},
		{"F09: a fragment is cut further", parsed(t, s4+" / udp 5000>53 len=1600 || frag 1400 idx=0"), 1280, []string{
			s4 + " id=0x1234 mf / udp 5000>53 len=1248 ulen=1608", s4 + " id=0x1234 mf off=1256 / raw[144]"}},
		{"F09: a last fragment passes", parsed(t, s4+" / udp 5000>53 len=1600 || frag 1400 idx=1"), 1280, []string{
			s4 + " id=0x1234 off=1400 / raw[208]"}},
		{"options that are not copied become no-operations", parsed(t, s4+" id=5 opts=0707080a0000020194040000 / udp 1>2 len=2000"), 1500, []string{
			s4 + " id=0x5 mf opts=0707080a0000020194040000 / udp 1>2 len=1456 ulen=2008",
			s4 + " id=0x5 off=1464 opts=010101010101010194040000 / raw[544]"}},
		{"a geometry that does not fit the options is not taken, and DF stays", whole(t, s4+" id=0x77 df opts=070708c0a8010101 / udp 1000>53 len=2000", 20, 1000, 1008), 1500, []string{
			s4 + " id=0x77 df mf opts=070708c0a8010101 / udp 1000>53 len=992 ulen=2008",
			s4 + " id=0x77 df mf off=1000 opts=0101010101010101 / raw[1000]", s4 + " id=0x77 df off=2000 opts=0101010101010101 / raw[8]"}},
		{"a tiny first fragment", whole(t, s4+" id=0x77 / udp 1000>53 len=2000", 20, 8, 1000, 1000), 1500, []string{
			s4 + " id=0x77 mf / udp 1000>53 len=0 ulen=2008", s4 + " id=0x77 mf off=8 / raw[1000]", s4 + " id=0x77 off=1008 / raw[1000]"}},
		{"hop-by-hop options are repeated", whole(t, s6+" / hbh 010400000000 / udp 1000>53 len=1600", 56, 800, 808), 1500, []string{
			s6 + " / hbh 010400000000 / frag6 off=0 id=0x77 nh=17 mf / udp 1000>53 len=792 ulen=1608",
			s6 + " / hbh 010400000000 / frag6 off=800 id=0x77 nh=17 / raw[808]"}},
		{"destination options of the fragmentable part come in front", whole(t, s6+" / dstopt 010400000000 / udp 1000>53 len=1600", 48, 800, 816), 1500, []string{
			s6 + " / dstopt 010400000000 / frag6 off=0 id=0x77 nh=17 mf / udp 1000>53 len=784 ulen=1608",
			s6 + " / dstopt 010400000000 / frag6 off=792 id=0x77 nh=17 / raw[816]"}},
		{"destination options behind a routing header are payload", whole(t, s6+" / rt6 000000000000 / dstopt 010400000000 / udp 1000>53 len=1600", 64, 800, 808), 1500, []string{
			s6 + " / rt6 000000000000 / frag6 off=0 id=0x77 nh=60 mf / dstopt 010400000000 / udp 1000>53 len=792 ulen=1608",
			s6 + " / rt6 000000000000 / frag6 off=808 id=0x77 nh=60 / raw[808]"}},
		{"what fits passes", parsed(t, s6+" / udp 1>2 len=100"), 1500, []string{s6 + " / udp 1>2 len=100"}},
	} {
		got, err := cut(t, c.p, Way{MTU: c.mtu, ID: 0x77})
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v\n got %s\nwant %s", c.name, err, strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
		}
		if needed := Needed(c.p, c.mtu, link.Offloads{}); needed != (len(c.want) > 1) {
			t.Errorf("%s: needed is %v", c.name, needed)
		}
	}
}

// Kernel 6.18, DNAT of a SYN of 624 bytes whose first fragment does not hold the TCP header: the kernel pulls it together
// to write to it, and the datagram leaves in pieces of the largest size that came in.
func TestGeometryChangesWhereTheTransportHeaderIsPulledTogether(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sizes []int
		want  string
	}{
		{[]int{8, 200, 200, 216}, "216 216 192"},
		{[]int{16, 200, 200, 208}, "208 208 208"},
		{[]int{8, 8, 8, 600}, "600 24"},
		{[]int{24, 200, 200, 200}, "24 200 200 200"},
	} {
		p := whole(t, "ip4 198.51.100.9>1.2.3.10 id=0x77 / tcp 4000>80 S seq=5 mss=1460 len=600", 20, c.sizes...)
		p.SetDst(packet.Addr4([]byte{192, 168, 1, 10}))
		if got := sizes(t, p); got != c.want {
			t.Errorf("%v left as %s, want %s", c.sizes, got, c.want)
		}
	}
	p := whole(t, "ip4 198.51.100.9>192.168.1.10 / tcp 4000>80 S mss=1460 len=600", 20, 200, 200, 224)
	p.Linearize() // as TCPMSS does
	if got := sizes(t, p); got != "224 224 176" {
		t.Errorf("linear: %s", got)
	}
}

// sizes are the payload lengths of the pieces in which p leaves.
func sizes(t *testing.T, p *packet.Packet) string {
	var all []string
	err := New().Cut(p, Way{MTU: 1500}, func(f *packet.Packet) error {
		all = append(all, fmt.Sprint(f.Len()-f.L4))
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return strings.Join(all, " ")
}

func TestTooBigIsWhatMayNotBeCut(t *testing.T) {
	t.Parallel()
	const s4, s6 = "ip4 198.51.100.9>192.168.1.10", "ip6 2001:db8:9::9>fd00:1::10"
	for _, c := range []struct {
		name string
		p    *packet.Packet
		want bool
	}{
		{"IPv4 with DF", parsed(t, s4+" df / udp 1>2 len=1400"), true},
		{"IPv4", parsed(t, s4+" / udp 1>2 len=1400"), false},
		{"IPv6", parsed(t, s6+" / udp 1>2 len=1400"), true},
		{"G16: IPv6 whose fragments are larger", whole(t, s6+" / udp 1000>53 len=2800", 48, 1440, 1368), true},
		{"IPv6 whose fragments fit", whole(t, s6+" / udp 1000>53 len=2800", 48, 1232, 1232, 344), false},
		{"IPv4 with DF whose fragments fit", whole(t, s4+" df / udp 1000>53 len=2800", 20, 1232, 1232, 344), false},
	} {
		if got := TooBig(c.p, 1280); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
		if _, err := cut(t, c.p, Way{MTU: 1280}); (err == ErrTooBig) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if got, err := cut(t, parsed(t, s6+" / udp 1>2 len=1400"), Way{MTU: 1280, Own: true}); err != nil || len(got) != 2 {
		t.Errorf("the router's own: %v, %v", got, err)
	}
}

// Whatever the sizes, the payloads of the fragments put together are the payload of the whole.
func TestFragmentsPutTogetherAreTheWhole(t *testing.T) {
	t.Parallel()
	for size := 8; size < 3000; size += 111 {
		for _, base := range []string{"ip4 10.0.0.1>9.9.9.9 / udp 1>2 len=%d", "ip6 fd00::1>fd00::2 / hbh 010400000000 / udp 1>2 len=%d"} {
			p := parsed(t, fmt.Sprintf(base, size))
			hlen := p.L4
			var got []byte
			last := false
			err := New().Cut(p, Way{MTU: 576, Own: true}, func(f *packet.Packet) error {
				at := f.L4
				if f.FragOff != len(got) && f.IsFragment() || last {
					t.Errorf("%d bytes: a piece at %d follows %d bytes", size, f.FragOff, len(got))
				}
				got = append(got, f.Data[at:]...)
				last = !f.MF
				return nil
			})
			if err != nil || !last || !bytes.Equal(got, p.Data[hlen:]) {
				t.Errorf(base+": %v, %d bytes", size, err, len(got))
			}
		}
	}
}

func TestEmitsErrorStopsTheCut(t *testing.T) {
	t.Parallel()
	n := 0
	err := New().Cut(parsed(t, "ip4 10.0.0.1>9.9.9.9 / udp 1>2 len=4000"), Way{MTU: 576}, func(*packet.Packet) error { n++; return link.ErrFull })
	if err != link.ErrFull || n != 1 {
		t.Errorf("%v after %d", err, n)
	}
}

// super makes a super-segment of a packet's text.
func super(t testing.TB, text string, kind packet.GSO, size int) *packet.Packet {
	p := parsed(t, text)
	p.GSO, p.GSOSize = kind, uint16(size)
	p.NeedsCsum, p.CsumStart, p.CsumOff = true, uint16(p.L4), 16
	if kind == packet.GSOUDP {
		p.CsumOff = 6
	}
	src, dst := p.Src(), p.Dst()
	binary.BigEndian.PutUint16(p.Data[int(p.CsumStart+p.CsumOff):], packet.PseudoSum(src.Wire(p.V6), dst.Wire(p.V6), p.Proto, p.L4Len()))
	return p
}

func TestSegmentsEqualThoseThatTheSenderWouldHaveSent(t *testing.T) {
	t.Parallel()
	const alphabet = "abcdefghijklmnopqrstuvwxyz"
	payload := strings.Repeat(alphabet, 10) // 260 bytes
	for _, c := range []struct {
		kind  packet.GSO
		super string
		want  []string
	}{
		{packet.GSOTCPv4, "ip4 10.0.0.1>9.9.9.9 df id=0xffff tos=1 / tcp 1>2 FPAC seq=0xffffffff ack=9 ts=1:2", []string{
			"ip4 10.0.0.1>9.9.9.9 df id=0xffff tos=1 / tcp 1>2 AC seq=0xffffffff ack=9 ts=1:2",
			"ip4 10.0.0.1>9.9.9.9 df id=0 tos=1 / tcp 1>2 A seq=99 ack=9 ts=1:2",
			"ip4 10.0.0.1>9.9.9.9 df id=1 tos=1 / tcp 1>2 FPA seq=199 ack=9 ts=1:2"}},
		{packet.GSOTCPv6, "ip6 fd00::1>fd00::2 / dstopt 010400000000 / tcp 1>2 PA seq=1", []string{
			"ip6 fd00::1>fd00::2 / dstopt 010400000000 / tcp 1>2 A seq=1", "ip6 fd00::1>fd00::2 / dstopt 010400000000 / tcp 1>2 A seq=101",
			"ip6 fd00::1>fd00::2 / dstopt 010400000000 / tcp 1>2 PA seq=201"}},
		{packet.GSOUDP, "ip4 10.0.0.1>9.9.9.9 id=7 / udp 1>2", []string{
			"ip4 10.0.0.1>9.9.9.9 id=7 / udp 1>2", "ip4 10.0.0.1>9.9.9.9 id=8 / udp 1>2", "ip4 10.0.0.1>9.9.9.9 id=9 / udp 1>2"}},
		{packet.GSOUDP, "ip6 fd00::1>fd00::2 / udp 1>2", []string{
			"ip6 fd00::1>fd00::2 / udp 1>2", "ip6 fd00::1>fd00::2 / udp 1>2", "ip6 fd00::1>fd00::2 / udp 1>2"}},
	} {
		p := super(t, c.super+` / text "`+payload+`"`, c.kind, 100)
		i := 0
		err := New().Cut(p, Way{MTU: 1500, Can: link.Offloads{Csum: true}}, func(s *packet.Packet) error {
			part := payload[i*100 : min(i*100+100, len(payload))]
			if want := packet.MustBuild(c.want[i] + ` / text "` + part + `"`); !bytes.Equal(s.Data, want) {
				t.Errorf("%s, segment %d\n got %s\nwant %s", c.super, i, packet.Text(s.Data), packet.Text(want))
			}
			if s.NeedsCsum || s.GSO != packet.GSONone {
				t.Errorf("%s, segment %d still asks for offload", c.super, i)
			}
			i++
			return nil
		})
		if err != nil || i != 3 {
			t.Errorf("%s: %v, %d segments", c.super, err, i)
		}
	}
}

// What is wrong with the sum that a sender left behind is wrong in every segment, whoever cuts.
func TestWrongPartialSumsStayWrong(t *testing.T) {
	t.Parallel()
	p := super(t, "ip6 fd00::1>fd00::2 / udp 1>2 len=2500", packet.GSOUDP, 1000)
	p.Data[p.L4+7]++
	err := New().Cut(p, Way{MTU: 1500}, func(s *packet.Packet) error {
		if s.TransportSumOK() {
			t.Errorf("a right sum: %s", packet.Text(s.Data))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// Kernel 6.18, a copy that TEE gave DF: segments of 1448 bytes meet an MTU of 1400. In IPv4 none leaves, the last one, which
// would fit, not either; in IPv6 it does.
func TestEachSegmentThatIsTooBigIsTold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text      string
		told, out int
	}{
		{"ip4 10.0.0.1>9.9.9.9 df / udp 1>2 len=3000", 3, 0},
		{"ip4 10.0.0.1>9.9.9.9 / udp 1>2 len=3000", 0, 5},
		{"ip6 fd00::1>fd00::2 / udp 1>2 len=3000", 2, 1},
	} {
		told, out := 0, 0
		p := super(t, c.text, packet.GSOUDP, 1440)
		err := New().Cut(p, Way{MTU: 1400, TooBig: func(s *packet.Packet) {
			if told++; s.GSO != packet.GSONone || !s.TransportSumOK() {
				t.Errorf("%s: told of %s", c.text, packet.Text(s.Data))
			}
		}}, func(*packet.Packet) error { out++; return nil })
		if err != nil || told != c.told || out != c.out {
			t.Errorf("%s: told of %d segments, %d packets out, %v; want %d and %d", c.text, told, out, err, c.told, c.out)
		}
	}
}

func TestSuperSegmentPassesWhereTheLinkSegments(t *testing.T) {
	t.Parallel()
	p := super(t, "ip4 10.0.0.1>9.9.9.9 df / tcp 1>2 A len=20000", packet.GSOTCPv4, 1460)
	can := link.Offloads{Csum: true, TSO4: true}
	n := 0
	err := New().Cut(p, Way{MTU: 1500, Can: can}, func(s *packet.Packet) error {
		n++
		if s != p || !s.NeedsCsum {
			t.Error("it was touched")
		}
		return nil
	})
	if err != nil || n != 1 || Needed(p, 1500, can) {
		t.Errorf("%v, %d packets", err, n)
	}
	if !TooBig(p, 1400) || TooBig(p, 1500) || NetworkLen(p) != 1500 {
		t.Errorf("counts as %d bytes", NetworkLen(p))
	}
	if err := New().Cut(p, Way{MTU: 1400, Can: can}, func(*packet.Packet) error { return nil }); err != ErrTooBig {
		t.Errorf("segments of 1500 bytes out of an MTU of 1400: %v", err)
	}
}

func TestSegmentsThatDoNotFitAreCutWhereTheyMay(t *testing.T) {
	t.Parallel()
	p := super(t, "ip4 10.0.0.1>9.9.9.9 id=7 / tcp 1>2 A len=2920", packet.GSOTCPv4, 1460)
	got, err := cut(t, p, Way{MTU: 1400, Can: link.Offloads{Csum: true, TSO4: true}})
	if err != nil || len(got) != 4 || !strings.Contains(got[3], "id=0x8 off=1376 / raw[104]") {
		t.Errorf("%v %q", err, got)
	}
}

func TestChecksumIsCompletedForLinksThatDoNot(t *testing.T) {
	t.Parallel()
	const text = "ip4 10.0.0.1>9.9.9.9 / tcp 1>2 S len=5"
	p := parsed(t, text)
	sum := packet.PseudoSum(p.Data[12:16], p.Data[16:20], packet.ProtoTCP, p.L4Len())
	p.NeedsCsum, p.CsumStart, p.CsumOff = true, 20, 16
	binary.BigEndian.PutUint16(p.Data[36:], sum)
	for _, can := range []link.Offloads{{Csum: true}, {}} {
		if Needed(p, 1500, can) == can.Csum {
			t.Errorf("%+v: needed is %v", can, !can.Csum)
		}
		_ = New().Cut(p, Way{MTU: 1500, Can: can}, func(f *packet.Packet) error {
			if right := bytes.Equal(f.Data, packet.MustBuild(text)); right == can.Csum {
				t.Errorf("%+v: checksum complete: %v", can, right)
			}
			return nil
		})
	}
}

func TestBrokenSuperSegmentsAreRefused(t *testing.T) {
	t.Parallel()
	for text, kind := range map[string]packet.GSO{
		"ip4 10.0.0.1>9.9.9.9 / udp 1>2 len=3000":         packet.GSOTCPv4,
		"ip4 10.0.0.1>9.9.9.9 / tcp 1>2 A len=3000":       packet.GSOUDP,
		"ip4 10.0.0.1>9.9.9.9 / tcp 1>2 A doff=4 len=900": packet.GSOTCPv4,
		"ip4 10.0.0.1>9.9.9.9 proto=6 / pat 9":            packet.GSOTCPv4,
	} {
		p := parsed(t, text)
		p.GSO, p.GSOSize = kind, 100
		if err := New().Cut(p, Way{MTU: 1500}, func(*packet.Packet) error { return nil }); err != ErrUncuttable {
			t.Errorf("%s: %v", text, err)
		}
	}
	p := parsed(t, "ip4 10.0.0.1>9.9.9.9 / tcp 1>2 A len=900")
	p.GSO = packet.GSOTCPv4
	if err := Segment(p, packet.New(), func(*packet.Packet) error { return nil }); err != ErrUncuttable {
		t.Errorf("segments of no bytes: %v", err)
	}
}

func TestCutDoesNotAllocate(t *testing.T) {
	c := New()
	p := parsed(t, "ip4 10.0.0.1>9.9.9.9 / udp 1>2 len=4000")
	q := super(t, "ip6 fd00::1>fd00::2 / tcp 1>2 PA seq=1 len=9000", packet.GSOTCPv6, 1400)
	sent := 0
	emit := func(*packet.Packet) error { sent++; return nil }
	if n := testing.AllocsPerRun(100, func() {
		_ = c.Cut(p, Way{MTU: 1500}, emit)
		_ = c.Cut(q, Way{MTU: 1500}, emit)
	}); n != 0 || sent == 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkCut is a super-segment of 64 KiB for a link that takes none, and a datagram that is too long for its way.
func BenchmarkCut(b *testing.B) {
	for _, c := range []struct {
		name string
		p    *packet.Packet
	}{
		{"segments", super(b, "ip4 10.0.0.1>9.9.9.9 df / tcp 1>2 A len=62780", packet.GSOTCPv4, 1460)},
		{"fragments", parsed(b, "ip4 10.0.0.1>9.9.9.9 / udp 1>2 len=8000")},
	} {
		b.Run(c.name, func(b *testing.B) {
			k, n := New(), 0
			b.ReportAllocs()
			for b.Loop() {
				if err := k.Cut(c.p, Way{MTU: 1500}, func(*packet.Packet) error { n++; return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/piece")
		})
	}
}

func FuzzCut(f *testing.F) {
	f.Add(packet.MustBuild("ip4 10.0.0.1>9.9.9.9 opts=94040000 / udp 1>2 len=900"), uint16(576), uint8(0), uint16(400))
	f.Add(packet.MustBuild("ip6 fd00::1>fd00::2 / hbh 010400000000 / tcp 1>2 PA len=900"), uint16(576), uint8(2), uint16(100))
	c, p := New(), packet.New()
	f.Fuzz(func(t *testing.T, b []byte, mtu uint16, gso uint8, size uint16) {
		if len(b) > packet.MaxData {
			return
		}
		p.Load(b)
		if len(b) >= 20 && b[0]>>4 == 4 && b[0]&15 >= 5 && int(b[0]&15)*4 <= len(b) {
			packet.SetIPv4Checksum(p.Data)
		}
		if p.Parse() != packet.ReasonNone {
			return
		}
		p.GSO, p.GSOSize = packet.GSO(gso%4), size
		if size&1 == 1 && p.GSO == packet.GSONone {
			p.FragMax = int(size)
			p.Pieces = append(p.Pieces, packet.Piece{Len: size & 0x1f8}, packet.Piece{Len: size >> 4})
		}
		n := 0
		_ = c.Cut(p, Way{MTU: int(mtu), Own: true, ID: 1}, func(q *packet.Packet) error {
			if n++; n > 70000 {
				t.Fatal("there is no end")
			}
			if q.Len() > int(mtu) && q.Len() > packet.MaxData {
				t.Errorf("%d bytes left", q.Len())
			}
			return nil
		})
	})
}
