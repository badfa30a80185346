package nat_test

import (
	"testing"

	"github.com/moat-router/moat/policy/nat/walktest"
)

// FuzzTranslate lets anything arrive at a router that has a translated flow of every kind: nothing may panic, and what
// leaves must still be a datagram.
func FuzzTranslate(f *testing.F) {
	flows := []string{
		"ip4 192.168.1.10>198.51.100.9 / udp 5000>53 len=8", "ip4 192.168.1.10>198.51.100.9 / tcp 5000>80 S seq=1",
		"ip4 192.168.1.10>198.51.100.9 / icmp 8/0 id=7 seq=1",
	}
	for _, text := range append([]string{
		"ip4 203.0.113.7>1.2.3.1 / icmp 3/3 / ip4 1.2.3.1>198.51.100.9 / udp 5000>53 len=8",
		"ip4 203.0.113.7>1.2.3.1 / icmp 11/0 / ip4 1.2.3.1>198.51.100.9 / tcp 5000>80 S seq=1",
		"ip4 203.0.113.7>1.2.3.1 / icmp 3/1 / ip4 1.2.3.1>198.51.100.9 / icmp 8/0 id=7 seq=1",
		"ip6 2001:db8:9::9>fd00:1::10 / icmp6 1/0 / ip6 fd00:1::10>2001:db8:9::9 / udp 5000>53 len=8",
	}, flows...) {
		f.Add(build(f, text), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, wan bool) {
		r := snat("1.2.3.1")
		p := r.T.Params()
		q := *p
		q.Checksum = false
		r.T.SetParams(&q)
		for _, text := range flows {
			r.Inject(walktest.Lan, build(t, text))
		}
		in := walktest.Lan
		if wan {
			in = walktest.Wan
		}
		for range 2 {
			if s := r.Inject(in, b); s != nil && len(s.Data) < 20 {
				t.Errorf("%x leaves", s.Data)
			}
		}
		r.T.ProcLines(0)
		r.T.Flush(0)
		if n := r.T.Count(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}
