package difftest

import (
	"strings"
	"testing"

	"github.com/moat-router/moat/integration/scenario"
)

func TestOnlyOptionsOfListenersAreExplained(t *testing.T) {
	t.Parallel()
	s := &scenario.Scenario{Steps: []scenario.Step{{Op: "listen", Proto: "tcp", Addr: "192.168.1.1", Port: 80}}}
	there := "- wan: ip4 192.168.1.1>10.0.0.7 ttl=64 id=0x0 df opts=0707 / tcp 80>40000 SA seq=1 ack=2 opts=020405b4 len=0"
	here := "+ wan: ip4 192.168.1.1>10.0.0.7 ttl=64 id=0x0 df / tcp 80>40000 SA seq=9 ack=2 opts=020405b4 len=0"
	for _, tt := range []struct {
		name  string
		kind  scenario.Kinds
		lines []string
		want  bool
	}{
		{"a listener's options", scenario.KindOut, []string{there, here, "  (length 44, expected 48)"}, true},
		{"something else of the segment", scenario.KindOut, []string{there, here + " x"}, false},
		{"options of this side", scenario.KindOut, []string{"-" + here[1:], "+" + there[1:]}, false},
		{"nothing left here", scenario.KindOut, []string{there}, false},
		{"somebody else's segment", scenario.KindOut,
			[]string{"- wan: ip4 192.168.1.1>10.0.0.7 opts=0707 / tcp 81>4 A len=0", "+ wan: ip4 192.168.1.1>10.0.0.7 / tcp 81>4 A len=0"}, false},
		{"another kind", scenario.KindCT, []string{there, here}, false},
	} {
		if got := echoedOptions(s, []scenario.Diff{{Step: 0, Kind: tt.kind, Lines: tt.lines}}); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestOnlyTheSumOfAQuotedResetIsExplained(t *testing.T) {
	t.Parallel()
	there := "- lan: ip4 192.168.1.1>192.168.1.10 ttl=64 id=0x618b tos=0xc0 / icmp 3/1 / [ip4 192.168.1.10>198.51.100.9 ttl=64 id=0x0 df / tcp 5000>100 AR seq=0 ack=1 win=0 len=0 sum=BAD]"
	here := "+ lan: ip4 192.168.1.1>192.168.1.10 ttl=64 id=0xa586 tos=0xc0 / icmp 3/1 / [ip4 192.168.1.10>198.51.100.9 ttl=64 id=0x0 df / tcp 5000>100 AR seq=0 ack=1 win=0 len=0]"
	fields := "  (fields inner.tcp.csum)"
	for _, tt := range []struct {
		name  string
		lines []string
		want  bool
	}{
		{"the sum", []string{there, here, fields}, true},
		{"another field, too", []string{there, here, "  (fields inner.tcp.csum inner.tcp.ack)"}, false},
		{"nothing left here", []string{there}, false},
		{"another quote", []string{there, strings.Replace(here, "5000>100", "5000>101", 1), fields}, false},
		{"a wrong sum here", []string{"-" + here[1:], "+" + there[1:], fields}, false},
		{"a segment that is no reset", []string{strings.Replace(there, " AR ", " A ", 1), strings.Replace(here, " AR ", " A ", 1), fields}, false},
	} {
		if got := quotedPartial(nil, []scenario.Diff{{Step: 0, Kind: scenario.KindOut, Lines: tt.lines}}); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestOnlyNumbersMovedInErrorsAreExplained(t *testing.T) {
	t.Parallel()
	s := &scenario.Scenario{Router: scenario.Router{Rules: scenario.Rules{V6: "*raw\n-A PREROUTING -p tcp -j CT --helper ftp\nCOMMIT\n"}}}
	there := "- wan: ip6 fd00:f::2>2001:db8:9::9 hlim=64 / icmp6 2/0 mtu=1293 / [ip6 1ff4:db8:9::9>fd00:1::beef hlim=64 plen=1420 / tcp 21>40000 AP len=1172]"
	here := "+ wan: ip6 fd00:f::2>2001:db8:9::9 hlim=64 / icmp6 2/0 mtu=1280 / [ip6 2001:db8:9::9>fd00:1::beef hlim=64 plen=1420 / tcp 21>40000 AP len=1172]"
	for _, tt := range []struct {
		name  string
		s     *scenario.Scenario
		lines []string
		want  bool
	}{
		{"MTU and the place of a checksum", s, []string{there, here, "  (bytes 47:00/0d 56:20/1f 57:01/f4)"}, true},
		{"without a helper", &scenario.Scenario{}, []string{there, here, "  (bytes 47:00/0d 56:20/1f 57:01/f4)"}, false},
		{"another byte of the quote", s, []string{there, here, "  (bytes 47:00/0d 60:20/1f)"}, false},
		{"another type", s, []string{there, strings.Replace(here, "2/0", "3/0", 1), "  (bytes 47:00/0d)"}, false},
		{"another length", s, []string{there, here, "  (length 1280, expected 1200)"}, false},
		{"nothing left here", s, []string{"0 packets out, expected 1", there}, false},
	} {
		if got := adjustedErrors(tt.s, []scenario.Diff{{Step: 0, Kind: scenario.KindOut, Lines: tt.lines}}); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestOnlyTheOrderOfWhatTimesOutTogetherIsExplained(t *testing.T) {
	t.Parallel()
	const (
		v4  = "lan: ip4 10.0.0.2>192.168.1.10 ttl=64 id=0xeb23 / icmp 11/1 / [ip4 192.168.1.10>10.0.0.2 ttl=64 id=0x5003 mf / udp 40001>53 len=8]"
		v4b = "lan: ip4 10.0.0.2>192.168.1.10 ttl=64 id=0xc3ad / icmp 11/1 / [ip4 192.168.1.10>10.0.0.2 ttl=64 id=0x5003 mf / udp 40001>53 len=8]"
		v4c = "lan: ip4 10.0.0.2>192.168.1.10 ttl=64 id=0xc3ad / icmp 11/1 / [ip4 192.168.1.10>10.0.0.2 ttl=64 id=0x5004 mf / udp 40001>53 len=8]"
		v6  = "lan: ip6 fd00:1::1>fd00:1::10 hlim=64 / icmp6 3/1 / [ip6 fd00:1::10>2001:db8:9::9 hlim=64 / frag6 off=0 id=0x2002 nh=17 mf / udp 600>100 len=16]"
	)
	for _, tt := range []struct {
		name  string
		op    string
		lines []string
		want  bool
	}{
		{"the order", "sleep", []string{"- " + v4, "+ " + v6, "  (length 120, expected 64)", "- " + v6, "+ " + v4b}, true},
		{"of what is sent at once", "inject", []string{"- " + v4, "+ " + v6, "- " + v6, "+ " + v4b}, false},
		{"one is missing", "sleep", []string{"- " + v4, "+ " + v6, "- " + v6}, false},
		{"another is quoted", "sleep", []string{"- " + v4, "+ " + v6, "- " + v6, "+ " + v4c}, false},
	} {
		s := &scenario.Scenario{Steps: []scenario.Step{{Op: tt.op}}}
		if got := oneMoment(s, []scenario.Diff{{Step: 0, Kind: scenario.KindOut, Lines: tt.lines}}); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	if oneMoment(&scenario.Scenario{Steps: []scenario.Step{{Op: "sleep"}}}, []scenario.Diff{{Kind: scenario.KindCT}}) {
		t.Error("connections are not packets")
	}
}
