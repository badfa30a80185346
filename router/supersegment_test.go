package router

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/frag"
	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

// plain is a link that takes ordinary datagrams only and keeps them.
type plain struct {
	hole
	got [][]byte
}

func (l *plain) Offloads() link.Offloads { return link.Offloads{} }

func (l *plain) Send(_ int, b []*packet.Packet) (int, error) {
	for _, p := range b {
		l.got = append(l.got, bytes.Clone(p.Data))
	}
	return len(b), nil
}

const superRules4 = `*mangle
:PREROUTING ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
-A FORWARD -j DSCP --set-dscp 10
-A FORWARD -j TTL --ttl-dec 2
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -d 192.168.1.1/32 -j DNAT --to-destination 198.51.100.9
-A POSTROUTING -o wan -j SNAT --to-source 203.0.113.1
COMMIT
*filter
:FORWARD ACCEPT [0:0]
-A FORWARD -d 198.51.100.66/32 -j REJECT
COMMIT
`

const superRules6 = `*mangle
:FORWARD ACCEPT [0:0]
-A FORWARD -j DSCP --set-dscp 10
-A FORWARD -j HL --hl-dec 2
COMMIT
*nat
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -o wan -j SNAT --to-source 2001:db8:f::1
COMMIT
*filter
:FORWARD ACCEPT [0:0]
-A FORWARD -d 2001:db8:9::66/128 -j REJECT
COMMIT
`

// superRouter is a router between two links without offloads.
func superRouter(t *testing.T) (r *Router, lan, wan *plain) {
	t.Helper()
	lan, wan = &plain{}, &plain{}
	r, err := New(Config{
		Seed: 1,
		Devices: []Device{
			{Name: "lan", Addrs: [][2]string{{"192.168.1.1/24", ""}, {"2001:db8:1::1/64", ""}}, Link: lan},
			{Name: "wan", Addrs: [][2]string{{"203.0.113.1/24", ""}, {"2001:db8:f::1/64", ""}}, Link: wan},
		},
		Routes: []string{"default via 203.0.113.254 dev wan", "default via 2001:db8:f::fe dev wan",
			"198.51.100.200/32 via 203.0.113.254 dev wan mtu 1000"},
		RulesV4: Rules{Name: "v4", Text: superRules4},
		RulesV6: Rules{Name: "v6", Text: superRules6},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r, lan, wan
}

// super makes a super-segment of a datagram as a kernel hands it out: the transport checksum is the sum of the
// pseudo-header alone.
func super(t *testing.T, b []byte, size int) *packet.Packet {
	t.Helper()
	p := packet.New()
	p.Load(b)
	if why := p.Parse(); why != packet.ReasonNone {
		t.Fatal(why)
	}
	off, ok := p.PayloadOff()
	if !ok {
		t.Fatalf("no payload in %s", packet.Text(b))
	}
	at := map[uint8]int{packet.ProtoTCP: 16, packet.ProtoUDP: 6}[p.Proto]
	src, dst := p.Src(), p.Dst()
	binary.BigEndian.PutUint16(p.Data[p.L4+at:], packet.PseudoSum(src.Wire(p.V6), dst.Wire(p.V6), p.Proto, p.L4Len()))
	p.NeedsCsum, p.CsumStart, p.CsumOff = true, uint16(p.L4), uint16(at)
	p.GSOSize, p.HdrLen = uint16(size), uint16(off)
	switch {
	case p.Proto == packet.ProtoUDP:
		p.GSO = packet.GSOUDP
	case p.V6:
		p.GSO = packet.GSOTCPv6
	default:
		p.GSO = packet.GSOTCPv4
	}
	return p
}

// segments are what a super-segment stands for.
func segments(t *testing.T, p *packet.Packet) (all [][]byte) {
	t.Helper()
	err := frag.Segment(p, packet.New(), func(s *packet.Packet) error {
		all = append(all, bytes.Clone(s.Data))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func arrive(r *Router, in string, p *packet.Packet) {
	w := r.workers[0]
	w.enter(r.Time())
	w.arrivals(r.byName[in], p)
}

func arriveBytes(r *Router, in string, b []byte) {
	p := packet.New()
	p.Load(b)
	arrive(r, in, p)
}

// TestSuperSegmentsLeaveAsTheirSegmentsWould sends flows through conntrack, DNAT, SNAT and mangle once as super-segments
// and once as the segments that they stand for. What leaves is the same to the byte.
func TestSuperSegmentsLeaveAsTheirSegmentsWould(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		setup []string // "lan: " or "wan: " and a packet
		data  []string // from lan
		size  int
	}{
		{"tcp4", []string{
			"lan: ip4 192.168.1.20>192.168.1.1 df / tcp 5000>80 S seq=100 win=65535 mss=1460",
			"wan: ip4 198.51.100.9>203.0.113.1 df / tcp 80>5000 SA seq=900 ack=101 win=65535 mss=1460",
			"lan: ip4 192.168.1.20>192.168.1.1 df / tcp 5000>80 A seq=101 ack=901 win=65535",
		}, []string{
			"ip4 192.168.1.20>192.168.1.1 df id=7 / tcp 5000>80 PA seq=101 ack=901 win=65535 len=9000",
			"ip4 192.168.1.20>192.168.1.1 df id=100 / tcp 5000>80 FA seq=9101 ack=901 win=65535 ts=1:2 len=1449",
		}, 1448},
		{"udp4", nil, []string{"ip4 192.168.1.20>198.51.100.9 id=9 / udp 5000>53 len=4000"}, 1000},
		{"tcp6", []string{
			"lan: ip6 2001:db8:1::20>2001:db8:9::9 / tcp 5000>80 S seq=100 win=65535 mss=1440",
			"wan: ip6 2001:db8:9::9>2001:db8:f::1 / tcp 80>5000 SA seq=900 ack=101 win=65535 mss=1440",
		}, []string{"ip6 2001:db8:1::20>2001:db8:9::9 / tcp 5000>80 PA seq=101 ack=901 win=65535 len=20000"}, 1428},
		{"udp6", nil, []string{"ip6 2001:db8:1::20>2001:db8:9::9 / udp 5000>53 len=4001"}, 1000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			whole, _, wholeOut := superRouter(t)
			cut, _, cutOut := superRouter(t)
			for _, l := range tt.setup {
				for _, r := range []*Router{whole, cut} {
					arriveBytes(r, l[:3], build(t, l[5:]))
				}
			}
			sent := 0
			for _, l := range tt.data {
				p := super(t, build(t, l), tt.size)
				for _, s := range segments(t, p) {
					arriveBytes(cut, "lan", s)
					sent++
				}
				arrive(whole, "lan", p)
			}
			if len(cutOut.got) < sent || len(wholeOut.got) != len(cutOut.got) {
				t.Fatalf("%d segments came in, %d left; of super-segments %d left", sent, len(cutOut.got), len(wholeOut.got))
			}
			for i := range cutOut.got {
				a, b := wholeOut.got[i], cutOut.got[i]
				if !bytes.Equal(a, b) {
					t.Errorf("packet %d:\n super-segment %s\n      segments %s", i, packet.Text(a), packet.Text(b))
				}
				p := packet.New()
				p.Load(a)
				if p.Parse() != packet.ReasonNone || !p.TransportSumOK() {
					t.Errorf("packet %d leaves with a wrong checksum: %s", i, packet.Text(a))
				}
			}
		})
	}
}

// TestErrorsQuoteASegment: whoever gets an ICMP error about a super-segment has sent segments, and must recognise the
// first of them. A sender whose TTL runs out, whose segments are too big for the way out, or who is rejected gets the
// error that this segment alone would have brought it.
func TestErrorsQuoteASegment(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, packet string }{
		{"ttl", "ip4 192.168.1.20>198.51.100.9 ttl=1 id=5 / udp 5000>53 len=4000"},
		{"too big", "ip4 192.168.1.20>198.51.100.200 df id=5 / udp 5000>53 len=4000"},
		{"reject", "ip4 192.168.1.20>198.51.100.66 id=5 / udp 5000>53 len=4000"},
		{"ttl of tcp", "ip4 192.168.1.20>198.51.100.9 df ttl=1 id=5 / tcp 5000>80 A seq=1 ack=1 len=4000"},
		{"hop limit", "ip6 2001:db8:1::20>2001:db8:9::9 hlim=1 / udp 5000>53 len=4000"},
		{"reject6", "ip6 2001:db8:1::20>2001:db8:9::66 / tcp 5000>80 A seq=1 ack=1 len=4000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			whole, wholeBack, wholeOut := superRouter(t)
			cut, cutBack, _ := superRouter(t)
			p := super(t, build(t, tt.packet), 1200)
			arriveBytes(cut, "lan", segments(t, p)[0])
			arrive(whole, "lan", p)
			if len(wholeBack.got) != 1 || len(cutBack.got) != 1 || len(wholeOut.got) != 0 {
				t.Fatalf("%d errors about the super-segment, %d about its first segment, %d packets left",
					len(wholeBack.got), len(cutBack.got), len(wholeOut.got))
			}
			a, b := canonical(wholeBack.got[0]), canonical(cutBack.got[0])
			if !bytes.Equal(a, b) {
				t.Errorf("\nsuper-segment %s\n      segment %s", packet.Text(a), packet.Text(b))
			}
		})
	}
}

// canonical takes out what is random in a packet that the router makes: the id of an IPv4 header.
func canonical(b []byte) []byte {
	b = bytes.Clone(b)
	if b[0]>>4 == 4 {
		b[4], b[5] = 0, 0
		packet.SetIPv4Checksum(b)
	}
	return b
}

// TestSuperSegmentCountsOnce: to rules and to accounting a super-segment is one packet with all of its bytes, as an skb is.
func TestSuperSegmentCountsOnce(t *testing.T) {
	t.Parallel()
	r, _, wan := superRouter(t)
	if err := r.Sysctl("net.netfilter.nf_conntrack_acct", "1"); err != nil {
		t.Fatal(err)
	}
	p := super(t, build(t, "ip4 192.168.1.20>198.51.100.9 / udp 5000>53 len=4000"), 1000)
	n := p.Len()
	arrive(r, "lan", p)
	if len(wan.got) != 4 {
		t.Fatalf("%d packets left, want 4", len(wan.got))
	}
	r.ct.Range(func(c *conntrack.Conn) bool {
		if packets, size := c.Counters(conntrack.Original); packets != 1 || int(size) != n {
			t.Errorf("the connection counts %d packets and %d bytes, want 1 and %d", packets, size, n)
		}
		return true
	})
	if got, want := fmt.Sprint(r.Links()[1].Rx), fmt.Sprint(LinkCount{Packets: 1, Bytes: uint64(n)}); got != want {
		t.Errorf("the interface counts %s, want %s", got, want)
	}
}
