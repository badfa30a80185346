package xt

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

// saved is what "ipset save" 7.17 printed, but for the order of elements and the initval of each set.
const saved = `create a1 hash:ip family inet hashsize 1024 maxelem 65536 netmask 24 timeout 30 counters comment bucketsize 12
add a1 1.2.3.0 timeout 9 packets 0 bytes 0 comment "x y"
create a2 hash:net family inet6 hashsize 1024 maxelem 65536 counters skbinfo bucketsize 12
add a2 2001:db8::/32 nomatch packets 0 bytes 0 skbmark 0x1/0xff skbprio 1:2 skbqueue 3
add a2 fe80::1 packets 0 bytes 0
create a3 hash:ip,port family inet hashsize 1024 maxelem 65536 bucketsize 12
add a3 1.1.1.0,tcp:1
add a3 1.1.1.1,icmp:echo-request
add a3 1.2.3.4,udp:53
add a3 9.9.9.9,200:0
add a3 9.9.9.9,gre:0
add a3 9.9.9.9,icmp:fragmentation-needed
add a3 9.9.9.9,sctp:5
create a4 hash:net,port family inet hashsize 1024 maxelem 65536 bucketsize 12
add a4 10.0.0.0/8,tcp:80
create a5 hash:ip,port,ip family inet hashsize 1024 maxelem 65536 bucketsize 12
add a5 1.1.1.1,tcp:80,2.2.2.2
create a6 hash:ip,port,net family inet hashsize 1024 maxelem 65536 bucketsize 12
add a6 1.1.1.1,tcp:80,2.2.2.0/24
create a8 bitmap:ip range 10.0.0.0-10.0.0.255
add a8 10.0.0.1
add a8 10.0.0.2
create a9 bitmap:port range 1-1024
add a9 5
add a9 6
create b1 bitmap:ip range 10.0.0.0-10.255.255.255 netmask 24
add b1 10.0.5.0
create b2 hash:net,iface family inet hashsize 1024 maxelem 65536 bucketsize 12
add b2 10.0.0.0/8,eth0
create b3 hash:ip family inet6 hashsize 1024 maxelem 65536 bucketsize 12
add b3 ::1
create a7 list:set size 4 timeout 5
add a7 a2 timeout 4
add a7 a1 timeout 4
add a7 a3 timeout 0
`

func TestSetsReadAndPrintIpsetsText(t *testing.T) {
	t.Parallel()
	s := NewShared()
	if err := s.LoadSets("sets", []byte(saved), 0); err != nil {
		t.Fatal(err)
	}
	if got := string(s.SaveSets(nil, 0)); got != saved {
		t.Errorf("printed\n%s\nwant\n%s", got, saved)
	}
}

func TestSetRangesAreExpandedAsIpsetDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ create, add, want string }{
		{"hash:net", "10.0.0.1-10.0.0.6", "10.0.0.1 10.0.0.2/31 10.0.0.4/31 10.0.0.6"},
		{"hash:ip,port", "1.1.1.0/31,tcp:1-2", "1.1.1.0,tcp:1 1.1.1.0,tcp:2 1.1.1.1,tcp:1 1.1.1.1,tcp:2"},
		{"hash:ip,port", "1.1.1.1,80", "1.1.1.1,tcp:80"},
		{"hash:ip", "1.1.1.254-1.1.2.1", "1.1.1.254 1.1.1.255 1.1.2.0 1.1.2.1"},
		{"hash:ip netmask 24", "1.1.1.254-1.1.3.1", "1.1.1.0 1.1.2.0 1.1.3.0"},
		{"hash:ip", "255.255.255.254/31", "255.255.255.254 255.255.255.255"},
		{"bitmap:port range 0-65535", "65534-65535", "65534 65535"},
		{"hash:net family inet6", "2001:db8::1/64", "2001:db8::/64"},
	} {
		s := NewShared()
		if err := s.LoadSets("t", []byte("create s "+c.create+"\nadd s "+c.add), 0); err != nil {
			t.Error(c.add, err)
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(s.SaveSets(nil, 0))), "\n")[1:]
		for i, l := range lines {
			lines[i] = strings.TrimPrefix(l, "add s ")
		}
		if got := strings.Join(lines, " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.add, got, c.want)
		}
	}
}

func TestSetErrorsSayWhereAndWhat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"create x hash:foo", `sets:1: unknown set type "hash:foo"`},
		{"create s hash:ip\nadd s 1.2.3.4\nadd s 1.2.3.4", `sets:3: set s: "1.2.3.4" is in it already`},
		{"create s hash:ip\nadd z 1.2.3.4", `sets:2: set "z" does not exist: there are s`},
		{"create s hash:ip\nadd s 1.2.3.4,80", `sets:2: set s: bad element`},
		{"create s hash:ip maxelem 1\nadd s 1.2.3.4/31", `sets:2: set s is full (maxelem 1)`},
		{"create s hash:ip\nadd s 1.2.3.4 timeout 5", `sets:2: set s: timeout: the set was created without it`},
		{"create s hash:ip family inet6\nadd s 1.2.3.4", `bad address or range "1.2.3.4"`},
		{"create s hash:ip\nadd s 10.0.0.0/8", `stands for more than`},
		{"create l list:set\nadd l l", `a list cannot be a member`},
		{"create s hash:ip\ncreate l list:set\nadd l s\ndestroy s", `set "l" has it as a member`},
		{"creat s hash:ip", `unknown set command "creat"`},
		{"create s bitmap:ip", `bitmap:ip needs a range`},
	} {
		err := NewShared().LoadSets("sets", []byte(c.text), 0)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.text, err, c.want)
		}
	}
}

// TestNetworkSetAgreesWithWalk holds the tree against a walk over all elements.
func TestNetworkSetAgreesWithWalk(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	s := NewShared()
	s.SetCommand("create n hash:net timeout 100", 0)
	set := s.sets.find("n")
	type elem struct {
		a, m    uint32
		bits    int
		no      bool
		expires packet.Time
	}
	var all []elem
	for range 300 {
		bits := 1 + rng.IntN(32)
		m := ^uint32(0) << (32 - bits)
		a := (0x0a000000 | rng.Uint32()&0xfff) & m
		e := elem{a, m, bits, rng.IntN(3) == 0, packet.Time(time.Duration(1+rng.IntN(100)) * time.Second)}
		line := fmt.Sprintf("add n %d.%d.%d.%d/%d timeout %d", a>>24, a>>16&255, a>>8&255, a&255, bits, int64(e.expires)/1e9)
		if e.no {
			line += " nomatch"
		}
		if s.SetCommand(line, 0) == nil {
			all = append(all, e)
		}
	}
	d := setDims{n: 1}
	p := arrive(packet.MustBuild("ip4 10.0.0.1>10.0.0.2 / udp 1>2 len=0"), 0)
	for range 5000 {
		src := 0x0a000000 | rng.Uint32()&0x1fff
		p.SetSrc(packet.Addr4([]byte{byte(src >> 24), byte(src >> 16), byte(src >> 8), byte(src)}))
		p.Now = packet.Time(time.Duration(rng.IntN(100)) * time.Second)
		want, best := false, -1
		for _, e := range all {
			if src&e.m == e.a && e.bits > best && e.expires > p.Now {
				want, best = !e.no, e.bits
			}
		}
		if _, got := set.test(p, &d, &setTest{}); got != want {
			t.Fatalf("%x at %v: %v, want %v", src, p.Now, got, want)
		}
	}
}

func TestSetLookupDoesNotAllocateNorGrowWithTheSet(t *testing.T) {
	s := NewShared()
	for i, kind := range []string{"hash:ip", "hash:net", "hash:ip,port", "hash:net,port"} {
		s.SetCommand(fmt.Sprintf("create s%d %s maxelem 1000000", i, kind), 0)
	}
	s.SetCommand("add s0 10.0.0.0/18", 0)
	s.SetCommand("add s2 10.0.0.0/18,udp:2", 0)
	for i := range 1000 {
		s.SetCommand(fmt.Sprintf("add s1 10.%d.%d.0/24", i>>8, i&255), 0)
		s.SetCommand(fmt.Sprintf("add s3 10.%d.%d.0/24,udp:2", i>>8, i&255), 0)
	}
	p := arrive(packet.MustBuild("ip4 10.0.9.1>10.0.0.2 / udp 1>2 len=0"), 0)
	for i := range 4 {
		_, ms, _, err := parseRule(t, s, policy.V4, policy.Filter, fmt.Sprintf("-m set --match-set s%d src,dst", i))
		if err != nil {
			t.Fatal(err)
		}
		if !ms[0].Match(p) {
			t.Errorf("s%d does not match", i)
		}
		if n := testing.AllocsPerRun(100, func() { ms[0].Match(p) }); n != 0 {
			t.Errorf("s%d: %v allocations", i, n)
		}
	}
}

func TestSwapPutsAFilledSetInPlace(t *testing.T) {
	t.Parallel()
	s := NewShared()
	if err := s.LoadSets("t", []byte("create a hash:ip\ncreate b hash:ip\nadd b 192.168.1.10\n"), 0); err != nil {
		t.Fatal(err)
	}
	_, ms, _, err := parseRule(t, s, policy.V4, policy.Filter, "-m set --match-set a src")
	if err != nil {
		t.Fatal(err)
	}
	p := arrive(packet.MustBuild("ip4 192.168.1.10>198.51.100.9 / udp 1>2 len=0"), 0)
	before := ms[0].Match(p)
	if err := s.SetCommand("swap a b", 0); err != nil {
		t.Fatal(err)
	}
	if after := ms[0].Match(p); before || !after {
		t.Errorf("before %v, after %v", before, after)
	}
}

func FuzzSetCommand(f *testing.F) {
	for _, l := range strings.Split(saved, "\n") {
		f.Add(l)
	}
	f.Fuzz(func(t *testing.T, line string) {
		s := NewShared()
		s.LoadSets("t", []byte("create a hash:ip timeout 3\ncreate b hash:net\ncreate c hash:ip,port,net\ncreate l list:set\n"), 0)
		if strings.Contains(line, "/") || strings.Contains(line, "-") {
			line = strings.Replace(line, "range", "", 1) // no huge ranges
		}
		_ = s.SetCommand(line, 0)
		_ = s.SaveSets(nil, 0)
	})
}
