package packet

import (
	"bytes"
	"testing"
)

func TestSuperSegmentsHaveMetadataOfTheirOwn(t *testing.T) {
	t.Parallel()
	tcp4 := Offload{GSO: GSOTCPv4, GSOSize: 1000, HdrLen: 40, NeedsCsum: true, CsumStart: 20, CsumOff: 16}
	tcp6 := Offload{GSO: GSOTCPv6, GSOSize: 1000, HdrLen: 60, NeedsCsum: true, CsumStart: 40, CsumOff: 16}
	udp4 := Offload{GSO: GSOUDP, GSOSize: 1000, HdrLen: 28, NeedsCsum: true, CsumStart: 20, CsumOff: 6}
	with := func(o Offload, change func(*Offload)) Offload { change(&o); return o }
	for _, tt := range []struct {
		claim, text string
		o           Offload
		fits        bool
		gso         GSO
	}{
		{"TCP over IPv4", "ip4 10.0.0.1>10.0.0.2 / tcp 1>2 A len=3000", tcp4, true, GSOTCPv4},
		{"TCP over IPv6", "ip6 fd00::1>fd00::2 / tcp 1>2 A len=3000", tcp6, true, GSOTCPv6},
		{"UDP", "ip4 10.0.0.1>10.0.0.2 / udp 1>2 len=3000", udp4, true, GSOUDP},
		{"no super-segment", "ip4 10.0.0.1>10.0.0.2 / udp 1>2 len=3000", Offload{}, true, GSONone},
		{"one segment is none", "ip4 10.0.0.1>10.0.0.2 / tcp 1>2 A len=1000", tcp4, true, GSONone},
		{"one byte more than a segment", "ip4 10.0.0.1>10.0.0.2 / tcp 1>2 A len=1001", tcp4, true, GSOTCPv4},
		{"UDP that claims to be TCP", "ip4 10.0.0.1>10.0.0.2 / udp 1>2 len=3000", tcp4, false, 0},
		{"TCP that claims to be UDP", "ip4 10.0.0.1>10.0.0.2 / tcp 1>2 A len=3000", udp4, false, 0},
		{"IPv4 that claims to be IPv6", "ip4 10.0.0.1>10.0.0.2 / tcp 1>2 A len=3000", with(tcp4, func(o *Offload) { o.GSO = GSOTCPv6 }), false, 0},
		{"a header elsewhere", "ip4 10.0.0.1>10.0.0.2 / tcp 1>2 A len=3000", with(tcp4, func(o *Offload) { o.CsumStart = 24 }), false, 0},
		{"a fragment", "ip4 10.0.0.1>10.0.0.2 mf / tcp 1>2 A len=3000", tcp4, false, 0},
		{"a checksum behind the end", "ip4 10.0.0.1>10.0.0.2 / udp 1>2 len=3", Offload{NeedsCsum: true, CsumStart: 30, CsumOff: 0}, false, 0},
		{"a checksum in the options", "ip4 10.0.0.1>10.0.0.2 opts=94040000 / udp 1>2 len=3", Offload{NeedsCsum: true, CsumStart: 20, CsumOff: 2}, false, 0},
		{"a checksum at the end", "ip4 10.0.0.1>10.0.0.2 / udp 1>2 len=4", Offload{NeedsCsum: true, CsumStart: 30, CsumOff: 0}, true, 0},
		{"an unknown kind", "ip4 10.0.0.1>10.0.0.2 / tcp 1>2 A len=3000", with(tcp4, func(o *Offload) { o.GSO = 9 }), false, 0},
	} {
		p := New()
		p.Load(MustBuild(tt.text))
		p.Offload = tt.o
		if why := p.Parse(); why != ReasonNone {
			t.Fatalf("%s: %v", tt.claim, why)
		}
		before := bytes.Clone(p.Data)
		if fits := p.SettleOffload(); fits != tt.fits || fits && p.GSO != tt.gso {
			t.Errorf("%s: %v, %+v", tt.claim, fits, p.Offload)
		}
		if !bytes.Equal(before, p.Data) || p.NeedsCsum != tt.o.NeedsCsum {
			t.Errorf("%s: the packet was changed", tt.claim)
		}
	}
}
