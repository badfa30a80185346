package iptables_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/iptables"
	"github.com/moat-router/moat/stack/packet"
)

func mustApply(t testing.TB, set *iptables.Set, command string) *iptables.Set {
	t.Helper()
	next, err := set.Apply(strings.Fields(command), iptables.Options{})
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return next
}

func TestApplyEditsAsTheCommandDoesAndLeavesTheOldSetAlone(t *testing.T) {
	t.Parallel()
	set := mustParse(t, policy.V4, lines("", ":a - [0:0]", "-A INPUT -s 10.0.0.0/8 -j a", "-A a -j DROP"), iptables.Options{})
	before := strings.Join(rules(t, set), "@")
	for _, c := range []struct{ command, want string }{
		{"-A INPUT -p tcp --dport 22 -j ACCEPT", ":a - [0:0]@-A INPUT -s 10.0.0.0/8 -j a@-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT@-A a -j DROP"},
		{"-I INPUT -j RETURN", ":a - [0:0]@-A INPUT -j RETURN@-A INPUT -s 10.0.0.0/8 -j a@-A a -j DROP"},
		{"-D INPUT -s 10.0.0.0/255.0.0.0 -j a", ":a - [0:0]@-A a -j DROP"},
		{"--delete a 1", ":a - [0:0]@-A INPUT -s 10.0.0.0/8 -j a"},
		{"-R a 1 -j ACCEPT", ":a - [0:0]@-A INPUT -s 10.0.0.0/8 -j a@-A a -j ACCEPT"},
		{"-F a", ":a - [0:0]@-A INPUT -s 10.0.0.0/8 -j a"},
		{"-E a b", ":b - [0:0]@-A INPUT -s 10.0.0.0/8 -j b@-A b -j DROP"},
		{"-N new", ":a - [0:0]@:new - [0:0]@-A INPUT -s 10.0.0.0/8 -j a@-A a -j DROP"},
		{"-t nat -A POSTROUTING -j MASQUERADE", "-A POSTROUTING -j MASQUERADE@" + before},
	} {
		if got := strings.Join(rules(t, mustApply(t, set, c.command)), "@"); got != c.want {
			t.Errorf("%s\n got  %s\n want %s", c.command, got, c.want)
		}
		if got := strings.Join(rules(t, set), "@"); got != before {
			t.Fatalf("%s changed the set that it started from: %s", c.command, got)
		}
	}
}

func TestApplyRefusesWhatWouldBreakTheTable(t *testing.T) {
	t.Parallel()
	set := mustParse(t, policy.V4, lines("", ":a - [0:0]", "-A INPUT -j a"), iptables.Options{})
	for command, want := range map[string]string{
		"-A a -j a":                        "endless loop: a -> a",
		"-X a":                             "still used",
		"-A nowhere -j DROP":               "no chain",
		"-t nat -A INPUT -j MASQUERADE":    "POSTROUTING only",
		"-t nope -L":                       "unknown table",
		"-D INPUT -j DROP":                 "no such rule",
		"-P a DROP":                        "no policy",
		"-t nat -P POSTROUTING DROP":       "stay ACCEPT",
		"-A INPUT -j ACCEPT -I INPUT":      "cannot stand in one line",
		"-R INPUT 1 -s 1.1.1.1,2.2.2.2 -f": "replaced by several",
	} {
		_, err := set.Apply(strings.Fields(command), iptables.Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", command, err, want)
		}
	}
}

// TestNoFlushAddsAndPlainTextReplaces is iptables-restore with and without -n; other tables stay in either case.
func TestNoFlushAddsAndPlainTextReplaces(t *testing.T) {
	t.Parallel()
	base := mustParse(t, policy.V4, lines("", ":INPUT DROP [0:0]", ":a - [0:0]", "-A INPUT -j a", "-A a -f")+
		lines("raw", "-A OUTPUT -j NOTRACK"), iptables.Options{})
	text := lines("", ":a - [0:0]", "-A a -j DROP", "-A INPUT -j ACCEPT")
	for _, c := range []struct {
		noFlush bool
		want    string
	}{
		{true, "-A OUTPUT -j NOTRACK@:a - [0:0]@-A INPUT -j a@-A INPUT -j ACCEPT@-A a -j DROP"},
		{false, "-A OUTPUT -j NOTRACK@:a - [0:0]@-A INPUT -j ACCEPT@-A a -j DROP"},
	} {
		set := mustParse(t, policy.V4, text, iptables.Options{Base: base, NoFlush: c.noFlush})
		if got := strings.Join(rules(t, set), "@"); got != c.want {
			t.Errorf("noflush %v\n got  %s\n want %s", c.noFlush, got, c.want)
		}
		if save := string(iptables.Save(mustCompile(t, set, nil), policy.V4, false)); !strings.Contains(save, ":INPUT DROP") {
			t.Error("the policy that no line names did not stay")
		}
	}
}

// send runs a UDP packet through a chain.
func send(t *testing.T, rs *policy.Ruleset, h policy.Hook, now packet.Time) policy.Verdict {
	t.Helper()
	p := packet.New()
	p.Load(packet.MustBuild("ip4 10.0.0.1>10.0.0.2 / udp 1>2 len=4"))
	if why := p.Parse(); why != packet.ReasonNone {
		t.Fatal(why)
	}
	return rs.Run(policy.Filter, h, &policy.Packet{Packet: p, W: &policy.Worker{}, Now: now, In: &policy.Dev{Name: "lan", Index: 1}})
}

func TestCountersOfRulesThatStayGoOnAcrossAnEdit(t *testing.T) {
	t.Parallel()
	set := mustParse(t, policy.V4, lines("", ":INPUT DROP [3:30]", "[5:500] -A INPUT -s 10.0.0.0/8", "-A INPUT -s 10.0.0.1"), iptables.Options{Counters: true})
	rs := mustCompile(t, set, nil)
	send(t, rs, policy.Input, 0) // 32 bytes
	set = mustApply(t, set, "-I INPUT 2 -p udp")
	rs = mustCompile(t, set, rs)
	send(t, rs, policy.Input, 0)
	want := ":INPUT DROP [5:94]@[7:564] -A INPUT -s 10.0.0.0/8@[1:32] -A INPUT -p udp@[2:64] -A INPUT -s 10.0.0.1/32"
	check := func() {
		t.Helper()
		save := string(iptables.Save(rs, policy.V4, true))
		for line := range strings.SplitSeq(want, "@") {
			if !strings.Contains(save, line+"\n") {
				t.Errorf("no %q in\n%s", line, save)
			}
		}
	}
	check()
	mustCompile(t, mustApply(t, set, "-F"), nil) // somebody tries something: nothing of it may be seen
	set = mustApply(t, set, "-C INPUT -p udp")
	rs = mustCompile(t, set, rs)
	check()
	set = mustApply(t, set, "-Z INPUT 1")
	rs = mustCompile(t, set, rs)
	want = ":INPUT DROP [5:94]@[0:0] -A INPUT -s 10.0.0.0/8@[1:32] -A INPUT -p udp"
	check()
	set = mustApply(t, set, "-Z")
	rs = mustCompile(t, set, rs)
	want = ":INPUT DROP [0:0]@[0:0] -A INPUT -p udp"
	check()
}

// TestLimitStartsAnewInAReplacedTableOnly: iptables replaces a table as a whole, and xt_limit begins full again.
func TestLimitStartsAnewInAReplacedTableOnly(t *testing.T) {
	t.Parallel()
	text := lines("", ":INPUT DROP [0:0]", "-A INPUT -m limit --limit 1/hour --limit-burst 2 -j ACCEPT")
	set := mustParse(t, policy.V4, text, iptables.Options{})
	rs := mustCompile(t, set, nil)
	passes := func() (n int) {
		for range 5 {
			if send(t, rs, policy.Input, packet.Time(time.Second)) == policy.Accept {
				n++
			}
		}
		return n
	}
	if n := passes(); n != 2 {
		t.Fatalf("%d passed, want the burst of 2", n)
	}
	mustCompile(t, set, nil) // to look at it only
	set = mustApply(t, set, "-t mangle -A INPUT -f")
	if rs = mustCompile(t, set, rs); passes() != 0 {
		t.Error("an edit of another table filled the bucket again")
	}
	set = mustApply(t, set, "-A INPUT -f")
	if rs = mustCompile(t, set, rs); passes() != 2 {
		t.Error("an edit of its table did not fill the bucket again")
	}
}

func TestSeveralAddressesDoNotShareALimit(t *testing.T) {
	t.Parallel()
	set := mustParse(t, policy.V4, lines("", ":INPUT DROP [0:0]", "-A INPUT -s 10.0.0.1,10.0.0.0/8 -m limit --limit 1/hour --limit-burst 1 -j ACCEPT"), iptables.Options{})
	rs := mustCompile(t, set, nil)
	for i, want := range []policy.Verdict{policy.Accept, policy.Accept, policy.Drop} {
		if v := send(t, rs, policy.Input, 0); v != want {
			t.Errorf("packet %d: verdict %v, want %v", i, v, want)
		}
	}
}

// tenThousand is a file of 10,000 rules of a common kind.
func tenThousand() []byte {
	var b strings.Builder
	b.WriteString("*filter\n:INPUT ACCEPT [0:0]\n:web - [0:0]\n")
	for i := range 10000 {
		fmt.Fprintf(&b, "-A INPUT -s 10.%d.%d.0/24 -i eth0 -p tcp -m conntrack --ctstate NEW -m tcp --dport %d -m comment --comment \"rule %d\" -j web\n",
			i/256, i%256, 1+i%65535, i)
	}
	b.WriteString("COMMIT\n")
	return []byte(b.String())
}

// BenchmarkLoadTenThousandRules is how long a gateway takes to read ten thousand rules: parsing and compiling.
func BenchmarkLoadTenThousandRules(b *testing.B) {
	text := tenThousand()
	b.ReportAllocs()
	for b.Loop() {
		set, err := iptables.Parse(policy.V4, "rules", text, iptables.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := iptables.Compile(set, nil, nil, 1); err != nil {
			b.Fatal(err)
		}
	}
}
