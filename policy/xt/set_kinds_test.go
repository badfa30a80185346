package xt

import (
	"testing"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

// Expectations are those of ipset(8): in sets of two networks the first is made more specific before the second, and
// hash:ip,mark compares a mark through the markmask.
func TestSetsOfTwoNetworksAndOfMarks(t *testing.T) {
	s := NewShared()
	if err := s.LoadSets("sets", []byte(`create nn hash:net,net
add nn 10.0.0.0/8,192.168.0.0/16
add nn 10.0.0.0/24,192.168.0.0/16 nomatch
add nn 10.0.0.0/8,192.168.1.0/24
add nn 10.0.0.7,192.168.1.9
create npn hash:net,port,net
add npn 10.0.0.0/8,udp:53,192.168.0.0/16
create m hash:ip,mark markmask 0xff
add m 10.0.0.1,0x105
`), 0); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		set, pkt string
		mark     uint32
		want     bool
	}{
		{"nn", "ip4 10.9.0.1>192.168.7.1 / udp 1>53 len=0", 0, true},
		{"nn", "ip4 10.0.0.1>192.168.7.1 / udp 1>53 len=0", 0, false}, // the /24 does not match
		{"nn", "ip4 10.0.0.1>192.168.1.1 / udp 1>53 len=0", 0, false}, // the longer first network decides
		{"nn", "ip4 10.0.0.7>192.168.1.9 / udp 1>53 len=0", 0, true},
		{"nn", "ip4 10.0.0.7>192.168.1.8 / udp 1>53 len=0", 0, false},
		{"nn", "ip4 11.0.0.1>192.168.1.1 / udp 1>53 len=0", 0, false},
		{"npn", "ip4 10.0.0.1>192.168.1.1 / udp 1>53 len=0", 0, true},
		{"npn", "ip4 10.0.0.1>192.168.1.1 / tcp 1>53 S seq=1", 0, false},
		{"npn", "ip4 10.0.0.1>192.169.1.1 / udp 1>53 len=0", 0, false},
		{"m", "ip4 10.0.0.1>192.169.1.1 / udp 1>53 len=0", 0x5, true},
		{"m", "ip4 10.0.0.1>192.169.1.1 / udp 1>53 len=0", 0xf05, true},
		{"m", "ip4 10.0.0.1>192.169.1.1 / udp 1>53 len=0", 0x6, false},
	} {
		p := arrive(packet.MustBuild(tt.pkt), 0)
		p.Mark = tt.mark
		dims := map[string]string{"nn": "src,dst", "npn": "src,dst,dst", "m": "src,src"}[tt.set]
		_, ms, _, err := parseRule(t, s, policy.V4, policy.Filter, "-m set --match-set "+tt.set+" "+dims)
		if err != nil {
			t.Fatal(err)
		}
		if got := ms[0].Match(p); got != tt.want {
			t.Errorf("%s: %s mark %#x: %v", tt.set, tt.pkt, tt.mark, got)
		}
		if n := testing.AllocsPerRun(20, func() { ms[0].Match(p) }); n != 0 {
			t.Errorf("%s: %v allocations", tt.set, n)
		}
	}
	const saved = `create nn hash:net,net family inet hashsize 1024 maxelem 65536 bucketsize 12
add nn 10.0.0.0/24,192.168.0.0/16 nomatch
add nn 10.0.0.0/8,192.168.0.0/16
add nn 10.0.0.0/8,192.168.1.0/24
add nn 10.0.0.7,192.168.1.9
create npn hash:net,port,net family inet hashsize 1024 maxelem 65536 bucketsize 12
add npn 10.0.0.0/8,udp:53,192.168.0.0/16
create m hash:ip,mark family inet hashsize 1024 maxelem 65536 markmask 0x000000ff bucketsize 12
add m 10.0.0.1,0x00000005
`
	if got := string(s.SaveSets(nil, 0)); got != saved {
		t.Errorf("printed\n%s", got)
	}
}
