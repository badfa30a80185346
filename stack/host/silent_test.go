package host

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/moat-router/moat/stack/packet"
)

// Conversations with a listening socket from which nobody accepts, as kernel 6.18 led them: each line is a segment
// that arrives, and after the arrow what is answered. $N is the listener's first sequence number plus N.
var conversations = map[string]string{
	"SYN again": `
		S seq=100 mss=1460       => SA seq=$0 ack=101 win=64240 opts=020405b4 len=0
		S seq=100 mss=1460       => SA seq=$0 ack=101 win=64240 opts=020405b4 len=0`,
	"another SYN inside the window": `
		S seq=100 mss=1460       => SA seq=$0 ack=101 win=64240 opts=020405b4 len=0
		S seq=5000 mss=1460      => AR seq=0 ack=5001 win=0 len=0`,
	"another SYN outside the window": `
		S seq=100 mss=1460       => SA seq=$0 ack=101 win=64240 opts=020405b4 len=0
		S seq=500000 mss=1460    => A seq=$1 ack=101 win=64240 len=0`,
	"wrong acknowledgement of the SYN/ACK": `
		S seq=100 mss=1460       => SA seq=$0 ack=101 win=64240 opts=020405b4 len=0
		A seq=101 ack=77         => R seq=77 ack=0 win=0 len=0`,
	"nobody reads": `
		S seq=100 mss=1460       => SA seq=$0 ack=101 win=64240 opts=020405b4 len=0
		A seq=101 ack=$1         =>
		PA seq=101 ack=$1 len=10 => A seq=$1 ack=111 win=64230 len=0
		PA seq=111 ack=$1 len=90 => A seq=$1 ack=201 win=64140 len=0
		PA seq=900 ack=$1 len=90 => A seq=$1 ack=201 win=64140 len=0`,
	"SYN on an established connection": `
		S seq=100 mss=1460       => SA seq=$0 ack=101 win=64240 opts=020405b4 len=0
		A seq=101 ack=$1         =>
		S seq=100 mss=1460       => A seq=$1 ack=101 win=64240 len=0`,
	"keepalive": `
		S seq=100 mss=1460       => SA seq=$0 ack=101 win=64240 opts=020405b4 len=0
		A seq=101 ack=$1         =>
		A seq=100 ack=$1         => A seq=$1 ack=101 win=64240 len=0`,
	"reset": `
		S seq=100 mss=1460       => SA seq=$0 ack=101 win=64240 opts=020405b4 len=0
		A seq=101 ack=$1         =>
		R seq=101                =>
		A seq=101 ack=$1         => R seq=$1 ack=0 win=0 len=0`,
	"SYN that offers ECN": `
		SEC seq=100 mss=1460     => SAE seq=$0 ack=101 win=64240 opts=020405b4 len=0
		SEC seq=100 mss=1460     => SAE seq=$0 ack=101 win=64240 opts=020405b4 len=0`,
	"FIN": `
		S seq=100 mss=1460       => SA seq=$0 ack=101 win=64240 opts=020405b4 len=0
		A seq=101 ack=$1         =>
		FA seq=101 ack=$1        =>
		sleep 39                 =>
		sleep 2                  => A seq=$1 ack=102 win=64239 len=0
		sleep 1000               =>`,
	"FIN with the end of the handshake and data": `
		S seq=100 mss=1460       => SA seq=$0 ack=101 win=64240 opts=020405b4 len=0
		FPA seq=101 ack=$1 len=9 =>
		sleep 41                 => A seq=$1 ack=111 win=64230 len=0`,
	"FIN again": `
		S seq=100 mss=1460       => SA seq=$0 ack=101 win=64240 opts=020405b4 len=0
		A seq=101 ack=$1         =>
		FA seq=101 ack=$1        =>
		FA seq=101 ack=$1        => A seq=$1 ack=102 win=64239 len=0
		sleep 100                =>`,
	"ACK behind the FIN": `
		S seq=100 mss=1460       => SA seq=$0 ack=101 win=64240 opts=020405b4 len=0
		A seq=101 ack=$1         =>
		FA seq=101 ack=$1        =>
		A seq=102 ack=$1         => A seq=$1 ack=102 win=64239 len=0
		sleep 100                =>`,
	"RST behind the FIN": `
		S seq=100 mss=1460       => SA seq=$0 ack=101 win=64240 opts=020405b4 len=0
		A seq=101 ack=$1         =>
		FA seq=101 ack=$1        =>
		R seq=102                =>
		sleep 100                =>`,
	"SYN with data":      `S seq=100 mss=1460 len=10 => SA seq=$0 ack=101 win=64240 opts=020405b4 len=0`,
	"MSS of 0":           `S seq=100 mss=0           => SA seq=$0 ack=101 win=64240 opts=020405b4 len=0`,
	"window scale of 15": `S seq=100 ws=15           => SA seq=$0 ack=101 win=64240 opts=020405b40103030a len=0`,
	"SYN/ACK":            `SA seq=100 ack=5          => R seq=5 ack=0 win=0 len=0`,
	"SYN with FIN":       `SF seq=100                =>`,
	"no flag":            `- seq=100                 =>`,
	"stray FIN":          `F seq=100                 =>`,
	"FIN, PSH, URG":      `FPU seq=100               =>`,
	"SYN with RST":       `SR seq=100                =>`,
	"RST":                `AR seq=100 ack=7          =>`,
}

func TestSilentListenerAnswersLikeLinux(t *testing.T) {
	t.Parallel()
	marks := regexp.MustCompile(`\$(\d+)`)
	for name, talk := range conversations {
		s, out := router(t, 1500)
		if _, err := s.Serve(Silent, "tcp", ap("0.0.0.0:80")); err != nil {
			t.Fatal(err)
		}
		isn := uint32(0)
		number := func(text string) string {
			return marks.ReplaceAllStringFunc(text, func(m string) string {
				var n uint32
				fmt.Sscan(m[1:], &n)
				return fmt.Sprint(isn + n)
			})
		}
		for line := range strings.Lines(strings.TrimSpace(talk)) {
			arrives, want, _ := strings.Cut(line, "=>")
			*out = nil
			if rest, ok := strings.CutPrefix(strings.TrimSpace(arrives), "sleep "); ok {
				var ms int
				fmt.Sscan(rest, &ms)
				s.cfg.Wait(func() bool { return false }, s.cfg.Clock.Time().Add(time.Duration(ms)*time.Millisecond))
				checkAnswers(t, name, arrives, number(want), *out)
				continue
			}
			b, err := packet.Build("ip4 192.168.1.10>192.168.1.1 df / tcp 5000>80 " + strings.TrimSpace(number(arrives)))
			if err != nil {
				t.Fatal(err)
			}
			p := packet.New()
			p.Load(b)
			if p.Parse() == packet.ReasonNone && s.HasSocket(p) {
				s.Deliver(p, 1)
			}
			s.Settle()
			if isn == 0 && len(*out) == 1 {
				isn = binary.BigEndian.Uint32((*out)[0][24:])
			}
			checkAnswers(t, name, arrives, number(want), *out)
		}
	}
}

func checkAnswers(t *testing.T, name, arrives, want string, out [][]byte) {
	t.Helper()
	var got []string
	for _, b := range out {
		got = append(got, strings.TrimPrefix(packet.Text(b), "ip4 192.168.1.1>192.168.1.10 ttl=64 id=0x0 df / tcp 80>5000 "))
	}
	if g, w := strings.Join(got, " | "), strings.TrimSpace(want); g != w {
		t.Errorf("%s: %s: %q, want %q", name, strings.TrimSpace(arrives), g, w)
	}
}

func FuzzWhatLeavesIsRobust(f *testing.F) {
	b, _ := packet.Build("ip4 192.168.1.1>192.168.1.10 df / tcp 80>5000 SA seq=1 ack=2 mss=1460")
	f.Add(b)
	s := &Stack{}
	s.silent.open(80)
	p := packet.New()
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > packet.MaxData {
			return
		}
		p.Load(b)
		lookLikeLinux(p)
		s.silent.leaves(p, func(release func() []byte) { release() }, func(flow) bool { return false })
		if p.Parse() == packet.ReasonNone {
			s.silent.arrives(p, 1, func() bool { return true })
		}
	})
}
