package difftest

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/moat-router/moat/integration/scenario"
	"github.com/moat-router/moat/stack/packet"
)

// wire is a Player that sends whatever arrives out of wan as it is, but for what fault does to it.
type wire struct {
	fault func(b []byte) []byte // nil: lost
	asked int
}

func (w *wire) Ask(r *scenario.Request) (*scenario.Answer, error) {
	a := &scenario.Answer{}
	if r.Op == "scenario" {
		w.asked++
	}
	for _, h := range r.Hex {
		b, err := hex.DecodeString(h)
		if err != nil {
			return nil, err
		}
		if w.fault != nil {
			b = w.fault(b)
		}
		if b != nil {
			a.Out = append(a.Out, scenario.OutPacket{If: "wan", Hex: hex.EncodeToString(b)})
		}
	}
	return a, nil
}

// loses is the fault of losing what has this word in its notation.
func loses(word string) func([]byte) []byte {
	return func(b []byte) []byte {
		if strings.Contains(packet.Text(b), word) {
			return nil
		}
		return b
	}
}

func TestSameSeedGivesTheSameScenario(t *testing.T) {
	t.Parallel()
	for n := range 50 {
		a, _, err := Source{Seed: 9}.Generate(&wire{}, n)
		if err != nil {
			t.Fatal(err)
		}
		b, _, _ := Source{Seed: 9}.Generate(&wire{}, n)
		if len(a.Steps) != len(b.Steps) || a.Rules != b.Rules {
			t.Fatalf("scenario %d differs", n)
		}
		for i := range a.Steps {
			if strings.Join(a.Steps[i].Pkt, "|") != strings.Join(b.Steps[i].Pkt, "|") {
				t.Fatalf("scenario %d step %d differs", n, i)
			}
		}
	}
}

func TestEqualPlayersAgree(t *testing.T) {
	t.Parallel()
	for n := range 50 {
		if r := Check(&wire{}, &wire{}, Source{Seed: 4}, n); r.Failed() || r.Skipped != "" {
			t.Errorf("%s%v", r.Skipped, r)
		}
	}
}

func TestAFaultIsFoundAndMadeSmall(t *testing.T) {
	t.Parallel()
	found := 0
	for n := range 30 {
		ours := &wire{fault: loses("udp")}
		r := Check(&wire{}, ours, Source{Seed: 4}, n)
		if !r.Failed() {
			continue
		}
		found++
		small := Shrink(&wire{}, ours, r, 400)
		if !small.Failed() || len(small.Scenario.Steps) != 1 || strings.Contains(small.Scenario.Rules.V4+small.Scenario.Rules.V6, "-A ") {
			t.Errorf("scenario %d: %d steps and these rules are left:\n%s%s", n, len(small.Scenario.Steps), small.Scenario.Rules.V4, small.Scenario.Rules.V6)
		}
	}
	if found < 10 {
		t.Fatalf("a wire that loses UDP differs in %d of 30 scenarios only", found)
	}
}

func TestShrinkingKeepsToItsBudget(t *testing.T) {
	t.Parallel()
	for n := range 10 {
		ours := &wire{fault: loses("udp")}
		r := Check(&wire{}, ours, Source{Seed: 4}, n)
		if !r.Failed() {
			continue
		}
		ours.asked = 0
		if Shrink(&wire{}, ours, r, 7); ours.asked > 7*(1+len(drifts)) {
			t.Errorf("%d plays", ours.asked)
		}
	}
}

// counter is a reference whose IPv4 ids and UDP source ports are new each time, as a router's own are.
func counter() func([]byte) []byte {
	n := uint16(0)
	return func(b []byte) []byte {
		p := packet.New()
		p.Load(b)
		if p.Parse() != packet.ReasonNone || p.Proto != 17 || p.FragOff != 0 || p.FragHdr != 0 || p.MF {
			return b
		}
		n += 7
		p.SetSrcPort(20000 + n)
		return append([]byte(nil), p.Data...)
	}
}

func TestWhatTheReferenceDoesNotRepeatDoesNotCount(t *testing.T) {
	t.Parallel()
	ref := &wire{fault: counter()}
	for n := range 30 {
		ours := &wire{fault: counter()}
		ours.fault(packet.MustBuild("ip4 10.0.0.1>10.0.0.2 / udp 1>2"))
		if r := Check(ref, ours, Source{Seed: 6}, n); r.Failed() {
			t.Errorf("%v", r)
		}
	}
}

func TestMasksLeaveOutImpliedChecksums(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"ip.csum ip.id": "ip.id", "tcp.csum tcp.seq": "tcp.seq", "icmp.csum inner.udp.csum inner.udp.sport": "inner.udp.sport",
		"icmp.csum inner.udp.csum": "icmp.csum inner.udp.csum", "ip.id udp.csum": "ip.id udp.csum",
	} {
		if got := strings.Join(withoutImplied(strings.Fields(in)), " "); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestAPacketThatLeavesOnlySometimesIsNoticed(t *testing.T) {
	t.Parallel()
	none := &scenario.Run{Steps: []scenario.Outcome{{}}}
	one := &scenario.Run{Steps: []scenario.Outcome{{Out: []scenario.Sent{{If: "wan", Data: packet.MustBuild("ip4 10.0.0.1>10.0.0.2 / udp 1>2 len=0")}}}}}
	for _, runs := range [][]*scenario.Run{{none, one}, {one, none}, {one, one, none}} {
		if problems := Record(&scenario.Scenario{}, runs...); len(problems) == 0 {
			t.Error("nobody says that the runs differ")
		}
	}
	if problems := Record(&scenario.Scenario{}, one, one); len(problems) > 0 {
		t.Error(problems)
	}
}
