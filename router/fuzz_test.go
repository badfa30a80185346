package router

import (
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

// Rules with every match, target and table that packets can meet, most of them for packets that are easy to make.
var (
	//go:embed testdata/fuzz.rules.v4
	fuzzRulesV4 string
	//go:embed testdata/fuzz.rules.v6
	fuzzRulesV6 string
)

const fuzzSets = "create seen hash:ip family inet maxelem 100 timeout 30\ncreate seen6 hash:ip family inet6 maxelem 100 timeout 30\n"

// fuzzRouter has three interfaces: lan, wan, and small, whose MTU is IPv6's least.
func fuzzRouter(t testing.TB, offload bool) *Router {
	devices := []Device{
		{Name: "lan", RxChecksumOffload: true, Addrs: [][2]string{{"192.168.1.1/24", ""}, {"fd00:1::1/64", ""}}},
		{Name: "wan", Addrs: [][2]string{{"203.0.113.1/24", ""}, {"203.0.113.9/24", ""}, {"2001:db8:9::1/64", ""}}},
		{Name: "small", MTU: 1280, CsumOffload: true, Addrs: [][2]string{{"10.2.0.1/24", ""}, {"fd00:2::1/64", ""}}},
	}
	if offload {
		devices[1].Link = &hole{}
	}
	r, err := New(Config{
		Seed: 1, Devices: devices,
		Routes: []string{"default via 203.0.113.2 dev wan", "default via 2001:db8:9::2 dev wan", "unreachable 10.66.0.0/16",
			"prohibit 10.67.0.0/16", "blackhole 10.68.0.0/16", "10.69.0.0/16 via 192.168.1.77 dev lan", "10.70.0.0/16 dev small mtu 600"},
		Sysctls: [][2]string{{"net.netfilter.nf_conntrack_max", "50"}, {"net.netfilter.nf_conntrack_log_invalid", "255"},
			{"net.ipv4.conf.all.accept_source_route", "1"}, {"net.ipv4.conf.lan.accept_source_route", "1"}, {"net.ipv4.conf.all.log_martians", "1"}},
		RulesV4: Rules{"fuzz.rules.v4", fuzzRulesV4}, RulesV6: Rules{"fuzz.rules.v6", fuzzRulesV6}, Sets: Rules{"sets", fuzzSets},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A fuzzed script is a sequence of
//
//	flags, offload kind, offload size (2), length (2), bytes
//
// Flags: 0x03 the interface, or time goes by; 0x04 the IPv4 header's sum is made right; 0x08 the link vouches for the
// transport's; 0x10 offload metadata come along, 0x20 they ask for a checksum only.
const fuzzHead = 6

func step(flags, kind byte, size uint16, b []byte) []byte {
	h := []byte{flags, kind, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(h[2:], size)
	binary.BigEndian.PutUint16(h[4:], uint16(len(b)))
	return append(h, b...)
}

// offloadOf makes metadata that the door of a TUN would let in (stack/tun decode), from what the fuzzer says.
func offloadOf(flags, kind byte, size uint16, b []byte) (o packet.Offload) {
	o.CsumGood = flags&0x08 != 0
	if flags&0x10 == 0 {
		return o
	}
	start := 20
	if len(b) > 0 && b[0]>>4 == 6 {
		start = 40
	}
	if kind&0x80 != 0 { // anywhere: who may send raw packets with a virtio header may say so
		start = int(size >> 4)
	}
	off := []int{6, 16, 2, int(kind)}[kind>>2&3]
	if start+off+2 > len(b) {
		return o
	}
	o.NeedsCsum, o.CsumStart, o.CsumOff = true, uint16(start), uint16(off)
	if flags&0x20 != 0 || size == 0 {
		return o
	}
	switch kind & 3 {
	case 0, 1:
		if off != 16 || start+20 > len(b) {
			return o
		}
		l := int(b[start+12]>>4) * 4
		if l < 20 || start+l > len(b) {
			return o
		}
		o.GSO, o.HdrLen, o.ECN = packet.GSOTCPv4+packet.GSO(kind&1), uint16(start+l), kind&0x40 != 0
	default:
		if off != 6 || start+8 > len(b) {
			return o
		}
		o.GSO, o.HdrLen = packet.GSOUDP, uint16(start+8)
	}
	o.GSOSize = size
	return o
}

// sumHeader makes the checksum of an IPv4 header right, where there is one.
func sumHeader(b []byte) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return
	}
	n := min(int(b[0]&0xf)*4, len(b))
	b[10], b[11] = 0, 0
	var sum uint32
	for i := 0; i+1 < n; i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum))
}

// seedScripts are the kernel's scenarios as scripts, and some packets that fit this router better.
func seedScripts(f *testing.F) {
	for _, text := range []string{
		"ip4 198.51.100.9>1.2.3.10 / udp 5000>99 len=3000",
		"ip4 198.51.100.9>1.2.3.10 / udp 5001>6001 len=20",
		"ip4 198.51.100.9>1.2.3.10 / tcp 5000>8080 S mss=1460 ws=7 sackok ts=1:0",
		"ip4 198.51.100.9>1.2.3.10 / tcp 5000>6000 S",
		"ip4 192.168.1.10>198.51.100.9 ttl=1 / udp 4021>4021 len=20",
		"ip4 192.168.1.10>203.0.113.1 / icmp 8/0 id=1 seq=1 len=100",
		"ip4 192.168.1.10>198.51.100.9 / icmp 3/1 / ip4 198.51.100.9>192.168.1.10 / udp 53>1000 len=8",
		"ip4 192.168.1.10>10.70.0.1 df / udp 1>2 len=1000",
		"ip4 192.168.1.10>10.66.0.1 / udp 1>2 len=1000",
		"ip4 192.168.1.10>198.51.100.9 / udp 10080>69 len=20",
		"ip4 192.168.1.10>198.51.100.9 / udp 1000>4011 len=2000",
		"ip6 fd00:1::10>2001:db8::9 / udp 1>6001 len=2000",
		"ip6 2001:db8::9>2001:db8::10 / tcp 1>8080 S",
		"ip6 fd00:1::10>fd00:1::1 / icmp6 128/0 id=1 seq=1 len=20",
		"ip6 fd00:1::10>2001:db8::9 hlim=1 / udp 1>2 len=20",
	} {
		b, err := packet.Build(text)
		if err != nil {
			f.Fatal(err)
		}
		for dev := range byte(3) {
			f.Add(false, step(dev, 0, 0, b))
		}
		f.Add(true, step(0x10, 0x04, 500, b))
		f.Add(true, step(0x10, 0x02, 500, b))
	}
	files, _ := filepath.Glob("../integration/testdata/scenarios/*.json")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var s struct {
			Interfaces []struct{ Name string }
			Steps      []struct {
				Op, If string
				Ms     int
			}
			Expected []struct {
				Inject []string `json:"inject_hex"`
			}
		}
		if err := json.Unmarshal(text, &s); err != nil {
			f.Fatal(err)
		}
		dev := map[string]byte{}
		for i, d := range s.Interfaces {
			dev[d.Name] = byte(i % 3)
		}
		var script []byte
		for i, e := range s.Expected {
			for _, h := range e.Inject {
				b, err := hex.DecodeString(h)
				if err != nil || len(b) > 4000 {
					continue
				}
				script = append(script, step(dev[s.Steps[i].If], 0, 0, b)...)
			}
		}
		if len(script) > 0 && len(script) < 1<<14 {
			f.Add(false, script)
		}
	}
}

// FuzzWalk sends packets of any kind through rules of every kind. Whatever comes in: nothing panics, nothing comes out
// that is no IP datagram or longer than its link, no packet breeds without bound, and what is held is bounded.
func FuzzWalk(f *testing.F) {
	seedScripts(f)
	f.Fuzz(func(t *testing.T, offload bool, script []byte) {
		if len(script) > 1<<16 {
			return
		}
		r := fuzzRouter(t, offload)
		defer r.Close()
		wan := r.byName["wan"].link
		if h, ok := wan.(*hole); ok {
			r.byName["wan"].link = &inspected{hole: h, t: t}
		}
		for steps := 0; len(script) >= fuzzHead && steps < 50; steps++ {
			flags, kind := script[0], script[1]
			size, n := binary.BigEndian.Uint16(script[2:]), int(binary.BigEndian.Uint16(script[4:]))
			n = min(n, len(script)-fuzzHead)
			b := append([]byte(nil), script[fuzzHead:fuzzHead+n]...)
			script = script[fuzzHead+n:]
			if flags&3 == 3 {
				r.Advance(time.Duration(kind) * time.Second)
			} else {
				if flags&0x04 != 0 {
					sumHeader(b)
				}
				if err := r.InjectOffload([]string{"lan", "wan", "small"}[flags&3], b, offloadOf(flags, kind, size, b)); err != nil {
					t.Fatal(err)
				}
			}
			out := r.Output()
			if len(out) > 2000 {
				t.Fatalf("one packet became %d", len(out))
			}
			for _, s := range out {
				checkSent(t, s.Data, r.byName[s.Dev].link.MTU())
			}
			r.Logs()
			if n := r.Conntrack().Count(); n > 60 {
				t.Fatalf("%d connections, and the limit is 50", n)
			}
		}
	})
}

// inspected is a link that looks at what it is given.
type inspected struct {
	*hole
	t testing.TB
}

func (l *inspected) Send(_ int, batch []*packet.Packet) (int, error) {
	for _, p := range batch {
		o := p.Offload
		n := len(p.Data)
		if o.NeedsCsum && int(o.CsumStart)+int(o.CsumOff)+2 > n {
			l.t.Fatalf("a checksum beyond the end of %d bytes: %+v", n, o)
		}
		if o.GSO == packet.GSONone {
			checkSent(l.t, p.Data, l.MTU())
		} else if !o.NeedsCsum || o.GSOSize == 0 || int(o.HdrLen) > n || int(o.HdrLen)+int(o.GSOSize) > l.MTU() {
			l.t.Fatalf("a super-segment of %d bytes that no link takes: %+v", n, o)
		}
	}
	return len(batch), nil
}

var _ link.Link = (*inspected)(nil)

// checkSent checks what can be said of any packet that leaves.
func checkSent(t testing.TB, b []byte, mtu int) {
	t.Helper()
	p := packet.New()
	p.Load(b)
	if why := p.Parse(); why != packet.ReasonNone {
		t.Fatalf("what left is no IP datagram: %v: %x", why, b)
	}
	if len(b) > mtu {
		t.Fatalf("a packet of %d bytes left by a link whose MTU is %d: %s", len(b), mtu, packet.Text(b))
	}
}
