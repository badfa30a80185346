package veth_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/netns"
	"github.com/moat-router/moat/stack/netns/netnstest"
	"github.com/moat-router/moat/stack/packet"
	"github.com/moat-router/moat/stack/veth"
)

// open makes a pair whose far end has addresses, and gives what arrives at the near end.
func open(t *testing.T, mtu int) (l *veth.Link, far *netns.NS, arrives chan []byte) {
	t.Helper()
	near := netnstest.New(t)
	far = netnstest.New(t)
	l, err := veth.Open(near, far, "eth0", mtu)
	if err != nil {
		netnstest.Skip(t, "pairs of Ethernet devices cannot be made here: %v", err)
	}
	arrives = make(chan []byte, 100)
	served := make(chan error, 1)
	go func() {
		served <- l.Serve(0, func(batch []*packet.Packet) {
			for _, p := range batch {
				arrives <- bytes.Clone(p.Data)
			}
		})
	}()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, link.ErrClosed) {
			t.Errorf("Serve ends with %v", err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("once more: %v", err)
		}
		for name, n := range map[string]*netns.NS{"near": near, "far": far} {
			netnstest.In(t, n, func() error {
				list, err := net.Interfaces()
				if len(list) != 1 {
					t.Errorf("%s: interfaces are left: %v", name, list)
				}
				return err
			})
		}
	})
	for _, s := range []string{"router_solicitations", "accept_ra", "autoconf"} {
		far.Sysctl("net.ipv6.conf.eth0."+s, "0")
	}
	far.Sysctl("net.ipv6.conf.eth0.addr_gen_mode", "1")
	if err := far.Configure("eth0", netns.Config{Up: true, Addresses: []string{"192.168.1.10/24", "fd00::10/64"},
		Routes: []string{"default via 192.168.1.1", "default via fd00::1"}}); err != nil {
		t.Fatal(err)
	}
	return l, far, arrives
}

// next is the next datagram with this payload: the kernel says things of its own, too.
func next(t *testing.T, arrives chan []byte, payload []byte) *packet.Packet {
	t.Helper()
	end := time.After(10 * time.Second)
	for {
		select {
		case b := <-arrives:
			if bytes.HasSuffix(b, payload) {
				p := packet.New()
				p.Load(b)
				if why := p.Parse(); why != packet.ReasonNone {
					t.Fatalf("%x: %v", b, why)
				}
				return p
			}
		case <-end:
			t.Fatalf("%q has not arrived", payload)
		}
	}
}

func TestDatagramsCrossBothWaysWhole(t *testing.T) {
	t.Parallel()
	l, far, arrives := open(t, 1500)
	for i, tt := range []struct{ to, answer string }{
		{"198.51.100.9:7", "ip4 198.51.100.9>192.168.1.10 / udp 7>%d / text \"an answer\""},
		{"[2001:db8::9]:7", "ip6 2001:db8::9>fd00::10 / udp 7>%d / text \"an answer\""},
	} {
		var c net.Conn
		netnstest.In(t, far, func() (err error) { c, err = net.Dial("udp", tt.to); return err })
		defer c.Close()
		for _, size := range []int{10, 1400, 4000} { // the last one in pieces
			question := bytes.Repeat([]byte{byte('a' + i)}, size)
			if _, err := c.Write(question); err != nil {
				t.Fatal(err)
			}
			p := next(t, arrives, question[:min(size, 200)])
			if p.Dst().IP() != netip.MustParseAddrPort(tt.to).Addr() || len(p.Data) > 1500 || p.FragOff == 0 && size < 1500 && !p.TransportSumOK() {
				t.Errorf("%s", packet.Text(p.Data))
			}
		}
		answer := packet.New()
		answer.Load(packet.MustBuild(fmt.Sprintf(tt.answer, c.LocalAddr().(*net.UDPAddr).Port)))
		if n, err := l.Send(0, []*packet.Packet{answer}); n != 1 || err != nil {
			t.Fatalf("%d sent, %v", n, err)
		}
		b := make([]byte, 100)
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := c.Read(b); err != nil || string(b[:n]) != "an answer" {
			t.Errorf("%q, %v", b[:n], err)
		}
	}
}

// A kernel that thinks its device cuts TCP and sums up would send what no network carries.
func TestTCPComesInSegmentsThatFit(t *testing.T) {
	t.Parallel()
	l, far, arrives := open(t, 1300)
	connected := make(chan net.Conn, 1)
	go far.Do(func() error {
		c, err := net.DialTimeout("tcp", "198.51.100.9:80", 20*time.Second)
		if err == nil {
			connected <- c
		}
		return err
	})
	var syn *packet.Packet
	for syn == nil || syn.Proto != packet.ProtoTCP {
		syn = next(t, arrives, nil)
	}
	src, _, _ := syn.Ports()
	seq := binary.BigEndian.Uint32(syn.L4Bytes()[4:])
	answer := packet.New()
	answer.Load(packet.MustBuild(fmt.Sprintf("ip4 198.51.100.9>192.168.1.10 / tcp 80>%d SA seq=1 ack=%d win=65535", src, seq+1)))
	if _, err := l.Send(0, []*packet.Packet{answer}); err != nil {
		t.Fatal(err)
	}
	c := <-connected
	defer c.Close()
	go c.Write(bytes.Repeat([]byte{'x'}, 8000))
	for range 3 {
		p := next(t, arrives, []byte("xxxx"))
		if len(p.Data) > 1300 || !p.TransportSumOK() {
			t.Errorf("%d bytes, checksum right: %v", len(p.Data), p.TransportSumOK())
		}
	}
}
