package packet

import (
	"encoding/hex"
	"fmt"
	"testing"
)

// optionsEnv is the router of scenario F06-ip-options: 192.168.1.1 towards the sender, 10.0.0.2 towards the receiver.
var optionsEnv = OptionsEnv{
	Local:     Addr4([]byte{192, 168, 1, 1}),
	Elsewhere: func(a Addr) bool { return a != Addr4([]byte{192, 168, 1, 1}) && a != Addr4([]byte{10, 0, 0, 2}) },
	Clock:     0x01693901,
}

func parsed(t testing.TB, text string) *Packet {
	t.Helper()
	p := New()
	p.Load(MustBuild(text))
	if why := p.Parse(); why != ReasonNone {
		t.Fatalf("%s: reason %d", text, why)
	}
	return p
}

// The expected bytes are what kernel 6.18 forwarded, the pointers those of its ICMP 12/0.
func TestOptionsAreNotedAndRefusedAsTheKernelDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in, out string
		bad     int
	}{
		{in: "0707040000000000", out: "0707080a00000200"},
		{in: "0707080102030400", out: "0707080102030400"},
		{in: "070b04000000000000000000", out: "070b080a0000020000000000"},
		{in: "070b06000000000000000000", out: "070b0a00000a000002000000"},
		{in: "07030400", out: "07030400"},
		{in: "07030100", bad: 22},
		{in: "07020400", bad: 21},
		{in: "0707050000000000", bad: 22},
		{in: "07ff0400", bad: 20},
		{in: "07070400000000070704000000000000", bad: 27},
		{in: "440c05000000000000000000", out: "440c09000169390100000000"},
		{in: "440c05010000000000000000", out: "440c0d01c0a8010101693901"},
		{in: "440c09030a00000100000000", bad: 22},
		{in: "440c05030a00000100000000", out: "440c05030a00000100000000"},
		{in: "440c05030a00000200000000", out: "440c0d030a00000201693901"},
		{in: "440c0503c0a8010100000000", out: "440c0d03c0a8010101693901"},
		{in: "440c0df10000000000000000", bad: 23},
		{in: "440c0de10000000000000000", out: "440c0df10000000000000000"},
		{in: "440c0ff30000000000000000", out: "440c0ff30000000000000000"},
		{in: "440c09020000000000000000", out: "440c09020000000000000000"},
		{in: "440c09010000000000000000", bad: 22},
		{in: "440c0a000000000000000000", bad: 22},
		{in: "44030500", bad: 21},
		{in: "440c04000000000000000000", bad: 22},
		{in: "0001020300000000", out: "0000000000000000"},
		{in: "01ff0000", bad: 21},
		{in: "010101ff", bad: 23},
		{in: "94030000", bad: 21},
		{in: "94040001", out: "94040001"},
		{in: "820b0000000000000000000000000000", out: "820b0000000000000000000000000000"},
		{in: "83020400", bad: 21},
		{in: "8307030000000000", bad: 22},
		{in: "8303048303040000", bad: 23},
		{in: "86000000", bad: 20},
		{in: "8606000000010000", bad: 21},
	} {
		p := parsed(t, fmt.Sprintf("ip4 192.168.1.10>198.51.100.9 opts=%s / udp 1>2 len=8", c.in))
		o, bad, ok := p.ReadOptions(optionsEnv)
		if ok != (c.bad == 0) || bad != c.bad {
			t.Errorf("%s: mistake at %d, want %d", c.in, bad, c.bad)
		}
		if !ok || c.bad != 0 {
			continue
		}
		p.ForwardOptions(&o, Addr4([]byte{10, 0, 0, 2}))
		if got := hex.EncodeToString(p.Options()); got != c.out || Sum(p.Data[:p.L4]) != 0 {
			t.Errorf("%s became %s, want %s; header sum %#x", c.in, got, c.out, Sum(p.Data[:p.L4]))
		}
	}
}

func TestSourceRoutesAreReported(t *testing.T) {
	t.Parallel()
	for opts, strict := range map[string]bool{"830704c6336409": false, "890704c6336409": true} {
		p := parsed(t, "ip4 192.168.1.10>198.51.100.9 opts="+opts+" / udp 1>2 len=8")
		o, _, ok := p.ReadOptions(optionsEnv)
		if !ok || o.SourceRoute != 20 || o.Strict != strict {
			t.Errorf("%s: %+v, %v", opts, o, ok)
		}
	}
}

// What kernel 6.18 answered to echo requests with these options.
func TestEchoOptionsGoOnAsTheKernelDoes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"070b04000000000000000000":                 "070b0cc0a80101c0a8010100",
		"0707040000000000":                         "070708c0a8010100",
		"4414050100000000000000000000000000000000": "44141501c0a8010101693901c0a8010101693901",
		"440c05000000000000000000":                 "440c0d000169390101693901",
		"07070400000000440c0500000000000000000000": "070708c0a80101440c0d00016939010169390100",
		"94040000":                 "",
		"440c0503c0a8010100000000": "440c0d03c0a8010101693901",
	} {
		p := parsed(t, "ip4 192.168.1.10>192.168.1.1 opts="+in+" / icmp 8/0 len=8")
		o, _, ok := p.ReadOptions(optionsEnv)
		if !ok {
			t.Errorf("%s was refused", in)
		}
		got, _, ok := p.EchoOptions(nil, &o, optionsEnv.Local, optionsEnv)
		if !ok || hex.EncodeToString(got) != want {
			t.Errorf("%s is echoed as %x, want %s", in, got, want)
		}
	}
}

func TestAnErrorEchoesTheOptionsInFrontOfTheMistake(t *testing.T) {
	t.Parallel()
	p := parsed(t, "ip4 192.168.1.10>198.51.100.9 opts=07070400000000070704000000000000 / udp 1>2 len=8")
	o, _, _ := p.ReadOptions(optionsEnv)
	got, _, ok := p.EchoOptions(nil, &o, optionsEnv.Local, optionsEnv)
	if want := "070708c0a8010100"; !ok || hex.EncodeToString(got) != want {
		t.Errorf("%x, want %s", got, want)
	}
	if s := Walk(p.Data).Sums[0].State; s != SumBad {
		t.Error("the kernel quotes the header with the checksum from before the options were filled in")
	}
}

// Kernel 6.18: what it does with hop-by-hop options, and the ICMPv6 error that it sends.
func TestHopByHopOptionsLiveOrDieAsInTheKernel(t *testing.T) {
	t.Parallel()
	send := func(code uint8, ptr uint32) ParamProblem { return ParamProblem{true, code, ptr} }
	for _, c := range []struct {
		opts    string
		dst     string
		dies    bool
		problem ParamProblem
	}{
		{opts: "010400000000"},
		{opts: "050200000100"},
		{opts: "000000000000"},
		{opts: "3e00003e003e003e003e003e0000"},
		{opts: "3e003e003e003e003e003e003e00"},
		{opts: "050400000000", dies: true},
		{opts: "070800000000000000000000" + "0000", dies: true},
		{opts: "310400000000", dies: true},
		{opts: "0000310400000000" + "010400000000"},
		{opts: "010400000001", dies: true},
		{opts: "0000000000000000000000000000", dies: true},
		{opts: "0106000000000000000000000000", dies: true},
		{opts: "410400000000", dies: true},
		{opts: "810400000000", dies: true, problem: send(2, 42)},
		{opts: "c10400000000", dies: true, problem: send(2, 42)},
		{opts: "c10400000000", dst: "ff0e::1", dies: true},
		{opts: "050600000000", dies: true},
		{opts: "3e003e003e003e003e003e003e003e003e003e003e00", dies: true},
		{opts: "c20400000000", dies: true, problem: send(0, 44)},
		{opts: "c204000100000000000000000000", dies: true, problem: send(0, 42)},
	} {
		if c.dst == "" {
			c.dst = "2001:db8:9::9"
		}
		p := parsed(t, fmt.Sprintf("ip6 fd00:1::10>%s / hbh %s / udp 1>2 len=8", c.dst, c.opts))
		_, problem, why := p.CheckHopByHop(8)
		if (why != ReasonNone) != c.dies || problem != c.problem {
			t.Errorf("%s to %s: reason %d, %+v; want %+v", c.opts, c.dst, why, problem, c.problem)
		}
	}
}

func TestDestinationOptionsKnowNoJumbo(t *testing.T) {
	t.Parallel()
	for opts, want := range map[string]ParamProblem{"c20400000000": {true, 2, 42}, "410400000000": {}, "c90400000000": {true, 2, 42}} {
		p := parsed(t, "ip6 fd00:1::10>fd00:1::1 / dstopt "+opts+" / udp 1>2 len=8")
		if problem, why := p.CheckDestOptions(40, 8); why == ReasonNone || problem != want {
			t.Errorf("%s: reason %d, %+v; want %+v", opts, why, problem, want)
		}
	}
	p := parsed(t, "ip6 fd00:1::10>fd00:1::1 / dstopt 010400000000 / udp 1>2 len=8")
	if _, why := p.CheckDestOptions(40, 8); why != ReasonNone {
		t.Errorf("padding died for reason %d", why)
	}
}
