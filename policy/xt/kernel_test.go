package xt

import (
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

// fixture is what Linux 6.18 did with some rules: for each packet, which of them matched. The rules stood one after
// the other in one chain at PREROUTING, each with a LOG target if it has none of its own, so every packet met all of them in order until
// one said hotdrop.
type fixture struct {
	Family  string
	Table   string
	Rules   []string
	Sets    []string
	Packets []struct {
		MS   int
		Pkt  string
		Hex  string
		Hits []int
	}
}

// testEnv answers what these tests ask of a router.
type testEnv struct {
	policy.Env
	mtu  int
	wall time.Time
}

func (e *testEnv) PathMTU(*policy.Packet, bool) int     { return e.mtu }
func (e *testEnv) Wall(t packet.Time) time.Time         { return e.wall.Add(time.Duration(t)) }
func (e *testEnv) Log(uint8, []byte)                    {}
func (e *testEnv) NFLog(*policy.Packet, uint16, []byte) {}

// arrive makes a packet of bytes as it stands at PREROUTING; nil if the door refuses it.
func arrive(data []byte, now packet.Time) *policy.Packet {
	p := packet.New()
	p.Load(data)
	if p.Parse() != packet.ReasonNone {
		return nil
	}
	w := &policy.Worker{Rand: rand.New(rand.NewPCG(1, 2)), Env: &testEnv{mtu: 1500}}
	return &policy.Packet{Packet: p, W: w, Now: now, In: &policy.Dev{Name: "lan", Index: 1}, Hook: policy.PreRouting}
}

func TestMatchesAreTheKernels(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 20 {
		t.Fatal("records are missing", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var f fixture
			if err := json.Unmarshal(b, &f); err != nil {
				t.Fatal(err)
			}
			f.play(t)
		})
	}
}

func (f *fixture) play(t *testing.T) {
	const start = packet.Time(10 * time.Second)
	shared := NewShared()
	for _, line := range f.Sets {
		if err := shared.SetCommand(line, start); err != nil {
			t.Fatal(line, err)
		}
	}
	fam := policy.V4
	if f.Family == "v6" {
		fam = policy.V6
	}
	type rule struct {
		proto  uint8
		ms     []policy.Match
		target policy.Target
	}
	var rules []rule
	for _, text := range f.Rules {
		table := policy.Raw
		if f.Table == "mangle" {
			table = policy.Mangle
		}
		_, ms, target, err := parseRule(t, shared, fam, table, text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		r := rule{ms: ms, target: target}
		if rest, ok := strings.CutPrefix(text, "-p "); ok {
			r.proto, _ = ParseProtocol(strings.Fields(rest)[0])
		}
		rules = append(rules, r)
	}
	for i, step := range f.Packets {
		data, err := hex.DecodeString(step.Hex)
		if err != nil {
			t.Fatal(err)
		}
		p := arrive(data, start.Add(time.Duration(step.MS)*time.Millisecond))
		hits := []int{}
		for j, r := range rules {
			if p == nil || p.HotDrop {
				break
			}
			if r.proto != 0 && (p.Proto != r.proto || p.ExtBad) {
				p.HotDrop = p.ExtBad // ip6_packet_match
				continue
			}
			switch {
			case slices.ContainsFunc(r.ms, func(m policy.Match) bool { return !m.Match(p) }):
			case r.target != nil:
				r.target.Exec(p)
			default:
				hits = append(hits, j)
			}
		}
		if !slices.Equal(hits, step.Hits) {
			t.Errorf("packet %d at %d ms, %s:\n matched %v\n kernel  %v", i, step.MS, step.Pkt, hits, step.Hits)
			for j, r := range f.Rules {
				if slices.Contains(hits, j) != slices.Contains(step.Hits, j) {
					t.Logf("  rule %d: %s", j, r)
				}
			}
		}
	}
}
