package scenario

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

// faithful is the run of a router that does what was recorded.
func faithful(t *testing.T, s *Scenario) *Run {
	t.Helper()
	run := &Run{Vars: map[string]uint64{}, Counters: s.Recorded.Counters}
	for _, e := range s.Expected {
		o := Outcome{Entries: slices.Clone(e.CT), Expect: e.Expect, Events: slices.Clone(e.Events), Log: slices.Clone(e.Log)}
		for _, x := range e.Out {
			b, err := hex.DecodeString(x.Hex)
			if err != nil {
				t.Fatal(err)
			}
			o.Out = append(o.Out, Sent{x.If, b, x.GSO})
		}
		run.Steps = append(run.Steps, o)
	}
	return run
}

func recording(t *testing.T, name string) *Scenario {
	t.Helper()
	l, err := Load(recordings + "/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return l[0]
}

func TestARunThatRepeatsTheRecordingAgrees(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"H16-events", "H14-log", "C01-handshake-close", "B09-netmap"} {
		s := recording(t, name)
		for _, d := range Compare(s, faithful(t, s), 0) {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestCompareSeesEveryKindOfDifference(t *testing.T) {
	t.Parallel()
	tests := []struct {
		claim, scenario string
		change          func(r *Run)
		kind            Kinds
		text            string
	}{
		{"a changed TTL is named", "H16-events", func(r *Run) { r.Steps[0].Out[0].Data[8]--; r.Steps[0].Out[0].Data[11]++ }, KindOut, "ip.ttl"},
		{"a wrong checksum is a difference", "H16-events", func(r *Run) { r.Steps[0].Out[0].Data[36] ^= 1 }, KindOut, "tcp.csum"},
		{"another interface", "H16-events", func(r *Run) { r.Steps[0].Out[0].If = "lan" }, KindOut, "+ lan:"},
		{"a missing packet", "H16-events", func(r *Run) { r.Steps[0].Out = nil }, KindOut, "0 packets out, expected 1"},
		{"a missing entry", "H16-events", func(r *Run) { r.Steps[0].Entries = nil }, KindCT, "- ipv4 tcp SYN_SENT 192.168.1.10:5000>"},
		{"another state", "H16-events", func(r *Run) { r.Steps[0].Entries[0].State = "ESTABLISHED" }, KindCT, "+ ipv4 tcp ESTABLISHED"},
		{"a flag too much", "H16-events", func(r *Run) {
			r.Steps[0].Entries[0].Flags = append(r.Steps[0].Entries[0].Flags, "ASSURED")
		}, KindCT, "[ASSURED]"},
		{"a timeout off by 3", "H16-events", func(r *Run) { r.Steps[0].Entries[0].Timeout += 3 }, KindTimers, "timeout 123, expected 120"},
		{"a missing event", "H16-events", func(r *Run) { r.Steps[1].Events = nil }, KindEvents, "- {ev:UPDATE"},
		{"an event with another state", "H16-events", func(r *Run) { r.Steps[1].Events[0].TCP = "NONE" }, KindEvents, "tcp:NONE"},
		{"another log level", "H14-log", func(r *Run) { r.Steps[0].Log[0].Level = 4 }, KindLog, "+ <4>ORC4:"},
		{"an expectation nobody wanted", "H16-events", func(r *Run) { r.Steps[0].Expect = []string{"300 proto=6 src=1.2.3.4"} }, KindExpect, "+ proto=6 src=1.2.3.4"},
		{"a rule that counted twice", "H16-events", func(r *Run) {
			r.Counters = map[string]map[string][]string{"v4": {"filter": {"[0:0] a", "[3:120] b", "[2:80] c", "[0:0] d"}}}
		}, KindCounters, "[2:80], expected [1:40]"},
		{"a run that is too short", "H16-events", func(r *Run) { r.Steps = r.Steps[:2] }, KindOut, "ended before"},
	}
	for _, tt := range tests {
		t.Run(tt.claim, func(t *testing.T) {
			t.Parallel()
			s := recording(t, tt.scenario)
			r := faithful(t, s)
			tt.change(r)
			d := Compare(s, r, 0)
			if len(d) != 1 || d[0].Kind != tt.kind || !strings.Contains(d[0].String(), tt.text) {
				t.Errorf("got %v, want one difference of kind %v with %q", d, tt.kind, tt.text)
			}
			if d := Compare(s, r, tt.kind); d != nil {
				t.Errorf("left out, but still there: %v", d)
			}
		})
	}
}

func TestTimeoutsMayBeOffByTwoSeconds(t *testing.T) {
	t.Parallel()
	s := recording(t, "H16-events")
	r := faithful(t, s)
	r.Steps[0].Entries[0].Timeout -= 2
	if d := Compare(s, r, 0); d != nil {
		t.Error(d)
	}
}

func TestBoundValuesMustLieInTheirRangeAndBeUsedConsistently(t *testing.T) {
	t.Parallel()
	want := Entry{L3: "ipv4", L4: "udp", Orig: map[string]string{"src": "10.0.0.1", "dst": "10.0.0.2", "sport": "1024", "dport": "53"},
		Reply: map[string]string{"src": "10.0.0.2", "dst": "10.0.0.9", "sport": "53", "dport": "$p"}}
	line := "ipv4     2 udp      17 30 src=10.0.0.1 dst=10.0.0.2 sport=1024 dport=53 [UNREPLIED] src=10.0.0.2 dst=10.0.0.9 sport=53 dport=40000 mark=0 zone=0 use=2"
	want.Flags, want.Timeout = []string{"UNREPLIED"}, 30
	got, err := ParseEntry(line)
	if err != nil {
		t.Fatal(err)
	}
	if d, timers := diffEntries([]Entry{want}, []Entry{got}, map[string]uint64{"p": 40000}); d != nil || timers != nil {
		t.Error(d, timers)
	}
	if d, _ := diffEntries([]Entry{want}, []Entry{got}, map[string]uint64{"p": 40001}); d == nil {
		t.Error("another port than the bound one went unnoticed")
	}
	bind := map[string]Bind{"p": {Field: "udp.sport", Range: [2]uint64{1024, 65535}}}
	if d := diffBound(bind, map[string]uint64{"p": 1023}); len(d) != 1 {
		t.Errorf("1023 is outside of 1024 to 65535: %v", d)
	}
}

func TestEntriesAreTheSameInAnySpelling(t *testing.T) {
	t.Parallel()
	a, err := ParseEntry("ipv6     10 udp 17 30 src=fd00:0001:0000:0000:0000:0000:0000:0010 dst=fd00:000f:0000:0000:0000:0000:0000:0009 sport=1 dport=2 src=fd00:f::9 dst=fd00:1::10 sport=2 dport=1 mark=0 zone=0 use=2")
	if err != nil {
		t.Fatal(err)
	}
	b, err := ParseEntry("ipv6 10 udp 17 30 src=fd00:1::10 dst=fd00:f::9 sport=1 dport=2 src=fd00:f::9 dst=fd00:1::10 sport=2 dport=1 use=7")
	if err != nil {
		t.Fatal(err)
	}
	if a.String() != b.String() {
		t.Errorf("%s\n%s", a, b)
	}
	for _, bad := range []string{"", "ipv4 2 udp 17 30 src=1.2.3.4", "one two three four five six seven"} {
		if e, err := ParseEntry(bad); err == nil {
			t.Errorf("%q gave %v", bad, e)
		}
	}
}

func FuzzParseEntry(f *testing.F) {
	f.Add("ipv4     2 tcp      6 431999 ESTABLISHED src=10.9.9.1 dst=10.9.9.1 sport=4002 dport=21 src=10.9.9.1 dst=10.9.9.1 sport=21 dport=4002 [ASSURED] mark=7 zone=0 use=2")
	f.Add("ipv4     2 gre      47 29 src=1.1.1.1 dst=2.2.2.2 srckey=0x0 dstkey=0x1 [UNREPLIED] src=2.2.2.2 dst=1.1.1.1 srckey=0x1 dstkey=0x0 use=2")
	f.Fuzz(func(t *testing.T, line string) {
		e, err := ParseEntry(line)
		if err == nil {
			_ = e.String()
		}
	})
}
