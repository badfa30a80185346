package pattern_test

import (
	"strings"
	"testing"

	"github.com/moat-router/moat/integration/lab/pattern"
	"github.com/moat-router/moat/stack/packet"
)

const (
	udp   = "ip4 192.168.1.10>9.9.9.9 ttl=63 df / udp 4000>53 len=8"
	reply = "ip4 1.2.3.4>198.51.100.9 / icmp 3/3 / ip4 198.51.100.9>192.168.1.10 / udp 4000>99 len=8"
	frag  = "ip6 fd00::1>2001:db8::9 / frag6 off=0 mf id=7 / udp 500>500 len=8"
	syn   = "ip4 10.0.0.1>10.0.0.2 / tcp 4000>80 SA seq=1 ack=2"
)

func TestPatternsMeanWhatTheySay(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern, packet string
		want            bool
	}{
		{"ip4 192.168.0.0/16>", udp, true},
		{"ip4 >192.168.0.0/16", udp, false},
		{"ip4 192.168.1.10>9.9.9.9", udp, true},
		{"ip4", udp, true},
		{"ip6", udp, false},
		{"ip4 > df", udp, true},
		{"ip4 > ttl=64", udp, false},
		{"ip4 / udp >53", udp, true},
		{"ip4 / udp 1024-65535>53", udp, true},
		{"ip4 / udp 1-1023>53", udp, false},
		{"* / udp >53", udp, true},
		{"udp >53", udp, false}, // the first layer is the packet's first
		{"ip4 / tcp", udp, false},
		{"ip4 1.2.3.4> / icmp 3/3", reply, true},
		{"ip4 / icmp 3", reply, true},
		{"ip4 / icmp 3/1", reply, false},
		{"ip4 / icmp 11", reply, false},
		{"ip4 >192.168.0.0/16", reply, false}, // only the quote has it
		{"* / [ip4 >192.168.0.0/16", reply, true},
		{"* / [ip4 >192.168.1.10 / udp >99", reply, true},
		{"* / [udp", reply, false},
		{"ip6 fd00::/8> / udp 500>500", frag, true}, // layers between may be left out
		{"ip6 / frag6 mf / udp", frag, true},
		{"ip4 / tcp SA", syn, true},
		{"ip4 / tcp S", syn, false},
	} {
		p, err := pattern.Parse(tt.pattern)
		if err != nil {
			t.Errorf("%s: %v", tt.pattern, err)
			continue
		}
		if got := p.Match(packet.MustBuild(tt.packet)); got != tt.want {
			t.Errorf("%q on %q: %v, want %v", tt.pattern, tt.packet, got, tt.want)
		}
	}
}

func TestWrongPatternsAreExplained(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                   "empty layer",
		"ipx 1>2":            `"ipx" is no layer`,
		"ip4 10.0.0.300>":    "neither an address nor a prefix",
		"ip4 / udp 99999>":   "neither a port",
		"ip4 / udp 200-100>": "neither a port",
		"* ttl=1":            "stands alone",
	} {
		if _, err := pattern.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"ip4 192.168.0.0/16>", "* / [ip4 >1.2.3.4 / udp 1-2>", "ip6 / frag6 mf", "[", "* / ]"} {
		f.Add(s)
	}
	b := packet.MustBuild(reply)
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := pattern.Parse(text); err == nil {
			p.Match(b)
			p.MatchText(text)
		}
	})
}
