package ctfmt

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

func addr(s string) packet.Addr { return packet.AddrFrom(netip.MustParseAddr(s)) }

func tuple(proto uint8, src, dst string, sport, dport uint16) conntrack.Tuple {
	return conntrack.Tuple{Src: addr(src), Dst: addr(dst), SrcPort: sport, DstPort: dport, Proto: proto, V6: netip.MustParseAddr(src).Is6()}
}

var started = time.Date(2026, 11, 20, 6, 20, 22, 0, time.UTC)

// The flows that conntrack v1.4.7 was shown on kernel 6.18, with nf_conntrack_acct and nf_conntrack_timestamp on.
var (
	dnat = Flow{Orig: tuple(17, "10.9.9.1", "10.9.9.9", 4000, 53), Reply: tuple(17, "127.0.0.1", "10.9.9.1", 5353, 4000),
		Timeout: 29, Acct: true, Packets: [2]uint64{1, 0}, Bytes: [2]uint64{29, 0}, Use: 1, ID: 4045644000, Start: started, Now: started}
	echo6 = Flow{Orig: tuple(58, "fd00::1", "fd00::1", 17366, 128<<8), Reply: tuple(58, "fd00::1", "fd00::1", 17366, 129<<8), Status: conntrack.StatusSeenReply,
		Timeout: 29, Acct: true, Packets: [2]uint64{1, 1}, Bytes: [2]uint64{104, 104}, Use: 1, ID: 4167267927, Start: started, Now: started}
	tcp = Flow{Orig: tuple(6, "10.9.9.1", "10.9.9.1", 4002, 80), Reply: tuple(6, "10.9.9.1", "10.9.9.1", 80, 4002), State: "TIME_WAIT",
		Status: conntrack.StatusSeenReply | conntrack.StatusAssured, Timeout: 119, Acct: true, Packets: [2]uint64{3, 3}, Bytes: [2]uint64{164, 164},
		Use: 1, ID: 1571345388, Start: started, Now: started}
	ftp = Flow{Orig: tuple(6, "10.9.9.1", "10.9.9.1", 4002, 21), Reply: tuple(6, "10.9.9.1", "10.9.9.1", 21, 4002), State: "ESTABLISHED",
		Status: conntrack.StatusSeenReply | conntrack.StatusAssured, Timeout: 431999, Mark: 7, Helper: "ftp", Use: 1, ID: 1989799834}
)

func TestFlowsReadAsConntrackToolsPrintThem(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		f    Flow
		o    Options
		want string
	}{
		{dnat, Options{}, "udp      17 29 src=10.9.9.1 dst=10.9.9.9 sport=4000 dport=53 packets=1 bytes=29 [UNREPLIED] src=127.0.0.1 dst=10.9.9.1 sport=5353 dport=4000 packets=0 bytes=0 mark=0 delta-time=0 use=1"},
		{echo6, Options{Extended: true}, "ipv6     10 icmpv6   58 29 src=fd00::1 dst=fd00::1 type=128 code=0 id=17366 packets=1 bytes=104 src=fd00::1 dst=fd00::1 type=129 code=0 id=17366 packets=1 bytes=104 mark=0 delta-time=0 use=1"},
		{tcp, Options{ID: true}, "tcp      6 119 TIME_WAIT src=10.9.9.1 dst=10.9.9.1 sport=4002 dport=80 packets=3 bytes=164 src=10.9.9.1 dst=10.9.9.1 sport=80 dport=4002 packets=3 bytes=164 [ASSURED] mark=0 delta-time=0 use=1 id=1571345388"},
		{tcp, Options{KTimestamp: true}, "tcp      6 119 TIME_WAIT src=10.9.9.1 dst=10.9.9.1 sport=4002 dport=80 packets=3 bytes=164 src=10.9.9.1 dst=10.9.9.1 sport=80 dport=4002 packets=3 bytes=164 [ASSURED] mark=0 delta-time=0 [start=Fri Nov 20 06:20:22 2026] use=1"},
		{ftp, Options{}, "tcp      6 431999 ESTABLISHED src=10.9.9.1 dst=10.9.9.1 sport=4002 dport=21 src=10.9.9.1 dst=10.9.9.1 sport=21 dport=4002 [ASSURED] mark=7 helper=ftp use=1"},
	} {
		if got := string(AppendFlow(nil, &tt.f, tt.o)); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

func TestFlowsAreTheXMLOfConntrackTools(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		f    Flow
		want string
	}{
		{dnat, `<flow><meta direction="original"><layer3 protonum="2" protoname="ipv4"><src>10.9.9.1</src><dst>10.9.9.9</dst></layer3><layer4 protonum="17" protoname="udp"><sport>4000</sport><dport>53</dport></layer4><counters><packets>1</packets><bytes>29</bytes></counters></meta><meta direction="reply"><layer3 protonum="2" protoname="ipv4"><src>127.0.0.1</src><dst>10.9.9.1</dst></layer3><layer4 protonum="17" protoname="udp"><sport>5353</sport><dport>4000</dport></layer4><counters><packets>0</packets><bytes>0</bytes></counters></meta><meta direction="independent"><timeout>29</timeout><mark>0</mark><use>1</use><id>4045644000</id><unreplied/><deltatime>0</deltatime></meta></flow>`},
		{echo6, `<flow><meta direction="original"><layer3 protonum="10" protoname="ipv6"><src>fd00::1</src><dst>fd00::1</dst></layer3><layer4 protonum="58" protoname="icmpv6"></layer4><counters><packets>1</packets><bytes>104</bytes></counters></meta><meta direction="reply"><layer3 protonum="10" protoname="ipv6"><src>fd00::1</src><dst>fd00::1</dst></layer3><layer4 protonum="58" protoname="icmpv6"></layer4><counters><packets>1</packets><bytes>104</bytes></counters></meta><meta direction="independent"><timeout>29</timeout><mark>0</mark><use>1</use><id>4167267927</id><deltatime>0</deltatime></meta></flow>`},
		{ftp, `<flow><meta direction="original"><layer3 protonum="2" protoname="ipv4"><src>10.9.9.1</src><dst>10.9.9.1</dst></layer3><layer4 protonum="6" protoname="tcp"><sport>4002</sport><dport>21</dport></layer4></meta><meta direction="reply"><layer3 protonum="2" protoname="ipv4"><src>10.9.9.1</src><dst>10.9.9.1</dst></layer3><layer4 protonum="6" protoname="tcp"><sport>21</sport><dport>4002</dport></layer4></meta><meta direction="independent"><state>ESTABLISHED</state><timeout>431999</timeout><mark>7</mark><use>1</use><id>1989799834</id><assured/></meta><helper>ftp</helper></flow>`},
	} {
		if got := string(AppendFlowXML(nil, &tt.f, Options{})); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

func TestEventsReadAsConntrackToolsPrintThem(t *testing.T) {
	t.Parallel()
	syn := Flow{Orig: tcp.Orig, Reply: tcp.Reply, Timeout: 120, State: "SYN_SENT", ID: 1571345388}
	marked := Flow{Orig: ftp.Orig, Reply: ftp.Reply, Timeout: 120, Mark: 7, Helper: "ftp"}
	gone := tcp
	gone.Stop = started
	at := time.Unix(1795155622, 625395000)
	for _, tt := range []struct {
		e    Event
		o    Options
		want string
	}{
		{Event{Kind: EventNew, Time: at, Flow: &syn}, Options{Timestamp: true, Extended: true, ID: true},
			"[1795155622.625395]\t    [NEW] ipv4     2 tcp      6 120 SYN_SENT src=10.9.9.1 dst=10.9.9.1 sport=4002 dport=80 [UNREPLIED] src=10.9.9.1 dst=10.9.9.1 sport=80 dport=4002 id=1571345388"},
		{Event{Kind: EventUpdate, Flow: &marked}, Options{},
			" [UPDATE] tcp      6 120 src=10.9.9.1 dst=10.9.9.1 sport=4002 dport=21 [UNREPLIED] src=10.9.9.1 dst=10.9.9.1 sport=21 dport=4002 mark=7 helper=ftp"},
		{Event{Kind: EventDestroy, Flow: &gone}, Options{},
			"[DESTROY] tcp      6 119 TIME_WAIT src=10.9.9.1 dst=10.9.9.1 sport=4002 dport=80 packets=3 bytes=164 src=10.9.9.1 dst=10.9.9.1 sport=80 dport=4002 packets=3 bytes=164 [ASSURED] delta-time=0"},
	} {
		if got := string(AppendEvent(nil, &tt.e, tt.o)); got != tt.want {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
	}
}

// As ct_seq_show prints them; IPv6 addresses with all digits, as %pI6 does.
func TestProcLinesReadAsTheKernelsDo(t *testing.T) {
	t.Parallel()
	f6 := Flow{Orig: tuple(17, "fd00:1::10", "fd00:f::9", 5000, 53), Reply: tuple(17, "fd00:f::9", "fd00:1::10", 53, 5000), Timeout: 30, Use: 1}
	want := "ipv6     10 udp      17 30 src=fd00:0001:0000:0000:0000:0000:0000:0010 dst=fd00:000f:0000:0000:0000:0000:0000:0009 sport=5000 dport=53 [UNREPLIED] src=fd00:000f:0000:0000:0000:0000:0000:0009 dst=fd00:0001:0000:0000:0000:0000:0000:0010 sport=53 dport=5000 mark=0 zone=0 use=2"
	if got := string(AppendProc(nil, &f6)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := string(AppendIPConntrack(nil, &f6)); got != want[len("ipv6     10 "):] {
		t.Errorf("got  %s\nwant %s", got, want[len("ipv6     10 "):])
	}
}

func TestExpectationsShowTupleMaskAndMaster(t *testing.T) {
	t.Parallel()
	e := Expectation{Tuple: tuple(6, "198.51.100.9", "203.0.113.1", 0, 2048), Master: tuple(6, "192.168.1.10", "198.51.100.9", 5000, 21), Timeout: 297, Helper: "ftp"}
	e.Mask.DstPort = 65535
	for i := range 16 {
		e.Mask.Src[i], e.Mask.Dst[i] = 0xff, 0xff
	}
	want := "297 proto=6 src=198.51.100.9 dst=203.0.113.1 sport=0 dport=2048 mask-src=255.255.255.255 mask-dst=255.255.255.255 sport=0 dport=65535 master-src=192.168.1.10 master-dst=198.51.100.9 sport=5000 dport=21 class=0 helper=ftp"
	if got := string(AppendExpectation(nil, &e, Options{})); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestJSONIsOneObjectWithTheNamesOfTheText(t *testing.T) {
	t.Parallel()
	var m struct {
		L4   string
		Orig struct {
			Src          string
			SPort, Bytes int
		}
		Reply struct {
			Dst   string
			DPort int
		}
		Flags []string
	}
	if err := json.Unmarshal(AppendFlowJSON(nil, &dnat), &m); err != nil {
		t.Fatal(err)
	}
	if m.L4 != "udp" || m.Orig.Src != "10.9.9.1" || m.Orig.SPort != 4000 || m.Orig.Bytes != 29 || m.Reply.DPort != 4000 || len(m.Flags) != 1 || m.Flags[0] != "UNREPLIED" {
		t.Errorf("%+v", m)
	}
}
