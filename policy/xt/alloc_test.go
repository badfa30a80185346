package xt

import (
	"testing"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

func TestMatchesOfHeadersDoNotAllocate(t *testing.T) {
	p := arrive(packet.MustBuild("ip4 192.168.1.10>198.51.100.9 ttl=9 tos=16 / tcp 1024>80 S mss=1460 len=4"), 0)
	for _, line := range []string{
		"-p tcp -m tcp --sport 1:65535 --dport 80 --tcp-flags ALL SYN --tcp-option 2", "-p tcp -m multiport --dports 22,80,443,1000:2000",
		"-m conntrack --ctstate NEW,INVALID", "-m state --state INVALID", "-m mark ! --mark 5/0xff", "-m limit --limit 10000/sec",
		"-m length --length 40:1500", "-m iprange --src-range 192.168.1.1-192.168.1.20", "-m ttl --ttl-lt 64", "-m tos --tos 16",
		"-m dscp --dscp 4", "-p tcp -m ecn ! --ecn-tcp-cwr --ecn-ip-ect 0", "-p tcp -m tcpmss --mss 1460", "-m pkttype --pkt-type host",
		"-m comment --comment x",
	} {
		_, ms, _, err := parseRule(t, NewShared(), policy.V4, policy.Filter, line)
		if err != nil {
			t.Fatal(line, err)
		}
		for _, m := range ms {
			if !m.Match(p) {
				t.Errorf("%s does not match, so this test shows nothing", line)
			}
			if n := testing.AllocsPerRun(100, func() { m.Match(p) }); n != 0 {
				t.Errorf("%s allocates %v times", line, n)
			}
		}
	}
}

func TestTargetsOfMarksAndRefusalsDoNotAllocate(t *testing.T) {
	p := arrive(packet.MustBuild("ip4 192.168.1.10>198.51.100.9 / tcp 1024>80 S"), 0)
	for _, line := range []string{"-j MARK --set-mark 5", "-j CONNMARK --save-mark", "-j CT --zone 5", "-j NOTRACK", "-j TRACE", "-p tcp -j REJECT --reject-with tcp-reset"} {
		_, _, target, err := parseRule(t, NewShared(), policy.V4, policy.Raw, line)
		if err != nil {
			t.Fatal(line, err)
		}
		if n := testing.AllocsPerRun(100, func() { target.Exec(p) }); n != 0 {
			t.Errorf("%s allocates %v times", line, n)
		}
	}
}
