package router

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/moat-router/moat/stack/netns"
	"github.com/moat-router/moat/stack/netns/netnstest"
	"github.com/moat-router/moat/stack/packet"
	"github.com/moat-router/moat/stack/tun"
)

// arrivedBy is how many packets each queue of a device has brought.
func arrivedBy(r *Router, dev string, queues int) []uint64 {
	d := r.byName[dev]
	n := make([]uint64, queues)
	for w := range d.counts {
		var c LinkCount
		d.counts[w].rx.addTo(&c)
		n[w%queues] += c.Packets // workers of a device are numbered as its queues
	}
	return n
}

// TestFlowsStayOnTheirQueue: all packets of a connection are written to queues of one number, and the kernel steers what comes
// back to the queue that the flow was written to. So its packets come by that number on each side, NAT or not, from the second
// exchange on: before, the kernel goes by a hash, also for what it answers from within the write that brings the first packet.
func TestFlowsStayOnTheirQueue(t *testing.T) {
	t.Parallel()
	const queues, flows, rounds = 4, 24, 20
	home, inside, outside := netnstest.New(t), netnstest.New(t), netnstest.New(t)
	var devices []Device
	for _, d := range []struct {
		name, own, peer string
		ns              *netns.NS
	}{{"lan", "192.168.1.1/24", "192.168.1.10/24", inside}, {"wan", "203.0.113.1/24", "203.0.113.9/24", outside}} {
		var l *tun.TUN
		netnstest.In(t, home, func() (err error) { l, err = tun.Open(tun.Options{Name: d.name, Queues: queues}); return err })
		// The kernel's own IPv6 would be counted, too.
		err := errors.Join(l.MoveToNamespace(d.ns.Fd()), d.ns.Sysctl("net.ipv6.conf.all.disable_ipv6", "1"),
			d.ns.Configure(d.name, netns.Config{Addresses: []string{d.peer}, Up: true}))
		if err != nil {
			t.Fatal(err)
		}
		devices = append(devices, Device{Name: d.name, Addrs: [][2]string{{d.own, ""}}, Link: l})
	}
	if err := inside.Configure("lan", netns.Config{Routes: []string{"default via 192.168.1.1"}}); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	r, err := New(Config{Seed: 1, Devices: devices, Workers: 2 * queues,
		Clock:   func() packet.Time { return packet.Time(time.Since(start)) },
		RulesV4: Rules{"rules", "*nat\n-A POSTROUTING -o wan -j MASQUERADE --random\nCOMMIT\n"}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.Serve(ctx) }()
	defer func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()

	var ln net.Listener
	var u net.PacketConn
	netnstest.In(t, outside, func() (err error) {
		if ln, err = net.Listen("tcp", "203.0.113.9:7"); err == nil {
			u, err = net.ListenPacket("udp4", "203.0.113.9:7")
		}
		return err
	})
	defer ln.Close()
	defer u.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go io.Copy(c, c)
		}
	}()
	go func() {
		b := make([]byte, 100)
		for {
			n, from, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			u.WriteTo(b[:n], from)
		}
	}()

	used := map[int]bool{}
	for i := range flows {
		network := []string{"udp4", "tcp4"}[i%2]
		var c net.Conn
		netnstest.In(t, inside, func() (err error) { c, err = net.DialTimeout(network, "203.0.113.9:7", 20*time.Second); return err })
		defer c.Close() // not before the end: its last packets would be counted among another flow's
		c.SetDeadline(time.Now().Add(20 * time.Second))
		exchange := func(n int) {
			b := make([]byte, 10)
			for range n {
				if _, err := c.Write(b); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(c, b); err != nil {
					t.Fatalf("flow %d, %s: %v", i, network, err)
				}
			}
		}
		exchange(1)
		before := [2][]uint64{arrivedBy(r, "lan", queues), arrivedBy(r, "wan", queues)}
		exchange(rounds)
		var by [2][]int
		for side, dev := range []string{"lan", "wan"} {
			for q, n := range arrivedBy(r, dev, queues) {
				switch n -= before[side][q]; {
				case n <= 2: // late acknowledgements of the flow before
				case n < rounds:
					t.Errorf("flow %d, %s: queue %d of %s has brought %d packets of %d or more", i, network, q, dev, n, rounds)
				default:
					by[side] = append(by[side], q)
				}
			}
		}
		if len(by[0]) != 1 || fmt.Sprint(by[0]) != fmt.Sprint(by[1]) {
			t.Errorf("flow %d, %s: came by queues %v of lan, and back by queues %v of wan", i, network, by[0], by[1])
			continue
		}
		used[by[0][0]] = true
	}
	if len(used) < 2 {
		t.Errorf("%d flows used queues %v: they are not spread", flows, used)
	}
}
