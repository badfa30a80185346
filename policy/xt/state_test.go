package xt

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

const plain = "ip4 192.168.1.10>198.51.100.9 / udp 1>2 len=8"

func mustMatch(t *testing.T, s *Shared, rule string) policy.Match {
	t.Helper()
	_, ms, _, err := parseRule(t, s, policy.V4, policy.Filter, rule)
	if err != nil {
		t.Fatal(rule, err)
	}
	return ms[0]
}

// TestNamedStateSurvivesAReplacedRule: a ruleset that names a list or table finds it as its predecessor left it, and
// one that no ruleset names any more is forgotten (xt_recent.c, xt_hashlimit.c: references are taken before the old
// table's are given back).
func TestNamedStateSurvivesAReplacedRule(t *testing.T) {
	t.Parallel()
	const rules = "-m recent --rcheck --name l"
	s := NewShared()
	p := arrive(packet.MustBuild(plain), 0)
	mustMatch(t, s, "-m recent --set --name l").Match(p)
	limit := "-m hashlimit --hashlimit-upto 1/hour --hashlimit-burst 1 --hashlimit-name h"
	mustMatch(t, s, limit).Match(p)

	check, again := mustMatch(t, s, rules), mustMatch(t, s, limit)
	s.Sweep(ruleset(check, again))
	if !check.Match(p) || again.Match(p) {
		t.Error("the new rule does not see what the old one learned")
	}
	s.Sweep(ruleset())
	if mustMatch(t, s, rules).Match(p) || !mustMatch(t, s, limit).Match(p) {
		t.Error("a list that no rule named is still there")
	}
}

func ruleset(ms ...policy.Match) *policy.Ruleset {
	rs := &policy.Ruleset{}
	rs.Tables[policy.V4][policy.Filter] = &policy.Table{Chains: []*policy.Chain{{Rules: []*policy.Rule{{Matches: ms}}}}}
	return rs
}

// TestOwnStateStartsAnew: what has no name is gone with its rule.
func TestOwnStateStartsAnew(t *testing.T) {
	t.Parallel()
	p := arrive(packet.MustBuild(plain), 0)
	for _, rule := range []string{"-m quota --quota 40", "-m statistic --mode nth --every 2 --packet 0"} {
		m := mustMatch(t, NewShared(), rule)
		if !m.Match(p) || m.Match(p) {
			t.Fatalf("%s: once, and then not, is wanted", rule)
		}
		if !m.(Stateful).Fresh().(policy.Match).Match(p) {
			t.Errorf("%s: a fresh copy goes on where the old one was", rule)
		}
	}
}

// TestRecentListIsOneForBothFamilies: a name is a name, and an IPv4 address is none of IPv6.
func TestRecentListIsOneForBothFamilies(t *testing.T) {
	t.Parallel()
	s := NewShared()
	_, ms, _, err := parseRule(t, s, policy.V6, policy.Filter, "-m recent --set --name both")
	if err != nil {
		t.Fatal(err)
	}
	ms[0].Match(arrive(packet.MustBuild("ip6 ::192.168.1.10>2001:db8::1 / udp 1>2 len=0"), 0))
	m := mustMatch(t, s, "-m recent --rcheck --name both")
	if m.Match(arrive(packet.MustBuild(plain), 0)) {
		t.Error("the IPv6 address ::192.168.1.10 was taken for 192.168.1.10")
	}
	if len(s.recent) != 1 {
		t.Error("two lists of one name")
	}
}

func TestTimeOfDayAndWeek(t *testing.T) {
	t.Parallel()
	// 2024-02-28 was a Wednesday, and 2024 a leap year.
	for _, c := range []struct {
		rule, at string
		want     bool
	}{
		{"--timestart 09:00 --timestop 17:00", "2024-02-28T09:00:00", true},
		{"--timestart 09:00 --timestop 17:00", "2024-02-28T17:00:00", true},
		{"--timestart 09:00 --timestop 17:00", "2024-02-28T17:00:01", false},
		{"--timestart 23:00 --timestop 01:00", "2024-02-28T23:30:00", true},
		{"--timestart 23:00 --timestop 01:00", "2024-02-28T00:30:00", true},
		{"--timestart 23:00 --timestop 01:00", "2024-02-28T12:00:00", false},
		{"--weekdays Wed", "2024-02-28T12:00:00", true},
		{"! --weekdays Wed", "2024-02-28T12:00:00", false},
		{"--weekdays Sun", "2024-03-03T00:00:00", true},
		{"--monthdays 29", "2024-02-29T00:00:00", true},
		{"--monthdays 1", "2024-03-01T00:00:00", true},
		{"--monthdays 1", "2024-02-29T23:59:59", false},
		{"--datestart 2024-02-28 --datestop 2024-02-29", "2024-02-28T23:00:00", true},
		{"--datestart 2024-02-28 --datestop 2024-02-29", "2024-02-29T00:00:01", false},
		// Without --contiguous the small hours belong to the calendar's day, with it to the evening before.
		{"--timestart 23:00 --timestop 01:00 --weekdays Wed", "2024-02-29T00:30:00", false},
		{"--timestart 23:00 --timestop 01:00 --weekdays Wed --contiguous", "2024-02-29T00:30:00", true},
		{"--timestart 23:00 --timestop 01:00 --weekdays Wed --contiguous", "2024-02-28T00:30:00", false},
	} {
		m := mustMatch(t, NewShared(), "-m time "+c.rule)
		wall, err := time.Parse("2006-01-02T15:04:05", c.at)
		if err != nil {
			t.Fatal(err)
		}
		p := arrive(packet.MustBuild(plain), 0)
		p.W.Env = &testEnv{wall: wall}
		if got := m.Match(p); got != c.want {
			t.Errorf("%s at %s: %v", c.rule, c.at, got)
		}
	}
}

func TestMatchesDoNotAllocate(t *testing.T) {
	s := NewShared()
	p := arrive(packet.MustBuild(plain), 0)
	for _, rule := range []string{
		"-m recent --update --seconds 60 --hitcount 3 --name x", "-m recent --set --name x",
		"-m hashlimit --hashlimit-upto 1/sec --hashlimit-mode srcip,dstport --hashlimit-name y",
		"-m string --string abcd --algo bm --icase", "-m string --string abcd --algo kmp",
		`-m u32 --u32 "0>>22&0x3C@0=0x10002"`, `-m bpf --bytecode "4,48 0 0 9,21 0 1 17,6 0 0 1,6 0 0 0"`,
		"-m statistic --mode random --probability 0.5", "-m quota --quota 100000000", "-m time --weekdays Mon",
	} {
		m := mustMatch(t, s, rule)
		for range 40 {
			m.Match(p) // the bucket, the ring of stamps
		}
		if n := testing.AllocsPerRun(200, func() { m.Match(p) }); n != 0 {
			t.Errorf("%s: %v allocations", rule, n)
		}
	}
}

// TestWorkersShareAQuota: many workers together get what one would have got.
func TestWorkersShareAQuota(t *testing.T) {
	t.Parallel()
	s := NewShared()
	rules := []string{
		"-m quota --quota 36000", "-m statistic --mode nth --every 4 --packet 0",
		"-m hashlimit --hashlimit-upto 1/min --hashlimit-burst 1000 --hashlimit-mode srcip --hashlimit-name w",
	}
	want := []int64{1000, 1000, 1000}
	for i, rule := range rules {
		m := mustMatch(t, s, rule)
		var hits atomic.Int64
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				p := arrive(packet.MustBuild(plain), 0)
				for range 1000 {
					if m.Match(p) {
						hits.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if hits.Load() != want[i] {
			t.Errorf("%s: %d of 4000, want %d", rule, hits.Load(), want[i])
		}
	}
}

// TestHashlimitForgetsIdleBuckets: the table stays within its size although sources come and go.
func TestHashlimitForgetsIdleBuckets(t *testing.T) {
	t.Parallel()
	m := mustMatch(t, NewShared(), "-m hashlimit --hashlimit-upto 1/sec --hashlimit-burst 1 --hashlimit-mode srcip --hashlimit-name g --hashlimit-htable-size 16 --hashlimit-htable-max 400 --hashlimit-htable-expire 2000")
	for i := range 2000 {
		p := arrive(packet.MustBuild(fmt.Sprintf("ip4 10.0.%d.%d>198.51.100.9 / udp 1>2 len=0", i/250, i%250)), 0)
		p.Now = packet.Time(i) * packet.Time(10*time.Millisecond) // 100 sources a second, each remembered for 2 to 3 s
		if !m.Match(p) || p.HotDrop {
			t.Fatalf("source %d: hotdrop %v", i, p.HotDrop)
		}
	}
}

// logEnv keeps the last line.
type logEnv struct {
	testEnv
	level uint8
	line  string
	group uint16
}

func (e *logEnv) Log(level uint8, line []byte) { e.level, e.line = level, string(line) }
func (e *logEnv) NFLog(_ *policy.Packet, group uint16, line []byte) {
	e.group, e.line = group, string(line)
}

// TestLogTellsWhatTheKernelTells is a packet of scenario H14-log.
func TestLogTellsWhatTheKernelTells(t *testing.T) {
	t.Parallel()
	_, _, target, err := parseRule(t, NewShared(), policy.V4, policy.Filter, `-j LOG --log-prefix "ORC4: " --log-level 6`)
	if err != nil {
		t.Fatal(err)
	}
	p := arrive(packet.MustBuild("ip4 192.168.1.10>198.51.100.9 ttl=63 tos=0x10 df / udp 5000>53 len=8"), 0)
	e := &logEnv{}
	p.W.Env, p.Out, p.Mark = e, &policy.Dev{Name: "wan"}, 0x2a
	if v := target.Exec(p); v != policy.Continue {
		t.Error("the packet does not go on")
	}
	const want = "ORC4: IN=lan OUT=wan MAC= SRC=192.168.1.10 DST=198.51.100.9 LEN=36 TOS=0x10 PREC=0x00 TTL=63 ID=4660 DF PROTO=UDP SPT=5000 DPT=53 LEN=16 MARK=0x2a "
	if e.line != want || e.level != 6 {
		t.Errorf("level %d\n got %q\nwant %q", e.level, e.line, want)
	}
}
