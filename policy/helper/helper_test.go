package helper

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/policy/nat"
	"github.com/moat-router/moat/policy/nat/walktest"
	"github.com/moat-router/moat/stack/packet"
)

func addr(s string) packet.Addr { return packet.AddrFrom(netip.MustParseAddr(s)) }

// path is a router between a client at lan and a server at wan, with helpers by port. Clients are seen as 1.2.3.1 or
// 2001:db8:1::1 if it translates.
type path struct {
	*walktest.Router
	t    testing.TB
	says []string
}

func newPath(t testing.TB, translate string) *path {
	p := conntrack.DefaultParams()
	p.Helper = true
	x := &path{Router: walktest.New(p), t: t}
	x.T.SetHelpers(All())
	if translate != "" {
		a := addr(translate)
		x.SNAT = &nat.Range{Flags: nat.MapIPs, MinAddr: a, MaxAddr: a}
	}
	x.Helper = func(p *packet.Packet, ref conntrack.Ref) packet.Reason {
		why, says := Run(x.T, x.Now, p, ref, x.Rng)
		if says != "" {
			x.says = append(x.says, says)
		}
		return why
	}
	return x
}

// send lets a packet arrive and gives what left, without its IP layer; "" for nothing.
func (x *path) send(in, text string) string {
	x.t.Helper()
	b, err := packet.Build(text)
	if err != nil {
		x.t.Fatal(err)
	}
	s := x.Inject(in, b)
	if s == nil {
		return ""
	}
	_, layer, _ := strings.Cut(packet.Text(s.Data), " / ")
	return layer
}

// payload is what of a packet that left lies behind the TCP header.
func (x *path) payload(in, text string) string {
	x.t.Helper()
	b, err := packet.Build(text)
	if err != nil {
		x.t.Fatal(err)
	}
	s := x.Inject(in, b)
	if s == nil {
		return "dropped: " + x.Reason.String()
	}
	p := packet.New()
	p.Load(s.Data)
	if p.Parse() != packet.ReasonNone || !p.TransportSumOK() {
		x.t.Errorf("what left for %q has a wrong checksum", text)
	}
	return string(p.Payload())
}

func (x *path) expectations() (list []string) {
	x.T.RangeExpects(func(e *conntrack.Expect) bool {
		list = append(list, fmt.Sprintf("%v>%v:%d", e.Tuple.Src, e.Tuple.Dst, e.Tuple.DstPort))
		return true
	})
	return list
}

const (
	client = "192.168.1.10>198.51.100.9"
	server = "198.51.100.9>"
)

// ftp opens a control connection on which both sides have said a line; the client's next number is 104, the server's
// 906.
func (x *path) ftp(seenAs string) {
	for _, s := range []struct{ in, text string }{
		{"lan", "ip4 " + client + " / tcp 5000>21 S seq=100"},
		{"wan", "ip4 " + server + seenAs + " / tcp 21>5000 SA seq=900 ack=101"},
		{"lan", "ip4 " + client + " / tcp 5000>21 A seq=101 ack=901"},
		{"wan", "ip4 " + server + seenAs + ` / tcp 21>5000 PA seq=901 ack=101 / text "220\r\n"`},
		{"lan", "ip4 " + client + ` / tcp 5000>21 PA seq=101 ack=906 / text "U\r\n"`},
	} {
		if x.send(s.in, s.text) == "" {
			x.t.Fatalf("%s was dropped: %v", s.text, x.Reason)
		}
	}
}

func (x *path) says21(seq int, line string) string {
	x.t.Helper()
	return x.payload("lan", fmt.Sprintf("ip4 %s / tcp 5000>21 PA seq=%d ack=906 / text %q", client, seq, line))
}

func TestPORTIsRewrittenAndItsConnectionFollows(t *testing.T) {
	t.Parallel()
	x := newPath(t, "1.2.3.1")
	x.ftp("1.2.3.1")
	if got := x.says21(104, "PORT 192,168,1,10,19,137\r\n"); got != "PORT 1,2,3,1,19,137\r\n" {
		t.Fatalf("the server reads %q", got)
	}
	if got := x.expectations(); !slices.Equal(got, []string{"198.51.100.9>1.2.3.1:5001"}) {
		t.Fatalf("expected are %q", got)
	}
	b, _ := packet.Build("ip4 198.51.100.9>1.2.3.1 / tcp 20>5001 S seq=1")
	s := x.Inject("wan", b)
	if s == nil || s.Link != "lan" || !strings.HasPrefix(packet.Text(s.Data), "ip4 198.51.100.9>192.168.1.10 ") {
		t.Fatalf("the data connection leaves as %v (%v)", s, x.Reason)
	}
	if len(x.expectations()) != 0 {
		t.Error("the expectation is still there")
	}
}

func TestAcknowledgmentsOfARewrittenLineComeBackAsSent(t *testing.T) {
	t.Parallel()
	x := newPath(t, "1.2.3.1")
	x.ftp("1.2.3.1")
	x.says21(104, "PORT 192,168,1,10,19,137\r\n") // 26 bytes, five fewer behind
	// Sent again it is rewritten again, and moves nothing further.
	if again := x.says21(104, "PORT 192,168,1,10,19,137\r\n"); again != "PORT 1,2,3,1,19,137\r\n" {
		t.Errorf("sent again it reads %q", again)
	}
	got := x.send("wan", "ip4 198.51.100.9>1.2.3.1 / tcp 21>5000 A seq=906 ack=125")
	if !strings.Contains(got, " ack=130 ") {
		t.Errorf("the acknowledgment of all arrives as %s", got)
	}
	got = x.send("lan", "ip4 "+client+` / tcp 5000>21 PA seq=130 ack=906 / text "X\r\n"`)
	if !strings.Contains(got, " seq=125 ") {
		t.Errorf("the line behind leaves as %s", got)
	}
	// The server has the line behind but one, and says so in a block of 128 to 131 as it counts.
	got = x.send("wan", "ip4 198.51.100.9>1.2.3.1 / tcp 21>5000 A seq=906 ack=125 opts=0101050a0000008000000083")
	if !strings.Contains(got, "opts=0101050a0000008500000088") {
		t.Errorf("the block arrives as %s", got)
	}
	if got = x.send("lan", "ip4 "+client+` / tcp 5000>21 PA seq=133 ack=906 / text "Y\r\n"`); !strings.Contains(got, " seq=128 ") {
		t.Errorf("a later line leaves as %s", got)
	}
}

func TestCutCommandIsDroppedAndReadWhenItComesWhole(t *testing.T) {
	t.Parallel()
	x := newPath(t, "1.2.3.1")
	x.ftp("1.2.3.1")
	if got := x.says21(104, "PORT 192,168,"); got != "dropped: "+packet.ReasonHelperDrop.String() {
		t.Errorf("half a command leaves as %q", got)
	}
	if want := []string{"nf_ct_ftp: dropping packet: partial matching of `PORT' "}; !slices.Equal(x.says, want) {
		t.Errorf("logged is %q, want %q", x.says, want)
	}
	if got := x.says21(104, "PORT 192,168,1,10,19,137\r\n"); got != "PORT 1,2,3,1,19,137\r\n" {
		t.Errorf("whole it leaves as %q", got)
	}
}

func TestCommandCountsOnlyWhereALineBegins(t *testing.T) {
	t.Parallel()
	x := newPath(t, "1.2.3.1")
	x.ftp("1.2.3.1")
	x.says21(104, "STOR ")
	if got := x.says21(109, "PORT 192,168,1,10,19,137\r\n"); got != "PORT 192,168,1,10,19,137\r\n" {
		t.Errorf("a file's name leaves as %q", got)
	}
	if got := x.expectations(); len(got) != 0 {
		t.Errorf("expected are %q", got)
	}
}

func TestAddressOfAThirdIsNotExpected(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"PORT 192,168,1,11,19,137\r\n", "EPRT |1|203.0.113.5|5001|\r\n", "PORT 1,2,3,1,19,137\r\n"} {
		x := newPath(t, "1.2.3.1")
		x.ftp("1.2.3.1")
		if got := x.says21(104, line); got != line {
			t.Errorf("%q leaves as %q", line, got)
		}
		if got := x.expectations(); len(got) != 0 {
			t.Errorf("%q: expected are %q", line, got)
		}
	}
}

// The class of FTP's expectations holds one: the next command replaces what the last one announced.
func TestSecondPORTReplacesTheFirst(t *testing.T) {
	t.Parallel()
	x := newPath(t, "")
	x.ftp("192.168.1.10")
	x.says21(104, "PORT 192,168,1,10,19,137\r\n")
	x.says21(130, "PORT 192,168,1,10,19,138\r\n")
	if got := x.expectations(); !slices.Equal(got, []string{"198.51.100.9>192.168.1.10:5002"}) {
		t.Errorf("expected are %q", got)
	}
	x.Now = x.Now.Add(5*time.Minute + time.Second)
	x.T.Advance(x.Now)
	if got := x.expectations(); len(got) != 0 {
		t.Errorf("after five minutes expected are %q", got)
	}
}

func TestPortZeroIsDroppedWhereItWouldBeTranslated(t *testing.T) {
	t.Parallel()
	x := newPath(t, "1.2.3.1")
	x.ftp("1.2.3.1")
	if got := x.says21(104, "PORT 192,168,1,10,0,0\r\n"); got != "dropped: "+packet.ReasonHelperDrop.String() {
		t.Errorf("port 0 leaves as %q", got)
	}
	if want := []string{"nf_ct_ftp: dropping packet: all ports in use "}; !slices.Equal(x.says, want) {
		t.Errorf("logged is %q, want %q", x.says, want)
	}
}

// Another client has the port already at the shared address: a second one gets another, and the server reads that.
func TestBusyPortIsReplacedByAFreeOne(t *testing.T) {
	t.Parallel()
	x := newPath(t, "1.2.3.1")
	x.ftp("1.2.3.1")
	x.says21(104, "PORT 192,168,1,10,19,137\r\n")
	for _, s := range []struct{ in, text string }{
		{"lan", "ip4 192.168.1.11>198.51.100.9 / tcp 5003>21 S seq=100"},
		{"wan", "ip4 198.51.100.9>1.2.3.1 / tcp 21>5003 SA seq=900 ack=101"},
		{"lan", `ip4 192.168.1.11>198.51.100.9 / tcp 5003>21 PA seq=101 ack=901 / text "U\r\n"`},
	} {
		x.send(s.in, s.text)
	}
	got := x.payload("lan", `ip4 192.168.1.11>198.51.100.9 / tcp 5003>21 PA seq=104 ack=901 / text "PORT 192,168,1,11,19,137\r\n"`)
	var hi, lo int
	if _, err := fmt.Sscanf(got, "PORT 1,2,3,1,%d,%d\r\n", &hi, &lo); err != nil || hi<<8+lo <= 5001 || hi<<8+lo > 65535 {
		t.Errorf("the second PORT leaves as %q (%v)", got, err)
	}
	if n := len(x.expectations()); n != 2 {
		t.Errorf("%d are expected", n)
	}
}

func TestTFTPAnswerComesFromAnyPort(t *testing.T) {
	t.Parallel()
	x := newPath(t, "1.2.3.1")
	x.send("lan", "ip4 "+client+" / udp 5000>69 / raw 000166006f6374657400")
	if got := x.expectations(); !slices.Equal(got, []string{"198.51.100.9>1.2.3.1:5000"}) {
		t.Fatalf("expected are %q", got)
	}
	if got := x.send("wan", "ip4 198.51.100.9>1.2.3.1 / udp 2222>5000 / raw 0003000161"); !strings.HasPrefix(got, "udp 2222>5000") {
		t.Errorf("the data leaves as %q (%v)", got, x.Reason)
	}
	// Neither data nor a request that is cut before its opcode announces anything.
	x.send("lan", "ip4 "+client+" / udp 5001>69 / raw 0003000161")
	x.send("lan", "ip4 "+client+" / udp 5001>69 / raw 00")
	if got := x.expectations(); len(got) != 0 {
		t.Errorf("expected are %q", got)
	}
}

func TestForgedDCCIsNotExpected(t *testing.T) {
	t.Parallel()
	const own, other = 3232235786, 3232235787 // 192.168.1.10 and .11
	for _, s := range []struct {
		text string
		want string
	}{
		{fmt.Sprintf("PRIVMSG bob :\x01DCC SEND f %d 5001\x01\r\n", own), fmt.Sprintf("PRIVMSG bob :\x01DCC SEND f %d 5001\x01\r\n", 0x01020301)},
		{fmt.Sprintf("PRIVMSG bob :\x01DCC CHAT chat %d 5001\x01\r\n", other), ""},
		{fmt.Sprintf("PRIVMSG bob :\x01DCC SEND f %d 0\x01\r\n", own), ""},
		{fmt.Sprintf("PRIVMSG bob :\x01DCC SEND f %d 5001\x01", own), ""}, // the line may go on
		{fmt.Sprintf("PRIVMSG bob :\x01DCC XMIT f %d 5001\x01\r\n", own), ""},
		// One message is all that is read of a segment, also if that one is forged.
		{fmt.Sprintf("PRIVMSG bob :\x01DCC SEND f %d 5001\x01\r\nPRIVMSG bob :\x01DCC SEND f %d 5001\x01\r\n", other, own), ""},
	} {
		x := newPath(t, "1.2.3.1")
		x.send("lan", "ip4 "+client+" / tcp 5000>6667 S seq=100")
		x.send("wan", "ip4 198.51.100.9>1.2.3.1 / tcp 6667>5000 SA seq=900 ack=101")
		want := s.want
		if want == "" {
			want = s.text
		}
		if got := x.payload("lan", fmt.Sprintf("ip4 %s / tcp 5000>6667 PA seq=101 ack=901 / raw %x", client, s.text)); got != want {
			t.Errorf("%q leaves as %q", s.text, got)
		}
		if n := len(x.expectations()); n != 0 != (s.want != "") {
			t.Errorf("%q: %d are expected", s.text, n)
		}
	}
}

func TestAmandaStreamsAreExpected(t *testing.T) {
	t.Parallel()
	x := newPath(t, "1.2.3.1")
	x.send("lan", "ip4 "+client+` / udp 5000>10080 / text "SERVICE\n"`)
	const line = "CONNECT DATA 5001 MESG 5002 INDEX 5003\n"
	if got := x.payload("wan", fmt.Sprintf("ip4 198.51.100.9>1.2.3.1 / udp 10080>5000 / text %q", line)); got != line {
		t.Errorf("the answer leaves as %q", got)
	}
	want := []string{"192.168.1.10>198.51.100.9:5001", "192.168.1.10>198.51.100.9:5002", "192.168.1.10>198.51.100.9:5003"}
	if got := x.expectations(); !slices.Equal(got, want) {
		t.Errorf("expected are %q", got)
	}
	x.T.Range(func(c *conntrack.Conn) bool {
		if left := c.Expires().Sub(x.Now); left != 300*time.Second {
			t.Errorf("the request waits %v for what follows", left)
		}
		return true
	})
}

// What goes by without a word for the helper costs nothing.
func TestOrdinaryLinesAllocateNothing(t *testing.T) {
	x := newPath(t, "1.2.3.1")
	x.ftp("1.2.3.1")
	b, err := packet.Build("ip4 " + client + ` / tcp 5000>21 PA seq=104 ack=906 / text "NOOP\r\n"`)
	if err != nil {
		t.Fatal(err)
	}
	p := packet.New()
	p.Load(b)
	if p.Parse() != packet.ReasonNone {
		t.Fatal("not a packet")
	}
	var ref conntrack.Ref
	if why := x.T.In(x.Now, p, &ref, conntrack.HookInfo{}, x.Rng); why != packet.ReasonNone {
		t.Fatal(why)
	}
	defer x.T.Release(&ref)
	if n := testing.AllocsPerRun(100, func() {
		if why, _ := Run(x.T, x.Now, p, ref, x.Rng); why != packet.ReasonNone {
			t.Fatal(why)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Both directions of a control connection may be on two workers. Under -race this finds state that nobody guards.
func TestBothDirectionsAtOnce(t *testing.T) {
	t.Parallel()
	x := newPath(t, "1.2.3.1")
	x.ftp("1.2.3.1")
	var wg sync.WaitGroup
	for i, text := range []string{
		"ip4 " + client + ` / tcp 5000>21 PA seq=104 ack=906 / text "PORT 192,168,1,10,19,137\r\n"`,
		`ip4 198.51.100.9>1.2.3.1 / tcp 21>5000 PA seq=906 ack=104 / text "227 (198,51,100,9,19,138)\r\n"`,
	} {
		b, err := packet.Build(text)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, uint64(i)))
		wg.Go(func() {
			for range 200 {
				p := packet.New()
				p.Load(b)
				if p.Parse() != packet.ReasonNone {
					t.Error("not a packet")
				}
				var ref conntrack.Ref
				x.T.In(x.Now, p, &ref, conntrack.HookInfo{}, rng)
				if why, says := Run(x.T, x.Now, p, ref, rng); why != packet.ReasonNone {
					t.Error(says)
				}
				x.T.Confirm(x.Now, p, &ref, rng)
				x.T.Release(&ref)
			}
		})
	}
	wg.Wait()
	if n := len(x.expectations()); n != 1 {
		t.Errorf("%d are expected", n)
	}
}
