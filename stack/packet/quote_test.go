package packet

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// Each error has OLD for the quoted source, and ports or id NUM; the edited error must equal a new build.
var quotes = []string{
	"ip4 10.0.0.1>9.9.9.9 / icmp 3/3 / ip4 OLD4>10.0.0.1 / udp NUM>53 len=20",
	"ip4 10.0.0.1>9.9.9.9 / icmp 3/3 / ip4 OLD4>10.0.0.1 / udp NUM>53 len=20 sum=none",
	"ip4 10.0.0.1>9.9.9.9 opts=94040000 / icmp 11/0 / ip4 OLD4>10.0.0.1 opts=94040000 / tcp NUM>53 S seq=9",
	"ip4 10.0.0.1>9.9.9.9 / icmp 3/4 mtu=1400 trunc=28 / ip4 OLD4>10.0.0.1 / tcp NUM>53 S seq=9",
	"ip4 10.0.0.1>9.9.9.9 / icmp 3/1 trunc=41 / ip4 OLD4>10.0.0.1 / tcp NUM>53 S seq=9 len=9",
	"ip6 fd00::1>2001:db8::9 / icmp6 1/4 / ip6 OLD6>fd00::1 / udp NUM>53 len=21",
	"ip6 fd00::1>2001:db8::9 / icmp6 2/0 mtu=1280 / ip6 OLD6>fd00::1 / dstopt 010400000000 / tcp NUM>53 A len=40",
	"ip6 fd00::1>2001:db8::9 / icmp6 3/0 / ip6 OLD6>fd00::1 / frag6 id=9 mf / udp NUM>53 len=21 ulen=4000",
}

func quoteText(text, v4, v6 string, num int) []byte {
	return MustBuild(strings.NewReplacer("OLD4", v4, "OLD6", v6, "NUM", fmt.Sprint(num)).Replace(text))
}

func TestEditedQuoteEqualsANewPacket(t *testing.T) {
	t.Parallel()
	for _, text := range quotes {
		p := New()
		p.Load(quoteText(text, "9.9.9.9", "2001:db8::9", 4000))
		p.Parse()
		q, ok := p.Quote()
		if !ok || !p.IsICMPError() {
			t.Errorf("%s: no quote", text)
			continue
		}
		if sport, dport, ok := q.Ports(); !ok || sport != 4000 || dport != 53 {
			t.Errorf("%s: quoted ports %d %d %v", text, sport, dport, ok)
		}
		if q.V6() {
			q.SetSrc(addr("2001:db8:77::1"))
		} else {
			q.SetSrc(addr("203.0.113.7"))
		}
		q.SetSrcPort(61000)
		q.Close()
		want := quoteText(text, "203.0.113.7", "2001:db8:77::1", 61000)
		if strings.Contains(text, "trunc=28") { // eight bytes of TCP: no checksum is quoted
			if !bytes.Equal(p.Data[:], want[:]) {
				t.Errorf("%s\n got %x\nwant %x", text, p.Data, want)
			}
			continue
		}
		if !bytes.Equal(p.Data, want) {
			t.Errorf("%s\n got %x\nwant %x", text, p.Data, want)
		}
	}
}

func TestQuotedEchoIDIsEdited(t *testing.T) {
	t.Parallel()
	for _, base := range []string{
		"ip4 10.0.0.1>9.9.9.9 / icmp 3/1 / ip4 9.9.9.9>10.0.0.1 / icmp 8/0 id=%d len=4",
		"ip6 fd00::1>2001:db8::9 / icmp6 1/0 / ip6 2001:db8::9>fd00::1 / icmp6 128/0 id=%d len=4",
	} {
		p := parsed(t, fmt.Sprintf(base, 7))
		q, _ := p.Quote()
		if !q.SetICMPID(999) {
			t.Errorf("%s: no id", base)
		}
		q.Close()
		if want := MustBuild(fmt.Sprintf(base, 999)); !bytes.Equal(p.Data, want) {
			t.Errorf("%s\n got %x\nwant %x", base, p.Data, want)
		}
	}
}

func TestQuotesThatTheKernelCannotReadAreRefusedOrBad(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct{ ok, bad bool }{
		"ip4 10.0.0.1>9.9.9.9 / icmp 3/3":                                                                {},
		"ip4 10.0.0.1>9.9.9.9 / icmp 3/3 trunc=19 / ip4 9.9.9.9>10.0.0.1 / udp 1>2":                      {},
		"ip4 10.0.0.1>9.9.9.9 / icmp 3/3 trunc=20 / ip4 9.9.9.9>10.0.0.1 / udp 1>2":                      {ok: true},
		"ip4 10.0.0.1>9.9.9.9 / icmp 3/3 trunc=24 / ip4 9.9.9.9>10.0.0.1 ihl=8 / udp 1>2":                {},
		"ip4 10.0.0.1>9.9.9.9 / icmp 3/3 / ip4 9.9.9.9>10.0.0.1 off=800 proto=17 / pat 20":               {ok: true, bad: true},
		"ip6 fd00::1>fd00::2 / icmp6 1/4 trunc=39 / ip6 fd00::2>fd00::1":                                 {},
		"ip6 fd00::1>fd00::2 / icmp6 1/4 / ip6 fd00::2>fd00::1":                                          {ok: true, bad: true},
		"ip6 fd00::1>fd00::2 / icmp6 1/4 trunc=41 / ip6 fd00::2>fd00::1 / dstopt 010400000000 / udp 1>2": {ok: true, bad: true},
		"ip6 fd00::1>fd00::2 / icmp6 1/4 / ip6 fd00::2>fd00::1 / frag6 off=800 nh=17 / pat 20":           {ok: true, bad: true},
	} {
		p := parsed(t, text)
		q, ok := p.Quote()
		if ok != want.ok || ok && q.Bad != want.bad {
			t.Errorf("%s: %v, bad %v; want %+v", text, ok, q.Bad, want)
		}
		if _, _, ports := q.Ports(); ports && !ok {
			t.Errorf("%s: ports", text)
		}
	}
}

func TestAddressesOfABadQuoteAreStillEdited(t *testing.T) {
	t.Parallel()
	p := parsed(t, "ip4 10.0.0.1>9.9.9.9 / icmp 3/3 / ip4 9.9.9.9>10.0.0.1 off=800 proto=17 / pat 20")
	q, _ := p.Quote()
	q.SetDst(addr("192.168.7.7"))
	q.Close()
	if want := MustBuild("ip4 10.0.0.1>9.9.9.9 / icmp 3/3 / ip4 9.9.9.9>192.168.7.7 off=800 proto=17 / pat 20"); !bytes.Equal(p.Data, want) {
		t.Errorf("%s, want %s", Text(p.Data), Text(want))
	}
}

// FuzzParse: whatever Parse accepts, no accessor and no edit of it may reach behind the end or panic, and an edit keeps
// every checksum as right or wrong as it was.
func FuzzParse(f *testing.F) {
	for _, s := range scenarios(f) {
		for _, e := range s.Expected {
			for _, h := range e.InjectHex {
				f.Add(unhex(f, h))
			}
		}
	}
	p := New()
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > MaxData {
			return
		}
		p.Load(b)
		if n := len(b); n >= 20 && b[0]>>4 == 4 && int(b[0]&15)*4 <= n && b[0]&15 >= 5 {
			SetIPv4Checksum(p.Data) // or hardly anything gets past the first check
			b = bytes.Clone(p.Data)
		}
		if p.Parse() != ReasonNone {
			return
		}
		size := len(p.Data)
		before := Walk(p.Data)
		touch(p)
		if after := Walk(p.Data); len(p.Data) == size {
			for i := range after.Sums {
				if after.Sums[i] != before.Sums[i] && !strings.Contains(after.Sums[i].Name, "inner.") && after.Sums[i].Name != "icmp" {
					t.Errorf("%v became %v: %s", before.Sums[i], after.Sums[i], before.Text)
				}
			}
		}
		p.Load(b)
		p.Parse()
		p.InsertTCPOption([]byte{2, 4, 5, 0xb4})
		if off, ok := p.PayloadOff(); ok {
			p.Replace(off, 0, []byte("new"))
		}
		if why := p.Parse(); why != ReasonNone && len(b) < 65000 {
			t.Errorf("an edit broke the packet: reason %d, %s", why, Text(p.Data))
		}
		if _, bad, ok := p.ReadOptions(OptionsEnv{}); !ok && bad >= p.HeaderLen() {
			t.Errorf("mistake at %d is behind the header", bad)
		}
		p.CheckHopByHop(8)
		FragmentOptions(p.Options())
	})
}

// touch calls everything that reads or edits.
func touch(p *Packet) {
	a := Addr4([]byte{203, 0, 113, 7})
	if p.V6 {
		a = Addr{0x20, 1, 0xd, 0xb8, 15: 7}
	}
	p.Ports()
	p.TCPOptions()
	p.Payload()
	p.TransportSumOK()
	p.NextHeaderOffset()
	p.FindExt(ProtoFragment)
	for e := p.ExtHeaders(); ; {
		if _, _, _, ok := e.Next(); !ok {
			break
		}
	}
	if q, ok := p.Quote(); ok {
		q.SetSrc(a)
		q.SetDst(a)
		q.SetSrcPort(9)
		q.SetDstPort(9)
		q.SetICMPID(9)
		q.Close()
	}
	p.SetSrc(a)
	p.SetDst(a)
	if p.Proto != ProtoSCTP {
		p.SetSrcPort(9)
		p.SetDstPort(9)
	}
	p.SetTOS(0x2e)
	p.SetTTL(7)
}
