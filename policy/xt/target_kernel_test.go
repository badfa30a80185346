package xt

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

// edits is what Linux 6.18 made of packets that one mangle rule met on their way from a link with an MTU of 1300 to
// one of 1400. An empty out is a packet that did not leave.
type edits struct {
	Family, Chain string
	Rules         []struct {
		Rule    string
		Packets []struct{ Pkt, In, Out string }
	}
}

func TestTargetsEditAsTheKernelDoes(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/targets/*.json")
	if err != nil || len(files) < 10 {
		t.Fatal("records are missing", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var f edits
			if err := json.Unmarshal(b, &f); err != nil {
				t.Fatal(err)
			}
			fam := policy.V4
			if f.Family == "v6" {
				fam = policy.V6
			}
			for _, r := range f.Rules {
				_, ms, target, err := parseRule(t, NewShared(), fam, policy.Mangle, r.Rule)
				if err != nil {
					t.Fatalf("%s: %v", r.Rule, err)
				}
				for _, step := range r.Packets {
					in, _ := hex.DecodeString(step.In)
					if got := hex.EncodeToString(through(in, f.Chain, ms, target)); got != step.Out {
						t.Errorf("%s\n%s\n in     %s\n out    %s\n kernel %s", r.Rule, step.Pkt, step.In, got, step.Out)
					}
				}
			}
		})
	}
}

// through takes a packet through one rule and the forwarding's own change of the TTL, before it in FORWARD and after
// it in PREROUTING.
func through(data []byte, chain string, ms []policy.Match, target policy.Target) []byte {
	p := arrive(data, 0)
	if p == nil {
		return nil
	}
	p.W.Env = &testEnv{mtu: 1300} // the smaller of both ways
	if chain == "FORWARD" {
		p.Hook, p.Out = policy.Forward, &policy.Dev{Name: "wan", Index: 2}
		p.DecTTL()
	}
	match := p.Proto == packet.ProtoTCP || p.Proto == packet.ProtoUDP
	for _, m := range ms {
		match = match && m.Match(p)
	}
	if p.HotDrop || match && target.Exec(p) == policy.Drop {
		return nil
	}
	if chain != "FORWARD" {
		if p.TTL() <= 1 {
			return nil
		}
		p.DecTTL()
	}
	return p.Data
}

func TestTargetsDoNotAllocate(t *testing.T) {
	data := packet.MustBuild("ip4 192.168.1.10>198.51.100.9 / tcp 1>80 S mss=1460 ws=7 sackok")
	shared := NewShared()
	if err := shared.SetCommand("create s hash:ip,port counters timeout 60", 0); err != nil {
		t.Fatal(err)
	}
	for _, rule := range []string{
		"-p tcp -m tcp --syn -j TCPMSS --set-mss 1000",
		"-p tcp -j TCPOPTSTRIP --strip-options wscale",
		"-j TOS --set-tos 0x10", "-j DSCP --set-dscp 5", "-j TTL --ttl-set 9", "-p tcp -j ECN --ecn-tcp-remove",
		"-j CLASSIFY --set-class 1:2", "-j LOG --log-prefix x --log-tcp-options", "-j NFLOG --nflog-group 1",
		"-j SET --map-set s src,dst --map-mark",
	} {
		_, _, target, err := parseRule(t, shared, policy.V4, policy.Mangle, rule)
		if err != nil {
			t.Fatal(rule, err)
		}
		p := arrive(data, 0)
		if n := testing.AllocsPerRun(100, func() { target.Exec(p) }); n != 0 {
			t.Errorf("%s: %v allocations", rule, n)
		}
	}
}
