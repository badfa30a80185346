package packet

import (
	"bytes"
	"testing"
)

// Scenarios F05-malformed-ip, C12-malformed-tcp, E10-hbh-dstopt, and RFC 8200.
func TestParseNamesTheReason(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Reason{
		"raw":                                  ReasonEmpty,
		"raw 45":                               ReasonIPTruncated,
		"raw 60":                               ReasonIPTruncated,
		"raw 15":                               ReasonIPVersion,
		"ip4 10.0.0.1>9.9.9.9 / udp 1>2 len=8": ReasonNone,
		"ip4 10.0.0.1>9.9.9.9 sum=bad / udp 1>2 len=8":                  ReasonIPChecksum,
		"ip4 10.0.0.1>9.9.9.9 ihl=4 / udp 1>2 len=8":                    ReasonIPHeaderLength,
		"ip4 10.0.0.1>9.9.9.9 ihl=15 / udp 1>2 len=8":                   ReasonIPTruncated,
		"ip4 10.0.0.1>9.9.9.9 len=60 / udp 1>2 len=8":                   ReasonIPTruncated,
		"ip4 10.0.0.1>9.9.9.9 len=19 / udp 1>2 len=8":                   ReasonIPHeaderLength,
		"ip4 10.0.0.1>9.9.9.9 ver=5 / udp 1>2 len=8":                    ReasonIPVersion,
		"ip4 10.0.0.1>9.9.9.9 rb / udp 1>2 len=8":                       ReasonNone,
		"ip4 10.0.0.1>9.9.9.9 proto=6 / raw 1388":                       ReasonNone,
		"ip6 fd00::1>fd00::2 plen=99 / udp 1>2 len=8":                   ReasonIPTruncated,
		"ip6 fd00::1>fd00::2 plen=0 / hbh c20400010000 / udp 1>2 len=8": ReasonNone,
		"ip6 fd00::1>fd00::2 nh=60":                                     ReasonNone,
		"ip6 fd00::1>fd00::2 / udp 1>2 len=8":                           ReasonNone,
	} {
		p := New()
		p.Load(MustBuild(text))
		if got := p.Parse(); got != want {
			t.Errorf("%s: reason %d, want %d", text, got, want)
		}
	}
}

func TestParseCutsTrailingBytes(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"ip4 10.0.0.1>9.9.9.9 len=30 / udp 1>2 len=8", "ip6 fd00::1>fd00::2 plen=10 / udp 1>2 len=8"} {
		p := parsed(t, text)
		if p.L4Len() != 10 {
			t.Errorf("%s: %d bytes of UDP are left", text, p.L4Len())
		}
	}
}

func TestParseFindsTheTransportHeader(t *testing.T) {
	t.Parallel()
	type found struct {
		proto   uint8
		l4      int
		fragOff int
		mf      bool
		fragHdr int
		bad     bool
		has     bool
	}
	for text, want := range map[string]found{
		"ip4 10.0.0.1>9.9.9.9 opts=94040000 / udp 1>2":                                                  {proto: 17, l4: 24, has: true},
		"ip4 10.0.0.1>9.9.9.9 mf / udp 1>2":                                                             {proto: 17, l4: 20, mf: true, has: true},
		"ip4 10.0.0.1>9.9.9.9 off=8 proto=17 / pat 9":                                                   {proto: 17, l4: 20, fragOff: 8},
		"ip6 fd00::1>fd00::2 / udp 1>2":                                                                 {proto: 17, l4: 40, has: true},
		"ip6 fd00::1>fd00::2 / hbh 010400000000 / dstopt 010400000000 / tcp 1>2 S":                      {proto: 6, l4: 56, has: true},
		"ip6 fd00::1>fd00::2 nh=51 / raw 0604000000000001000000010000000000000000000000000000 / pat 20": {proto: 6, l4: 64, has: true},
		"ip6 fd00::1>fd00::2 / frag6 id=9 / udp 1>2":                                                    {proto: 17, l4: 48, fragHdr: 40, has: true},
		"ip6 fd00::1>fd00::2 / frag6 mf / udp 1>2":                                                      {proto: 17, l4: 48, fragHdr: 40, mf: true, has: true},
		"ip6 fd00::1>fd00::2 / frag6 off=16 nh=17 / pat 9":                                              {proto: 17, l4: 48, fragHdr: 40, fragOff: 16},
		"ip6 fd00::1>fd00::2 / frag6 off=16 nh=60 / pat 9":                                              {proto: 60, l4: 48, fragHdr: 40, fragOff: 16, bad: true},
		"ip6 fd00::1>fd00::2":                                                                           {proto: 59, l4: 40},
		"ip6 fd00::1>fd00::2 nh=60":                                                                     {proto: 60, l4: 40, bad: true},
		"ip6 fd00::1>fd00::2 nh=44 / raw 1100":                                                          {proto: 44, l4: 40, fragHdr: 40, bad: true},
		"ip6 fd00::1>fd00::2 nh=60 / raw 11ff":                                                          {proto: 17, l4: 40 + 2048, has: true},
	} {
		p := parsed(t, text)
		got := found{p.Proto, p.L4, p.FragOff, p.MF, p.FragHdr, p.ExtBad, p.HasL4()}
		if got != want {
			t.Errorf("%s\n got %+v\nwant %+v", text, got, want)
		}
	}
}

func TestFindExtSeesEveryHeader(t *testing.T) {
	t.Parallel()
	p := parsed(t, "ip6 fd00::1>fd00::2 / hbh 010400000000 / frag6 id=9 / dstopt 010400000000 / udp 1>2")
	for target, want := range map[uint8]int{ProtoHopByHop: 40, ProtoFragment: 48, ProtoDstOpts: 56, ProtoUDP: 64} {
		if off, ok := p.FindExt(target); !ok || off != want {
			t.Errorf("header %d at %d, %v; want %d", target, off, ok, want)
		}
	}
	if _, ok := p.FindExt(ProtoRouting); ok {
		t.Error("found a routing header")
	}
	if at := p.NextHeaderOffset(); at != 56 {
		t.Errorf("the transport protocol is named at %d", at)
	}
}

func TestPayloadIsNilWhereTheHeaderIsCut(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]byte{
		"ip4 10.0.0.1>9.9.9.9 / tcp 1>2 A mss=9 len=3":   []byte("abc"),
		"ip4 10.0.0.1>9.9.9.9 / udp 1>2 len=3":           []byte("abc"),
		"ip4 10.0.0.1>9.9.9.9 / tcp 1>2 A doff=4 len=3":  nil,
		"ip4 10.0.0.1>9.9.9.9 / tcp 1>2 A doff=15 len=3": nil,
		"ip4 10.0.0.1>9.9.9.9 proto=6 / pat 19":          nil,
		"ip4 10.0.0.1>9.9.9.9 proto=17 / pat 7":          nil,
		"ip4 10.0.0.1>9.9.9.9 off=800 proto=17 / pat 70": nil,
	} {
		if got := parsed(t, text).Payload(); !bytes.Equal(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// BenchmarkParse is what it takes to know a datagram; the quote of an error is found, too.
func BenchmarkParse(b *testing.B) {
	for _, c := range []struct{ name, text string }{
		{"tcp4", "ip4 10.0.0.1>9.9.9.9 / tcp 4000>53 A seq=1 len=1400"},
		{"udp6", "ip6 fd00::1>fd00::2 / udp 4000>53 len=100"},
		{"options4", "ip4 10.0.0.1>9.9.9.9 opts=94040000 / udp 4000>53 len=100"},
		{"extensions6", "ip6 fd00::1>fd00::2 / hbh 010400000000 / dstopt 010400000000 / tcp 4000>53 A seq=1 len=100"},
		{"error4", "ip4 10.0.0.1>9.9.9.9 / icmp 3/3 / ip4 9.9.9.9>10.0.0.1 / udp 53>4000 len=8"},
		{"error6", "ip6 fd00::1>fd00::2 / icmp6 1/4 / ip6 fd00::2>fd00::1 / udp 53>4000 len=8"},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := parsed(b, c.text)
			b.ReportAllocs()
			for b.Loop() {
				p.Parse()
				if p.IsICMPError() {
					p.Quote()
				}
			}
		})
	}
}
