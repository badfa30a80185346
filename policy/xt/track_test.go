package xt

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// tracker takes packets through conntrack and one match in between, as FORWARD does.
type tracker struct {
	t   *testing.T
	ct  *conntrack.Table
	rng *rand.Rand
	now packet.Time
	m   policy.Match
}

func newTracker(t *testing.T, rule string) *tracker {
	t.Helper()
	_, ms, _, err := parseRule(t, NewShared(), policy.V4, policy.Filter, rule)
	if err != nil {
		t.Fatal(err)
	}
	params := conntrack.DefaultParams()
	params.Acct = true
	return &tracker{t: t, ct: conntrack.New(conntrack.Options{Params: params, Seed: 1}), rng: rand.New(rand.NewPCG(1, 2)), now: packet.Time(time.Second), m: ms[0]}
}

// send tells whether the match took the packet; if keep is false the packet is dropped behind it.
func (k *tracker) send(text string, keep bool) bool {
	k.t.Helper()
	p := arrive(packet.MustBuild(text), k.now)
	p.W.CT = k.ct
	if r := k.ct.In(k.now, p.Packet, &p.CT, conntrack.HookInfo{}, k.rng); r != packet.ReasonNone {
		k.t.Fatal(text, r)
	}
	hit := k.m.Match(p)
	if keep {
		k.ct.Confirm(k.now, p.Packet, &p.CT, k.rng)
	}
	k.ct.Release(&p.CT)
	return hit
}

func flow(port string) string {
	return "ip4 192.168.1.10>198.51.100.9 df / tcp " + port + ">80 S seq=1"
}

// TestConnlimitCountsOpenConnections is scenario H08-connlimit and what follows from it: rejected ones do not count
// once another comes, closed ones no more. A rejected one still counts for the packets of older ones (kernel 6.18).
func TestConnlimitCountsOpenConnections(t *testing.T) {
	t.Parallel()
	k := newTracker(t, "-m connlimit --connlimit-above 2 --connlimit-mask 32 --connlimit-saddr")
	for _, step := range []struct {
		port string
		over bool
	}{{"5000", false}, {"5001", false}, {"5002", true}, {"5003", true}, {"5001", true}} {
		hit := k.send(flow(step.port), !step.over)
		if hit != step.over {
			t.Errorf("port %s: over %v", step.port, hit)
		}
	}
	if k.send("ip4 192.168.1.11>198.51.100.9 df / tcp 5000>80 S seq=1", true) {
		t.Error("another source is over")
	}
	// The first connection is reset: there is room for one more.
	k.send("ip4 198.51.100.9>192.168.1.10 df / tcp 80>5000 SA seq=100 ack=2", true)
	k.send("ip4 192.168.1.10>198.51.100.9 df / tcp 5000>80 R seq=2", true)
	if k.send(flow("5004"), true) {
		t.Error("a closed connection still counts")
	}
	if !k.send(flow("5005"), false) {
		t.Error("not over, with two open ones and a third")
	}
	// Both time out.
	k.now = k.now.Add(10 * 24 * time.Hour)
	k.ct.Advance(k.now)
	if k.send(flow("5006"), true) {
		t.Error("connections that have timed out still count")
	}
}

func TestConnlimitUptoIsTheOpposite(t *testing.T) {
	t.Parallel()
	k := newTracker(t, "-m connlimit --connlimit-upto 1 --connlimit-mask 24")
	if !k.send(flow("1"), true) || k.send("ip4 192.168.1.99>198.51.100.9 df / tcp 5000>80 S seq=1", true) {
		t.Error("one connection of a /24 is up to one, two are not")
	}
}

func TestConnbytesCountsThePacketItself(t *testing.T) {
	t.Parallel()
	const out = "ip4 192.168.1.10>198.51.100.9 / udp 5000>53 len=72" // 100 bytes
	const back = "ip4 198.51.100.9>192.168.1.10 / udp 53>5000 len=172"
	for _, c := range []struct {
		rule string
		want [4]bool // out, out, back, out
	}{
		{"--connbytes 2 --connbytes-mode packets --connbytes-dir original", [4]bool{false, true, true, true}},
		{"--connbytes 1:1 --connbytes-mode packets --connbytes-dir reply", [4]bool{false, false, true, true}},
		{"--connbytes 400: --connbytes-mode bytes --connbytes-dir both", [4]bool{false, false, true, true}},
		{"! --connbytes 100:200 --connbytes-mode bytes --connbytes-dir original", [4]bool{false, false, false, true}},
		{"--connbytes 101:133 --connbytes-mode avgpkt --connbytes-dir both", [4]bool{false, false, true, true}}, // 400/3, 500/4
	} {
		k := newTracker(t, "-m connbytes "+c.rule)
		var got [4]bool
		for i, text := range []string{out, out, back, out} {
			got[i] = k.send(text, true)
		}
		if got != c.want {
			t.Errorf("%s: %v, want %v", c.rule, got, c.want)
		}
	}
}

func TestConnlabelSetsAndFinds(t *testing.T) {
	t.Parallel()
	k := newTracker(t, "-m connlabel --label 41")
	if k.send(flow("1"), true) {
		t.Error("a new connection has a label")
	}
	_, ms, _, err := parseRule(t, NewShared(), policy.V4, policy.Filter, "-m connlabel --label 41 --set")
	if err != nil {
		t.Fatal(err)
	}
	find := k.m
	k.m = ms[0]
	if !k.send(flow("1"), true) {
		t.Error("--set does not match")
	}
	k.m = find
	if !k.send(flow("1"), true) {
		t.Error("the label is not there")
	}
}
