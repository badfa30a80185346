package control

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/router/control/ctfmt"
	"github.com/moat-router/moat/stack/packet"
)

// fake is a Backend with a few flows and rules.
type fake struct {
	mu       sync.Mutex
	flows    []ctfmt.Flow
	sub      func(*ctfmt.Event)
	waiting  chan struct{} // closed once somebody subscribes
	restored Restore
	changed  *conntrack.Change
	flushed  bool
}

func tuple(proto uint8, src, dst string, sport, dport uint16) conntrack.Tuple {
	a := func(s string) packet.Addr { return packet.AddrFrom(netip.MustParseAddr(s)) }
	return conntrack.Tuple{Src: a(src), Dst: a(dst), SrcPort: sport, DstPort: dport, Proto: proto, V6: strings.Contains(src, ":")}
}

func newFake() *fake {
	flow := func(o, r conntrack.Tuple) ctfmt.Flow { return ctfmt.Flow{Orig: o, Reply: r, Timeout: 30, Use: 1} }
	f := &fake{waiting: make(chan struct{})}
	f.flows = []ctfmt.Flow{
		flow(tuple(17, "192.168.1.10", "198.51.100.9", 5000, 53), tuple(17, "198.51.100.9", "203.0.113.1", 53, 5000)), // SNAT
		flow(tuple(6, "198.51.100.7", "203.0.113.1", 6000, 80), tuple(6, "192.168.1.20", "198.51.100.7", 8080, 6000)), // DNAT
		flow(tuple(17, "fd00:1::10", "fd00:f::9", 5000, 53), tuple(17, "fd00:f::9", "fd00:1::10", 53, 5000)),
		flow(tuple(1, "192.168.1.10", "198.51.100.9", 77, 8<<8), tuple(1, "198.51.100.9", "192.168.1.10", 77, 0)),
	}
	f.flows[0].Status = conntrack.StatusSrcNAT | conntrack.StatusNATDoneMask
	f.flows[1].State, f.flows[1].Mark = "ESTABLISHED", 0x17
	f.flows[1].Status = conntrack.StatusSeenReply | conntrack.StatusAssured | conntrack.StatusDstNAT | conntrack.StatusNATDoneMask
	f.flows[3].Status = conntrack.StatusSeenReply
	return f
}

func (f *fake) Flows(g func(*ctfmt.Flow) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.flows {
		if !g(&f.flows[i]) {
			return
		}
	}
}
func (f *fake) Expectations(func(*ctfmt.Expectation) bool) {}
func (f *fake) Bindings(g func(*ctfmt.Binding) bool) {
	at := func(s string) ctfmt.Endpoint {
		ap := netip.MustParseAddrPort(s)
		return ctfmt.Endpoint{Addr: packet.AddrFrom(ap.Addr()), Port: ap.Port()}
	}
	for _, b := range []ctfmt.Binding{
		{Proto: 17, Timeout: 287, Internal: at("192.168.1.10:4000"), External: at("203.0.113.1:4000"), Mapping: "endpoint-independent",
			Filtering: "address-dependent", Callers: 2, Connections: 1},
		{Proto: 6, Internal: at("192.168.1.11:5000"), External: at("203.0.113.1:61000"), Destination: "198.51.100.9:80",
			Mapping: "address-and-port-dependent", Filtering: "address-and-port-dependent", Callers: 1, Connections: 1, Zone: 3},
		{Proto: 17, V6: true, Timeout: 30, Internal: at("[fd00:1::10]:7"), External: at("[2001:db8::1]:7"), Mapping: "endpoint-independent", Filtering: "endpoint-independent"},
	} {
		if !g(&b) {
			return
		}
	}
}
func (f *fake) FlushBindings() { f.flushed = true }
func (f *fake) DeleteFlows(match func(*ctfmt.Flow) bool) (n int) {
	var rest []ctfmt.Flow
	for i := range f.flows {
		if match(&f.flows[i]) {
			n++
		} else {
			rest = append(rest, f.flows[i])
		}
	}
	f.flows = rest
	return n
}
func (f *fake) CreateFlow(s *conntrack.Spec) error {
	for i := range f.flows {
		if f.flows[i].Orig == s.Tuple[conntrack.Original] {
			return conntrack.ErrExists
		}
	}
	f.flows = append(f.flows, ctfmt.Flow{
		Orig: s.Tuple[conntrack.Original], Reply: s.Tuple[conntrack.Reply], Timeout: int64(s.Timeout / time.Second), State: s.State,
		Status: s.Status, Mark: s.Mark, Zone: max(s.Tuple[0].Zone, s.Tuple[1].Zone), Tags: s.Tags, Use: 1,
	})
	return nil
}
func (f *fake) UpdateFlows(match func(*ctfmt.Flow) bool, ch *conntrack.Change, each func(*ctfmt.Flow)) (n int) {
	f.changed = ch
	for i := range f.flows {
		if match(&f.flows[i]) {
			each(&f.flows[i])
			n++
		}
	}
	return n
}
func (f *fake) ZeroFlows(match func(*ctfmt.Flow) bool, each func(*ctfmt.Flow)) {
	f.UpdateFlows(match, nil, each)
}
func (f *fake) FlushFlows()                      { f.flows = nil }
func (f *fake) FlushExpectations()               {}
func (f *fake) Count() (int, int)                { return len(f.flows), 0 }
func (f *fake) ConntrackStats() []ConntrackStats { return []ConntrackStats{{Found: 1}, {Drop: 2}} }
func (f *fake) Subscribe(g func(*ctfmt.Event)) func() {
	f.sub = g
	close(f.waiting)
	return func() {}
}
func (f *fake) SaveRules(family policy.Family, table string, counters bool) (string, error) {
	return "# " + family.String() + " " + table + "\n", nil
}
func (f *fake) RestoreRules(r Restore) error { f.restored = r; return nil }
func (f *fake) EditRules(family policy.Family, args []string) (string, error) {
	return family.String() + " " + strings.Join(args, " ") + "\n", nil
}
func (f *fake) IP(words string) (string, error) { return words + "\n", nil }
func (f *fake) Links() []LinkInfo {
	return []LinkInfo{{Index: 2, Name: "wan", Device: "moat-wan", MTU: 1500, Up: true, Addresses: []string{"192.0.2.1/24"}, Rx: Traffic{Packets: 7}}}
}
func (f *fake) Collector() prometheus.Collector {
	return NewCollector(func() Metrics {
		m := Metrics{Flows: len(f.flows), Links: f.Links(), Conntrack: f.ConntrackStats()}
		m.Drops[packet.ReasonFragOverlap] = 3
		return m
	})
}

// serve runs a server on a socket of its own.
func serve(t *testing.T, b Backend) (path string) {
	t.Helper()
	path = filepath.Join(short(t), "moat", "moat.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- NewServer(b, "moat test").Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("the socket is still there: %v", err)
		}
	})
	return path
}

func call(t *testing.T, path string, r *Request) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code, err := Call(context.Background(), path, r, &o, &e)
	if err != nil {
		t.Fatal(err)
	}
	return code, o.String(), e.String()
}

func TestFiltersSelectAsConntrackToolsDo(t *testing.T) {
	t.Parallel()
	path := serve(t, newFake())
	for _, tt := range []struct {
		args string
		want string // which of the four flows, by number
	}{
		{"-L", "0123"},
		{"-L -p udp", "02"},
		{"-L -pudp -f ipv4", "0"},
		{"-L -f ipv6", "2"},
		{"-L -s 192.168.1.10", "03"},
		{"-L --orig-src=192.168.1.0/24", "03"},
		{"-L -s 192.168.1.0/255.255.255.0", "03"},
		{"-L -s 192.168.1.10 --mask-src 255.255.255.0", "03"},
		{"-L -d fd00:f::9", "2"},
		{"-L -r 192.168.1.20", "1"},
		{"-L -q 203.0.113.1", "0"},
		{"-L -p tcp --dport 80", "1"},
		{"-L -p tcp --reply-port-src 8080", "1"},
		{"-L -p tcp --state established", "1"},
		{"-L -p tcp --state LISTEN", ""},
		{"-L -m 0x17", "1"},
		{"-L -m 0x10/0x10", "1"},
		{"-L -u ASSURED", "1"},
		{"-L -u UNREPLIED", "02"},
		{"-L -n", "0"},
		{"-L -g", "1"},
		{"-L -j", "01"},
		{"-L -j 203.0.113.1", "0"},
		{"-L -g 192.168.1.20:8080", "1"},
		{"-L -g 192.168.1.20:81", ""},
		{"-L -p icmp --icmp-type 8 --icmp-id 77", "3"},
		{"-L -p icmp --icmp-type 13", ""},
		{"-L -w 0", "0123"},
		{"-L -w 1", ""},
		{"-L dying", ""},
		{"-G -p udp -s 192.168.1.10 -d 198.51.100.9 --sport 5000 --dport 53", "0"},
	} {
		code, out, errs := call(t, path, &Request{Do: "conntrack", Args: strings.Fields(tt.args)})
		got := ""
		for i, mark := range []string{"src=192.168.1.10 dst=198.51.100.9 sport", "dst=203.0.113.1 sport=6000", "fd00:1::10", "type=8"} {
			if strings.Contains(out, mark) {
				got += string(rune('0' + i))
			}
		}
		if code != 0 || got != tt.want {
			t.Errorf("%s: flows %q, want %q (exit %d, %s%s)", tt.args, got, tt.want, code, out, errs)
		}
	}
}

func TestMistakesOfTheCallerExitWithTwo(t *testing.T) {
	t.Parallel()
	path := serve(t, newFake())
	for _, tt := range []struct{ do, args, want string }{
		{"conntrack", "", "no command"},
		{"conntrack", "-L -F", "two commands"},
		{"conntrack", "-L bogus", `"bogus" is not a table`},
		{"conntrack", "-D bindings", "-D does not know the table bindings"},
		{"conntrack", "-L bindings -o xml", "bindings are listed as text, or with -o json"},
		{"conntrack", "-L -p foo", `"foo" is not a protocol`},
		{"conntrack", "-L -s 1.2.3", `"1.2.3" is not an IP address`},
		{"conntrack", "-L -s 1.2.3.4/33", "0 to 32"},
		{"conntrack", "-L --sport 5", "--sport needs -p"},
		{"conntrack", "-L -p tcp --sport 65536", "not a number up to 65535"},
		{"conntrack", "-L -p tcp --sport", "--sport needs a value"},
		{"conntrack", "-L -o foo", `"foo" is not an output`},
		{"conntrack", "-L -u FOO", `"FOO" is not a status`},
		{"conntrack", "-C -p tcp", "-p cannot stand with -C"},
		{"conntrack", "-G -p udp", "-G needs --src and --dst"},
		{"conntrack", "-E -e NEW,FOO", `"FOO" is not an event`},
		{"conntrack", "-L --bogus", "option --bogus is unknown"},
		{"rules", "", "what about the rules"},
		{"rules", "FORWARD", "no command"},
		{"rules", "save --bogus", `"--bogus" is unknown`},
		{"route", "fly", `"fly" is unknown`},
		{"link", "--bogus", `"--bogus" is unknown`},
		{"link", "--follow=never", "an interval"},
		{"fly", "", `"fly" is not a request`},
	} {
		code, _, errs := call(t, path, &Request{Do: tt.do, Args: strings.Fields(tt.args)})
		if code != 2 || !strings.HasPrefix(errs, "moat: ") || !strings.Contains(errs, tt.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s %s: exit %d, %q; want 2 and %q in one line", tt.do, tt.args, code, errs, tt.want)
		}
	}
}

func TestDeletingPrintsWhatWentAndFailsWhereNothingDid(t *testing.T) {
	t.Parallel()
	path := serve(t, newFake())
	code, out, errs := call(t, path, &Request{Do: "conntrack", Args: []string{"-D", "-p", "udp"}})
	if code != 0 || strings.Count(out, "\n") != 2 || errs != "moat: 2 flow entries have been deleted.\n" {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	if code, _, errs = call(t, path, &Request{Do: "conntrack", Args: []string{"-D", "-p", "udp"}}); code != 1 || errs != "moat: 0 flow entries have been deleted.\n" {
		t.Errorf("exit %d, %q", code, errs)
	}
	if _, out, _ := call(t, path, &Request{Do: "conntrack", Args: []string{"-C"}}); out != "2\n" {
		t.Errorf("%q flows are left, want 2", out)
	}
	if code, _, errs := call(t, path, &Request{Do: "conntrack", Args: strings.Fields("-G -p udp -s 1.1.1.1 -d 2.2.2.2")}); code != 1 || errs != "moat: such conntrack doesn't exist\n" {
		t.Errorf("exit %d, %q", code, errs)
	}
}

func TestRulesGoThroughWithTheirFamily(t *testing.T) {
	t.Parallel()
	f := newFake()
	path := serve(t, f)
	for _, tt := range []struct{ args, want string }{
		{"save", "# v4 \n# v6 \n"},
		{"save -6 -t nat", "# v6 nat\n"},
		{"-L -v -n", "v4 -L -v -n\n"},
		{"-6 -A FORWARD -j DROP", "v6 -A FORWARD -j DROP\n"},
		{"-t nat -S", "v4 -t nat -S\n"},
	} {
		if code, out, errs := call(t, path, &Request{Do: "rules", Args: strings.Fields(tt.args)}); code != 0 || out != tt.want {
			t.Errorf("%s: exit %d, %q, %q; want %q", tt.args, code, out, errs, tt.want)
		}
	}
	call(t, path, &Request{Do: "rules", Args: strings.Fields("-6 restore --noflush --test"), In: "*filter\nCOMMIT\n", Name: "x.v6"})
	if want := (Restore{V6: "*filter\nCOMMIT\n", Name: "x.v6", NoFlush: true, Test: true}); f.restored != want {
		t.Errorf("%+v, want %+v", f.restored, want)
	}
}

func TestMetricsNameEveryReason(t *testing.T) {
	t.Parallel()
	path := serve(t, newFake())
	code, out, errs := call(t, path, &Request{Do: "metrics"})
	for _, want := range []string{
		"moat_drops_total{reason=\"frag_overlap\"} 3\n", "moat_drops_total{reason=\"nat_exhausted\"} 0\n", "moat_conntrack_entries 4\n",
		"moat_conntrack_total{counter=\"drop\"} 2\n", "moat_link_receive_packets_total{link=\"wan\"} 7\n", "# TYPE moat_drops_total counter\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q (exit %d, %q)", want, code, errs)
		}
	}
	if code, out, _ := call(t, path, &Request{Do: "link"}); code != 0 || !strings.Contains(out, "wan   moat-wan  up     1500  7") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

// lines is a writer that hands over each write and ends a stream after enough of them.
type lines struct {
	text   strings.Builder
	enough int
	stop   func()
}

func (l *lines) Write(b []byte) (int, error) {
	n, err := l.text.Write(b)
	if strings.Count(l.text.String(), "\n") >= l.enough {
		l.stop()
	}
	return n, err
}

func TestEventsStreamUntilTheReaderGoes(t *testing.T) {
	t.Parallel()
	f := newFake()
	path := serve(t, f)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out := &lines{enough: 2, stop: cancel}
	done := make(chan error)
	go func() {
		_, err := Call(ctx, path, &Request{Do: "conntrack", Args: strings.Fields("-E -p udp -e NEW,DESTROY")}, out, &bytes.Buffer{})
		done <- err
	}()
	<-f.waiting
	f.sub(&ctfmt.Event{Kind: ctfmt.EventNew, Flow: &f.flows[0]})
	f.sub(&ctfmt.Event{Kind: ctfmt.EventUpdate, Flow: &f.flows[0]})
	f.sub(&ctfmt.Event{Kind: ctfmt.EventNew, Flow: &f.flows[1]})
	f.sub(&ctfmt.Event{Kind: ctfmt.EventDestroy, Flow: &f.flows[0]})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if l := strings.Split(out.text.String(), "\n"); !strings.HasPrefix(l[0], "    [NEW] udp") || !strings.HasPrefix(l[1], "[DESTROY] udp") {
		t.Errorf("%q", l)
	}
}

func TestALiveSocketIsRefusedAndAStaleOneReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(short(t), "d", "moat.sock")
	first, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []struct {
		path string
		want os.FileMode
	}{{path, 0o600}, {filepath.Dir(path), 0o700}} {
		if st, err := os.Stat(p.path); err != nil || st.Mode().Perm() != p.want {
			t.Errorf("%s: mode %v, %v; want %v", p.path, st.Mode(), err, p.want)
		}
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "already running on "+path) {
		t.Errorf("a second moat: %v", err)
	}
	// A moat that was killed leaves its file behind.
	first.(*listener).Listener.Close()
	second, err := Listen(path)
	if err != nil {
		t.Fatalf("a stale socket is in the way: %v", err)
	}
	defer second.Close()
	first.Close()
	if c, err := net.Dial("unix", path); err != nil {
		t.Errorf("the old listener removed the new one's socket: %v", err)
	} else {
		c.Close()
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestAFileThatIsNoSocketIsNotTouched(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(path, []byte("dear diary"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "is not a socket") {
		t.Errorf("%v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "dear diary" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestNobodyThereIsSaidInOneSentence(t *testing.T) {
	t.Parallel()
	code, err := Call(context.Background(), filepath.Join(t.TempDir(), "no.sock"), &Request{Do: "version"}, &bytes.Buffer{}, &bytes.Buffer{})
	if code != 1 || err == nil || !strings.Contains(err.Error(), "no moat is running on ") {
		t.Errorf("%d, %v", code, err)
	}
}

func TestDefaultPathFollowsTheUser(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		uid  int
		run  string
		want string
	}{
		{0, "/run/user/0", "/run/moat/moat.sock"},
		{1000, "/run/user/1000", "/run/user/1000/moat/moat.sock"},
		{1000, "", "/tmp/moat-1000/moat.sock"},
	} {
		if got := filepath.ToSlash(defaultPath(tt.uid, tt.run, "/tmp")); got != tt.want {
			t.Errorf("uid %d: %s, want %s", tt.uid, got, tt.want)
		}
	}
}

func FuzzParseQuery(f *testing.F) {
	f.Add("-L -p udp -s 10.0.0.0/8 -o extended,id")
	f.Add("-E -e NEW -j 1.2.3.4:5")
	f.Add("-G --src=::1 --dst ::2 -p 6 --mask-src ffff::")
	f.Fuzz(func(t *testing.T, line string) {
		q, err := ParseQuery(strings.Fields(line))
		if err == nil {
			flow := ctfmt.Flow{Orig: tuple(6, "1.2.3.4", "5.6.7.8", 1, 2), Reply: tuple(6, "5.6.7.8", "1.2.3.4", 2, 1)}
			q.Filter.Match(&flow)
		}
	})
}

// short is a directory whose name leaves room for a socket's: that of t.TempDir has the name of the test in it.
func short(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "m")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestAPathTooLongForASocketIsSaidSo(t *testing.T) {
	t.Parallel()
	_, err := Listen(filepath.Join(short(t), strings.Repeat("x", 120), "moat.sock"))
	if err == nil || !strings.Contains(err.Error(), "choose a shorter one with --control") {
		t.Errorf("%v", err)
	}
}

func TestBindingsAreATableOfTheirOwn(t *testing.T) {
	t.Parallel()
	const first = "udp      17 287 internal=192.168.1.10:4000 external=203.0.113.1:4000 mapping=endpoint-independent filtering=address-dependent callers=2 connections=1\n"
	const second = "tcp      6 0 internal=192.168.1.11:5000 external=203.0.113.1:61000 destination=198.51.100.9:80 mapping=address-and-port-dependent filtering=address-and-port-dependent callers=1 connections=1 zone=3\n"
	const third = "ipv6     10 udp      17 30 internal=[fd00:1::10]:7 external=[2001:db8::1]:7 mapping=endpoint-independent filtering=endpoint-independent callers=0 connections=0\n"
	f := newFake()
	path := serve(t, f)
	for _, tt := range []struct{ args, out, errs string }{
		{"-L bindings -f ipv4", first + second, "moat: 2 bindings have been shown.\n"},
		{"-L bindings -p udp -s 192.168.1.0/24", first, "moat: 1 bindings have been shown.\n"},
		{"-L bindings -p tcp --reply-port-dst 61000", second, "moat: 1 bindings have been shown.\n"},
		{"-L bindings -f ipv6 -o extended", third, "moat: 1 bindings have been shown.\n"},
		{"-L bindings -w 3 -o json", `{"l3":"ipv4","l4":"tcp","proto":6,"timeout":0,"internal":"192.168.1.11:5000","external":"203.0.113.1:61000",` +
			`"destination":"198.51.100.9:80","mapping":"address-and-port-dependent","filtering":"address-and-port-dependent","callers":1,"connections":1,"zone":3}` + "\n",
			"moat: 1 bindings have been shown.\n"},
		{"-C bindings", "3\n", ""},
		{"-F bindings", "", "moat: binding table has been emptied.\n"},
	} {
		if code, out, errs := call(t, path, &Request{Do: "conntrack", Args: strings.Fields(tt.args)}); code != 0 || out != tt.out || errs != tt.errs {
			t.Errorf("%s: exit %d\n%q\nwant\n%q\n%s", tt.args, code, out, tt.out, errs)
		}
	}
	if !f.flushed {
		t.Error("-F bindings reached nobody")
	}
}
