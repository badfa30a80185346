package packet

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

func addr(s string) Addr { return AddrFrom(netip.MustParseAddr(s)) }

// transports are packets whose text has SRC>DST and SPORT>DPORT; an edit of the packet must equal a new build of
// the edited text.
var transports = []string{
	"ip4 10.0.0.1>9.9.9.9 / udp 4000>53 len=7",
	"ip4 10.0.0.1>9.9.9.9 / udp 4000>53 len=7 sum=none",
	"ip4 10.0.0.1>9.9.9.9 opts=94040000 df tos=0x10 / tcp 4000>53 SA seq=7 ack=9 mss=1460 len=33",
	"ip4 10.0.0.1>9.9.9.9 mf / udp 4000>53 len=8 ulen=100",
	"ip6 fd00::1>2001:db8::9 / udp 4000>53 len=7",
	"ip6 fd00::1>2001:db8::9 fl=0x12345 / tcp 4000>53 A seq=7 len=20",
	"ip6 fd00::1>2001:db8::9 / dstopt 010400000000 / tcp 4000>53 A seq=7 len=21",
	"ip6 fd00::1>2001:db8::9 / hbh 010400000000 / frag6 id=7 / udp 4000>53 len=20",
}

// withoutTransport have nothing but an IP header to edit.
var withoutTransport = []string{
	"ip4 10.0.0.1>9.9.9.9 / icmp 8/0 id=7 len=12",
	"ip6 fd00::1>2001:db8::9 / icmp6 128/0 id=7 len=12",
	"ip4 10.0.0.1>9.9.9.9 proto=47 / raw 00000800deadbeef",
	"ip4 10.0.0.1>9.9.9.9 off=800 proto=17 / raw 0102030405060708090a",
	"ip4 10.0.0.1>9.9.9.9 proto=6 / raw 0fa00035",
	"ip6 fd00::1>2001:db8::9 / frag6 off=800 id=7 nh=17 / raw 0102030405060708090a",
	"ip6 fd00::1>2001:db8::9",
}

var renumber = strings.NewReplacer("10.0.0.1>9.9.9.9", "203.0.113.77>192.168.1.10", "fd00::1>2001:db8::9", "2001:db8:77::1>fd00:1::10")

func setAddrs(p *Packet) {
	if p.V6 {
		p.SetSrc(addr("2001:db8:77::1"))
		p.SetDst(addr("fd00:1::10"))
		return
	}
	p.SetSrc(addr("203.0.113.77"))
	p.SetDst(addr("192.168.1.10"))
}

func TestEditedAddressesEqualANewPacket(t *testing.T) {
	t.Parallel()
	for _, text := range append(append([]string(nil), transports...), withoutTransport...) {
		p := parsed(t, text)
		setAddrs(p)
		want := MustBuild(renumber.Replace(text))
		// The checksum of a first fragment covers what is elsewhere: its change is compared, not its value.
		if p.MF {
			old := MustBuild(text)
			d := Delta(0).Bytes(old[12:20], want[12:20])
			copy(want[p.L4+6:], old[p.L4+6:p.L4+8])
			d.FixUDP(want[p.L4+6:])
		}
		if !bytes.Equal(p.Data, want) {
			t.Errorf("%s\n got %s\n     %x\nwant %x", text, Text(p.Data), p.Data, want)
		}
	}
}

func TestEditedPortsEqualANewPacket(t *testing.T) {
	t.Parallel()
	for _, text := range transports {
		p := parsed(t, text)
		if !p.SetSrcPort(61000) || !p.SetDstPort(5353) {
			t.Errorf("%s: no ports", text)
		}
		if want := MustBuild(strings.Replace(text, "4000>53", "61000>5353", 1)); !bytes.Equal(p.Data, want) {
			t.Errorf("%s\n got %x\nwant %x", text, p.Data, want)
		}
	}
	for _, text := range withoutTransport {
		p := parsed(t, text)
		before := bytes.Clone(p.Data)
		if cut := strings.Contains(text, "proto=6"); p.SetSrcPort(1) != cut {
			t.Errorf("%s: ports where there are none", text)
		} else if !cut && !bytes.Equal(p.Data, before) {
			t.Errorf("%s was changed", text)
		}
	}
}

func TestHeaderFieldsAreEditedWithTheirChecksum(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from, to string
		edit     func(*Packet)
	}{
		{"ttl=64", "ttl=63", (*Packet).DecTTL},
		{"ttl=1", "ttl=0", (*Packet).DecTTL},
		{"tos=0xff", "tos=0x03", func(p *Packet) { p.SetDSCP(0) }},
		{"tos=0xff", "tos=0xfc", func(p *Packet) { p.SetECN(0) }},
		{"tos=0x01", "tos=0xb9", func(p *Packet) { p.SetDSCP(0x2e) }},
		{"df", "", func(p *Packet) { p.SetDF(false) }},
		{"id=7", "id=0xffff", func(p *Packet) { p.SetID(0xffff) }},
	} {
		base := "ip4 10.0.0.1>9.9.9.9 %s / udp 1>2 len=3"
		p := parsed(t, fmt.Sprintf(base, c.from))
		c.edit(p)
		if want := MustBuild(fmt.Sprintf(base, c.to)); !bytes.Equal(p.Data, want) {
			t.Errorf("%s: %x, want %x", c.from, p.Data, want)
		}
	}
	p := parsed(t, "ip6 fd00::1>fd00::2 tc=0xff fl=0x12345 hlim=9 / udp 1>2 len=3")
	p.SetDSCP(0x2e)
	p.DecTTL()
	if want := MustBuild("ip6 fd00::1>fd00::2 tc=0xbb fl=0x12345 hlim=8 / udp 1>2 len=3"); !bytes.Equal(p.Data, want) {
		t.Errorf("%x, want %x", p.Data, want)
	}
}

func TestICMPIDIsEditedWithItsChecksum(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"ip4 10.0.0.1>9.9.9.9 / icmp 8/0 id=%d len=12", "ip6 fd00::1>2001:db8::9 / icmp6 128/0 id=%d len=12"} {
		p := parsed(t, fmt.Sprintf(base, 7))
		if !p.SetICMPID(60000) || !bytes.Equal(p.Data, MustBuild(fmt.Sprintf(base, 60000))) {
			t.Errorf("%s: %s", base, Text(p.Data))
		}
	}
}

// partialOf turns a whole packet into what a link with checksum offload delivers.
func partialOf(t *testing.T, text string) *Packet {
	p := parsed(t, text)
	v := p.view()
	off, n := v.addrOff()
	l := l4Of(p.Proto)
	sum := PseudoSum(p.Data[off:off+n], p.Data[off+n:off+2*n], p.Proto, p.L4Len())
	p.NeedsCsum, p.CsumStart, p.CsumOff = true, uint16(p.L4), uint16(l.csum)
	at := p.L4 + int(l.csum)
	p.Data[at], p.Data[at+1] = byte(sum>>8), byte(sum)
	return p
}

func TestPartialChecksumsAreCompletedRightAfterEdits(t *testing.T) {
	t.Parallel()
	for _, text := range transports {
		if strings.Contains(text, "mf") || strings.Contains(text, "none") {
			continue
		}
		p := partialOf(t, text)
		setAddrs(p)
		p.SetSrcPort(61000)
		p.CompleteChecksum()
		want := MustBuild(strings.Replace(renumber.Replace(text), "4000>", "61000>", 1))
		if p.NeedsCsum || !bytes.Equal(p.Data, want) {
			t.Errorf("%s\n got %s\nwant %s", text, Text(p.Data), Text(want))
		}
	}
}

func TestAWrongChecksumStaysWrong(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"ip4 10.0.0.1>9.9.9.9 / udp 4000>53 len=7 sum=bad", "ip6 fd00::1>2001:db8::9 / tcp 4000>53 S sum=bad"} {
		p := parsed(t, text)
		setAddrs(p)
		p.SetDstPort(1)
		if p.TransportSumOK() || Walk(p.Data).Sums[len(Walk(p.Data).Sums)-1].State != SumBad {
			t.Errorf("%s was mended", text)
		}
	}
}

// RFC 768: 0 says that there is no checksum, so a sum of 0 is sent as 0xffff.
func TestUDPSumThatComesOutAsZeroIsSentAsAllOnes(t *testing.T) {
	t.Parallel()
	p := parsed(t, "ip4 10.0.0.1>9.9.9.9 / udp 4000>53 len=4")
	good := uint16(p.Data[26])<<8 | uint16(p.Data[27])
	p.SetDstPort(53 + good) // takes the checksum to exactly zero
	if p.Data[26] != 0xff || p.Data[27] != 0xff || !p.TransportSumOK() {
		t.Errorf("checksum %x", p.Data[26:28])
	}
}

func TestFixNeverGivesNegativeZero(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ sum, old, new, want uint16 }{
		{0xdd2f, 0x5555, 0x3285, 0x0000}, // RFC 1624, section 4
		{0xffff, 0x1234, 0x1234, 0x0000}, // as csum_replace2 of Linux
		{0x0000, 0x0001, 0x0002, 0xfffe},
	} {
		b := []byte{byte(c.sum >> 8), byte(c.sum)}
		FixSum16(b, c.old, c.new)
		if got := uint16(b[0])<<8 | uint16(b[1]); got != c.want {
			t.Errorf("%04x with %04x for %04x: %04x, want %04x", c.sum, c.new, c.old, got, c.want)
		}
	}
}

func TestOverwriteFollowsOddOffsets(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		p := parsed(t, "ip4 10.0.0.1>9.9.9.9 / udp 4000>53 len=41")
		new := make([]byte, 1+r.IntN(9))
		for i := range new {
			new[i] = byte(r.Uint32())
		}
		off := 8 + r.IntN(41-len(new)+1)
		if !p.Overwrite(off, new) || !p.TransportSumOK() || !bytes.Equal(p.L4Bytes()[off:off+len(new)], new) {
			t.Fatalf("%d bytes at %d: %s", len(new), off, Text(p.Data))
		}
	}
	p := parsed(t, "ip4 10.0.0.1>9.9.9.9 / udp 4000>53 len=4")
	if p.Overwrite(10, []byte{1, 2, 3}) {
		t.Error("wrote behind the end")
	}
}

func TestReplaceMakesLengthsAndChecksumsAnew(t *testing.T) {
	t.Parallel()
	for _, base := range []string{
		"ip4 10.0.0.1>9.9.9.9 / udp 4000>53 / text %q", "ip4 10.0.0.1>9.9.9.9 / udp 4000>53 sum=none / text %q",
		"ip4 10.0.0.1>9.9.9.9 opts=94040000 / tcp 4000>21 PA seq=1 / text %q",
		"ip6 fd00::1>2001:db8::9 / dstopt 010400000000 / tcp 4000>21 PA / text %q",
	} {
		for _, new := range []string{"x", "", "192,168,100,200", "12345678"} {
			p := parsed(t, fmt.Sprintf(base, "PORT 10,0,0,1,4,1"))
			off, ok := p.PayloadOff()
			want := MustBuild(fmt.Sprintf(base, "PORT "+new+",4,1"))
			if !ok || !p.Replace(off+5, 8, []byte(new)) || !bytes.Equal(p.Data, want) {
				t.Errorf(base+"\n got %x\nwant %x", new, p.Data, want)
			}
			if p.Parse() != ReasonNone || !p.TransportSumOK() {
				t.Errorf("%s is broken", Text(p.Data))
			}
		}
	}
	p := parsed(t, "ip4 10.0.0.1>9.9.9.9 / udp 4000>53 len=60000")
	before := bytes.Clone(p.Data)
	if p.Replace(28, 0, make([]byte, 6000)) || !bytes.Equal(before, p.Data) {
		t.Error("grew beyond what the length field can say")
	}
}

func TestReplaceKeepsAPartialChecksumPartial(t *testing.T) {
	t.Parallel()
	p := partialOf(t, `ip4 10.0.0.1>9.9.9.9 / tcp 4000>21 PA seq=1 / text "PORT 10,0,0,1,4,1"`)
	p.Replace(45, 8, []byte("192,168,100,200"))
	p.CompleteChecksum()
	if want := MustBuild(`ip4 10.0.0.1>9.9.9.9 / tcp 4000>21 PA seq=1 / text "PORT 192,168,100,200,4,1"`); !bytes.Equal(p.Data, want) {
		t.Errorf("%s\nwant %s", Text(p.Data), Text(want))
	}
}

func TestInsertedTCPOptionEqualsANewPacket(t *testing.T) {
	t.Parallel()
	for _, base := range []string{
		"ip4 10.0.0.1>9.9.9.9 / tcp 4000>80 S seq=1%s ws=7 len=3", "ip6 fd00::1>2001:db8::9 / tcp 4000>80 S seq=1%s",
	} {
		mss := []byte{2, 4, 5, 0xb4}
		p := parsed(t, fmt.Sprintf(base, ""))
		want := MustBuild(fmt.Sprintf(base, " mss=1460"))
		if !p.InsertTCPOption(mss) || !bytes.Equal(p.Data, want) {
			t.Errorf("%s\n got %s\nwant %s", base, Text(p.Data), Text(want))
		}
		q := partialOf(t, fmt.Sprintf(base, ""))
		q.InsertTCPOption(mss)
		q.CompleteChecksum()
		if !bytes.Equal(q.Data, want) {
			t.Errorf("%s, partial\n got %s\nwant %s", base, Text(q.Data), Text(want))
		}
	}
	full := parsed(t, "ip4 10.0.0.1>9.9.9.9 / tcp 4000>80 S opts="+strings.Repeat("01", 40))
	if full.InsertTCPOption([]byte{2, 4, 5, 0xb4}) {
		t.Error("a header of 60 bytes grew")
	}
}

func TestSCTPChecksumFollowsPortEdits(t *testing.T) {
	t.Parallel()
	p := parsed(t, "ip4 10.0.0.1>9.9.9.9 proto=132 / raw 0fa0005000000001000000000100000c0000000100010000")
	if p.TransportSumOK() {
		t.Error("a checksum of zero is right?")
	}
	p.SetTransportChecksum()
	if !p.TransportSumOK() {
		t.Error("the computed checksum is wrong")
	}
	p.SetSrcPort(61000)
	if !p.TransportSumOK() {
		t.Error("the checksum did not follow the port")
	}
	p.Data[len(p.Data)-1] ^= 1
	if p.TransportSumOK() {
		t.Error("a changed bit was not seen")
	}
}

// CRC32c of 32 bytes of zeros: 0xaa36918a, sent as 8a9136aa (RFC 3720 B.4).
func TestSCTPChecksumHasTheByteOrderOfRFC3720(t *testing.T) {
	t.Parallel()
	if got := sctpCRC(make([]byte, 32)); got != 0x8a9136aa {
		t.Errorf("%#x", got)
	}
}

// Kernel 6.18 with ctstate INVALID dropped: what passed, and what did not. The second and third are right by RFC 3828,
// with 136 in the pseudo-header, and INVALID all the same.
func TestUDPLiteIsVerifiedAsTheKernelDoes(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]bool{
		"0fa000350008040e": true, "0fa0003500149d1e": false, "0fa0003500080397": false, "0fa0003500149d95": true,
		"0fa0003500140000": false, "0fa0003500070398": false, "0fa0003500159d1d": false, "0fa0003500141234": false,
	} {
		p := parsed(t, "ip4 192.168.1.10>198.51.100.9 proto=136 / raw "+header+" / pat 12")
		if got := p.TransportSumOK(); got != want {
			t.Errorf("%s: %v", header, got)
		}
	}
}

func TestUDPLiteChecksumIsBuiltOverWhatItCovers(t *testing.T) {
	t.Parallel()
	p := parsed(t, "ip4 192.168.1.10>198.51.100.9 proto=136 / raw 0fa0003500080000 / pat 12")
	p.PutTransportChecksum()
	if got := p.L4Bytes()[6:8]; !bytes.Equal(got, []byte{0x03, 0x97}) {
		t.Errorf("%x", got)
	}
}

// Kernel 6.18, SNAT of a DCCP request: the address changes, the checksum does not.
func TestDCCPChecksumIsLeftAlone(t *testing.T) {
	t.Parallel()
	const dccp = " proto=33 / raw 0fa000500500ebb5010000000000000100001234"
	p := parsed(t, "ip4 192.168.1.10>198.51.100.9"+dccp)
	p.SetSrc(addr("10.0.0.2"))
	if want := MustBuild("ip4 10.0.0.2>198.51.100.9" + dccp); !bytes.Equal(p.Data, want) || !p.TransportSumOK() {
		t.Errorf("%x, want %x", p.Data, want)
	}
}

func TestEditsDoNotAllocate(t *testing.T) {
	p, q := parsed(t, "ip4 10.0.0.1>9.9.9.9 / tcp 4000>53 S"), parsed(t, "ip4 10.0.0.1>9.9.9.9 / icmp 3/3 / ip4 9.9.9.9>10.0.0.1 / udp 1>2 len=4")
	s := parsed(t, "ip6 fd00::1>2001:db8::9 / dstopt 010400000000 / raw 0fa0005000000001000000000100000c0000000100010000")
	s.Proto = ProtoSCTP
	a := addr("1.2.3.4")
	if n := testing.AllocsPerRun(100, func() {
		p.Parse()
		p.SetSrc(a)
		p.SetDstPort(7)
		p.DecTTL()
		p.TransportSumOK()
		s.SetSrcPort(9)
		s.SetDst(Addr{1: 2})
		s.ExtHeaders()
		if v, ok := q.Quote(); ok {
			v.SetDst(a)
			v.SetSrcPort(9)
			v.Close()
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkParseAndNAT(b *testing.B) {
	p := parsed(b, "ip4 10.0.0.1>9.9.9.9 / tcp 4000>53 A seq=1 len=1400")
	a, c := addr("203.0.113.7"), addr("10.0.0.1")
	for b.Loop() {
		p.Parse()
		p.SetSrc(a)
		p.SetSrcPort(60000)
		a, c = c, a
	}
}
