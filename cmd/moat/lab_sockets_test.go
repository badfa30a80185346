package main

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moat-router/moat/integration/lab"
	"github.com/moat-router/moat/integration/lab/topology"
)

func TestRoutersOfALabCanBeLookedInto(t *testing.T) {
	temp, err := os.MkdirTemp("", "moat-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(temp)
	t.Setenv("TMPDIR", temp)
	top, err := topology.Load("../../configs/labs/10-nat-behaviours.yaml")
	if err != nil {
		t.Fatal(err)
	}
	l, err := lab.Open(top, lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, host := range []string{"laptop", "phone"} {
		c, err := l.Host(host).ListenPacket("udp4", ":6000")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, to := range []string{"198.51.100.9:9", "198.51.100.9:10", "198.51.100.8:9"} {
			if _, err := c.WriteTo([]byte("moat"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to))); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.Advance(10 * time.Second)
	s, err := listenInLab(l)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range s.env() {
		name, value, _ := strings.Cut(e, "=")
		t.Setenv(name, value)
	}
	const cone = "udp      17 290 internal=192.168.1.10:6000 external=198.51.100.1:6000 mapping=endpoint-independent filtering=endpoint-independent callers=0 connections=3\n"
	const tight = "udp      17 290 internal=192.168.2.10:6000 external=198.51.100.2:6000 mapping=endpoint-independent filtering=address-and-port-dependent callers=3 connections=3\n"
	for _, tt := range []struct{ words, want string }{
		{"conntrack -L bindings", cone}, // of the first router
		{"conntrack -L bindings --control cone", cone},
		{"conntrack -L bindings --control tight", tight},
		{"conntrack -C --control " + filepath.Join(s.dir, "tight.sock"), "3\n"},
		{"rules -t nat -S POSTROUTING --control tight", "-P POSTROUTING ACCEPT\n-A POSTROUTING -o wan -j MASQUERADE --mapping endpoint-independent --filtering address-and-port-dependent\n"},
	} {
		if code, out, errs := moat("", strings.Fields(tt.words)...); code != 0 || out != tt.want {
			t.Errorf("%s: exit %d\n%swant\n%s%s", tt.words, code, out, tt.want, errs)
		}
	}
	if _, out, _ := moat("", "metrics", "--control", "cone"); !strings.Contains(out, "\nmoat_nat_bindings 1\n") {
		t.Error(out)
	}
	if code, _, errs := moat("", "link", "--control", "gw"); code != 1 || !strings.Contains(errs, filepath.Join(s.dir, "gw.sock")) {
		t.Errorf("exit %d: %s", code, errs)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(temp, "*")); len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
}
