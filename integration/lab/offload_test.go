package lab_test

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/moat-router/moat/integration/lab"
	"github.com/moat-router/moat/integration/lab/wire"
)

// path is a client and a server with a NAT between them; the far network is as told.
func path(t *testing.T, wan lab.Link) (n *lab.Net, client, server *lab.HostConf) {
	n = lab.New(t).Network("lan").Network("wan", wan)
	n.Router("gw", masquerade).On("lan", "192.168.1.1/24").On("wan", "203.0.113.1/24")
	return n, n.Host("client", "lan", "192.168.1.10/24"), n.Host("server", "wan", "203.0.113.9/24")
}

// transfer sends a megabyte by TCP and tells how large the largest datagram on each network was.
func transfer(t *testing.T, l *lab.Lab, client, server *lab.Host) map[string]int {
	t.Helper()
	largest := map[string]int{}
	defer l.Watch(func(s wire.Sighting) { largest[s.Segment] = max(largest[s.Segment], len(s.Data)) })()
	listener, err := server.Listen("tcp", ":5001")
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.Dial("tcp", "server:5001")
	if err != nil {
		t.Fatal(err)
	}
	s, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	const part = 64 << 10
	data, got := bytes.Repeat([]byte("moats..."), part/8), make([]byte, part)
	for i := range 16 {
		if _, err := c.Write(data); err != nil {
			t.Fatal(err)
		}
		s.SetReadDeadline(time.Now().Add(time.Hour))
		if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(data, got) {
			t.Fatalf("part %d: %v", i, err)
		}
	}
	return largest
}

func TestSuperSegmentsCrossALabWhole(t *testing.T) {
	t.Parallel()
	n, client, server := path(t, lab.Link{})
	got := transfer(t, n.Lab(), client.Get(), server.Get())
	if got["lan"] < 30000 || got["wan"] < 30000 {
		t.Errorf("largest datagrams %v, want super-segments", got)
	}
}

func TestNetworkThatDelaysCarriesPacketsOneByOne(t *testing.T) {
	t.Parallel()
	n, client, server := path(t, lab.Link{Delay: time.Millisecond})
	got := transfer(t, n.Lab(), client.Get(), server.Get())
	if got["lan"] < 30000 || got["wan"] > 1500 {
		t.Errorf("largest datagrams %v, want super-segments on the lan and at most 1500 bytes on the wan", got)
	}
}

func TestSuperSegmentsLearnASmallerMTU(t *testing.T) {
	t.Parallel()
	for _, wan := range []lab.Link{{MTU: 1280}, {MTU: 1280, Delay: time.Millisecond}} {
		n, client, server := path(t, wan)
		got := transfer(t, n.Lab(), client.Get(), server.Get())
		if wan.Delay != 0 && got["wan"] > 1280 {
			t.Errorf("a datagram of %d bytes on a network of MTU 1280", got["wan"])
		}
	}
}
