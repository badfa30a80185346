package xt

import (
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// TestConntrackMatchSeesConnectionsAsLinuxDoes plays testdata/track/conntrack.json: which of the rules, one after the
// other in FORWARD of the mangle table, Linux 6.18 found to fit each packet.
func TestConntrackMatchSeesConnectionsAsLinuxDoes(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/track/conntrack.json")
	if err != nil {
		t.Fatal(err)
	}
	var f fixture
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	var rules []policy.Match
	for _, line := range f.Rules {
		_, ms, _, err := parseRule(t, NewShared(), policy.V4, policy.Mangle, line)
		if err != nil {
			t.Fatal(line, err)
		}
		rules = append(rules, ms[0])
	}
	ct := conntrack.New(conntrack.Options{Params: conntrack.DefaultParams(), Seed: 1})
	rng := rand.New(rand.NewPCG(1, 2))
	now := packet.Time(time.Second)
	for _, step := range f.Packets {
		data, err := hex.DecodeString(step.Hex)
		if err != nil {
			t.Fatal(err)
		}
		p := arrive(data, now)
		ct.In(now, p.Packet, &p.CT, conntrack.HookInfo{}, rng)
		hits := []int{}
		for i, m := range rules {
			if m.Match(p) {
				hits = append(hits, i)
			}
		}
		ct.Confirm(now, p.Packet, &p.CT, rng)
		ct.Release(&p.CT)
		if !slices.Equal(hits, step.Hits) {
			t.Errorf("%s\n matched %v\n kernel  %v", step.Pkt, hits, step.Hits)
			for i, line := range f.Rules {
				if slices.Contains(hits, i) != slices.Contains(step.Hits, i) {
					t.Logf("  rule %d: %s", i, line)
				}
			}
		}
		now = now.Add(10 * time.Millisecond)
	}
}
