package tun_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/netns"
	"github.com/moat-router/moat/stack/netns/netnstest"
	"github.com/moat-router/moat/stack/packet"
	"github.com/moat-router/moat/stack/tun"
)

// open makes a device inside ns and closes it after the test.
func open(t *testing.T, ns *netns.NS, o tun.Options) *tun.TUN {
	t.Helper()
	var d *tun.TUN
	netnstest.In(t, ns, func() (err error) { d, err = tun.Open(o); return err })
	t.Cleanup(func() { d.Close() })
	return d
}

// serve runs Serve in the background and gives its result.
func serve(d *tun.TUN, h func([]*packet.Packet)) <-chan error {
	done := make(chan error, 1)
	go func() { done <- d.Serve(0, h) }()
	return done
}

func wait(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("Serve did not return")
		return nil
	}
}

func TestTCPCrossesTwoDevicesAsSuperSegments(t *testing.T) {
	t.Parallel()
	a, b := netnstest.New(t), netnstest.New(t)
	home := netnstest.New(t)
	left := open(t, home, tun.Options{Name: "left", MTU: 1500, Queues: 2})
	right := open(t, home, tun.Options{Name: "right", MTU: 1400})
	if o := left.Offloads(); !o.Csum || !o.TSO4 || !o.TSO6 {
		t.Fatalf("offloads %+v: checksum and TSO are the point of the header", o)
	}
	for d, end := range map[*tun.TUN]struct {
		ns       *netns.NS
		addr, gw string
	}{left: {a, "10.1.0.2/24", "10.1.0.1"}, right: {b, "10.2.0.2/24", "10.2.0.1"}} {
		if err := d.MoveToNamespace(end.ns.Fd()); err != nil {
			t.Fatal(err)
		}
		err := end.ns.Configure(d.Name(), netns.Config{Addresses: []string{end.addr}, Up: true, Routes: []string{"default via " + end.gw}})
		if err != nil {
			t.Fatal(err)
		}
	}
	var largest atomic.Int64
	forward := func(to *tun.TUN) func([]*packet.Packet) {
		return func(batch []*packet.Packet) {
			for _, p := range batch {
				if p.GSO != packet.GSONone && int64(len(p.Data)) > largest.Load() {
					largest.Store(int64(len(p.Data)))
				}
			}
			to.Send(0, batch)
		}
	}
	serve(left, forward(right))
	go left.Serve(1, forward(right))
	serve(right, forward(left))

	var ln net.Listener
	netnstest.In(t, b, func() (err error) { ln, err = net.Listen("tcp", "10.2.0.2:7"); return err })
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err == nil {
			io.Copy(c, c)
			c.Close()
		}
	}()
	var c net.Conn
	netnstest.In(t, a, func() (err error) { c, err = net.DialTimeout("tcp", "10.2.0.2:7", 5*time.Second); return err })
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	go func() { c.Write(sent); c.(*net.TCPConn).CloseWrite() }()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%d of %d bytes came back the same: %v", len(got), len(sent), err)
	}
	if n := largest.Load(); n < 8*1500 {
		t.Errorf("largest datagram %d bytes: no super-segments crossed", n)
	}
	if s := left.Stats(); s != (tun.Stats{}) {
		t.Errorf("stats %+v", s)
	}
}

func TestWithoutOffloadChecksumsAreComplete(t *testing.T) {
	t.Parallel()
	ns := netnstest.New(t)
	d := open(t, ns, tun.Options{Name: "plain", Up: true, NoOffload: true})
	if o := d.Offloads(); o != (link.Offloads{}) {
		t.Errorf("offloads %+v, want none", o)
	}
	if err := ns.Configure("plain", netns.Config{Addresses: []string{"10.9.0.1/24"}}); err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	serve(d, func(batch []*packet.Packet) {
		p := batch[0]
		if p.Parse() == packet.ReasonNone && p.Proto == packet.ProtoUDP && !p.V6 {
			p.CsumGood = false
			got <- fmt.Sprint("partial ", p.NeedsCsum, ", good ", p.TransportSumOK())
		}
	})
	netnstest.In(t, ns, func() error {
		c, err := net.Dial("udp4", "10.9.0.2:9")
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("x"))
		return err
	})
	select {
	case s := <-got:
		if s != "partial false, good true" {
			t.Error(s)
		}
	case <-time.After(5 * time.Second):
		t.Error("nothing arrived")
	}
}

func TestTakenNameIsRefused(t *testing.T) {
	t.Parallel()
	ns := netnstest.New(t)
	open(t, ns, tun.Options{Name: "mine"})
	netnstest.In(t, ns, func() error {
		if _, err := tun.Open(tun.Options{Name: "mine"}); !errors.Is(err, tun.ErrInUse) {
			t.Errorf("second TUN of that name: %v, want ErrInUse", err)
		}
		if _, err := tun.Open(tun.Options{Name: "lo"}); !errors.Is(err, tun.ErrInUse) {
			t.Errorf("a TUN called lo: %v, want ErrInUse", err)
		}
		if _, err := tun.Open(tun.Options{Name: "a-name-of-sixteen"}); err == nil {
			t.Error("a name longer than IFNAMSIZ was accepted")
		}
		return nil
	})
}

func TestAttachKeepsThePersistentDevice(t *testing.T) {
	t.Parallel()
	ns := netnstest.New(t)
	netnstest.In(t, ns, func() error {
		d := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "kept"}, Mode: netlink.TUNTAP_MODE_TUN,
			Flags: netlink.TUNTAP_MULTI_QUEUE_DEFAULTS, Queues: 1}
		err := netlink.LinkAdd(d)
		for _, f := range d.Fds {
			f.Close()
		}
		return err
	})
	netnstest.In(t, ns, func() error {
		if _, err := tun.Open(tun.Options{Name: "kept"}); !errors.Is(err, tun.ErrInUse) {
			t.Errorf("without Attach: %v, want ErrInUse", err)
		}
		d, err := tun.Open(tun.Options{Name: "kept", Attach: true})
		if err != nil {
			return err
		}
		d.Close()
		_, err = netlink.LinkByName("kept")
		return err
	})
}

func TestCloseWhileReadingFreesEverything(t *testing.T) {
	ns := netnstest.New(t) // not parallel: it counts the descriptors of the process
	count := func() int {
		e, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(e)
	}
	before := count()
	for range 5 {
		d := open(t, ns, tun.Options{Name: "brief", Queues: 2, Up: true})
		done := serve(d, func([]*packet.Packet) {})
		d.Close()
		if err := wait(t, done); !errors.Is(err, link.ErrClosed) {
			t.Errorf("Serve after Close: %v, want ErrClosed", err)
		}
		if _, err := d.Send(0, []*packet.Packet{packet.New()}); !errors.Is(err, link.ErrClosed) {
			t.Errorf("Send after Close: %v, want ErrClosed", err)
		}
		if err := d.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		netnstest.In(t, ns, func() error {
			if _, err := tun.Open(tun.Options{Name: "lo"}); err == nil {
				t.Error("opened lo")
			}
			if _, err := netlink.LinkByName("brief"); err == nil {
				t.Error("the device outlived Close")
			}
			return nil
		})
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// udp is 10.9.0.9:9 > 10.9.0.1:PORT with payload "x"; checksum 0 means none.
func udp(port uint16) *packet.Packet {
	b := []byte{0x45, 0, 0, 29, 0, 1, 0, 0, 64, 17, 0x66, 0xc0 - 2, 10, 9, 0, 9, 10, 9, 0, 1, 0, 9, byte(port >> 8), byte(port), 0, 9, 0, 0, 'x'}
	var sum uint32
	b[10], b[11] = 0, 0
	for i := 0; i < 20; i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	sum = sum&0xffff + sum>>16
	b[10], b[11] = byte(^sum>>8), byte(^sum)
	p := packet.New()
	p.Load(b)
	return p
}

func TestDownLinkRefusesAndComesBack(t *testing.T) {
	t.Parallel()
	ns := netnstest.New(t)
	d := open(t, ns, tun.Options{Name: "updown", Up: true})
	if err := ns.Configure("updown", netns.Config{Addresses: []string{"10.9.0.1/24"}}); err != nil {
		t.Fatal(err)
	}
	var c net.PacketConn
	netnstest.In(t, ns, func() (err error) { c, err = net.ListenPacket("udp4", "10.9.0.1:0"); return err })
	defer c.Close()
	p := udp(uint16(c.LocalAddr().(*net.UDPAddr).Port))
	got := make(chan string, 10)
	done := serve(d, func(batch []*packet.Packet) {
		if b := batch[0].Data; b[0] == 0x45 && b[9] == 17 {
			got <- fmt.Sprint(string(b[28:]), " ", batch[0].NeedsCsum)
		}
	})
	exchange := func() {
		t.Helper()
		if _, err := d.Send(0, []*packet.Packet{p}); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 10)
		c.SetDeadline(time.Now().Add(5 * time.Second))
		n, from, err := c.ReadFrom(buf)
		if err != nil || string(buf[:n]) != "x" {
			t.Fatalf("the kernel received %q, %v", buf[:n], err)
		}
		c.WriteTo([]byte("y"), from)
		select {
		case s := <-got:
			if s != "y true" {
				t.Errorf("we received %q, want payload y with a partial checksum", s)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("the answer did not come")
		}
	}
	exchange()
	if err := d.SetUp(false); err != nil {
		t.Fatal(err)
	}
	if n, err := d.Send(0, []*packet.Packet{p}); n != 0 || !errors.Is(err, link.ErrDown) {
		t.Errorf("Send while down: %d, %v; want 0, ErrDown", n, err)
	}
	if err := d.SetUp(true); err != nil {
		t.Fatal(err)
	}
	exchange()
	select {
	case err := <-done:
		t.Errorf("Serve gave up: %v", err)
	default:
	}
}

func TestDyingNamespaceEndsTheLink(t *testing.T) {
	t.Parallel()
	home := netnstest.New(t)
	far, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	d := open(t, home, tun.Options{Name: "doomed"})
	if err := d.MoveToNamespace(far.Fd()); err != nil {
		t.Fatal(err)
	}
	if err := far.Configure("doomed", netns.Config{Up: true}); err != nil {
		t.Fatal(err)
	}
	done := serve(d, func([]*packet.Packet) {})
	far.Close()
	if err := wait(t, done); !errors.Is(err, tun.ErrGone) || errors.Is(err, link.ErrClosed) {
		t.Errorf("Serve: %v, want ErrGone, which is not ErrClosed", err)
	}
	if _, err := d.Send(0, []*packet.Packet{udp(9)}); !errors.Is(err, tun.ErrGone) {
		t.Errorf("Send: %v, want ErrGone", err)
	}
}

func TestKernelDropsAreReadable(t *testing.T) {
	t.Parallel()
	ns := netnstest.New(t)
	d := open(t, ns, tun.Options{Name: "slow", Up: true})
	if err := ns.Configure("slow", netns.Config{Addresses: []string{"10.9.0.1/24"}}); err != nil {
		t.Fatal(err)
	}
	netnstest.In(t, ns, func() error { // nobody reads: the queue of the device overflows
		c, err := net.Dial("udp4", "10.9.0.2:9")
		if err != nil {
			return err
		}
		defer c.Close()
		for range 2000 {
			if _, err := c.Write([]byte("x")); err != nil && !errors.Is(err, unix.ENOBUFS) {
				return err
			}
		}
		return nil
	})
	if n, err := d.KernelDrops(); err != nil || n == 0 {
		t.Errorf("%d drops, %v; want some of 2000", n, err)
	}
}

func TestMTUFollows(t *testing.T) {
	t.Parallel()
	ns, far := netnstest.New(t), netnstest.New(t)
	d := open(t, ns, tun.Options{Name: "sized", MTU: 1280})
	if err := d.MoveToNamespace(far.Fd()); err != nil {
		t.Fatal(err)
	}
	if err := d.SetMTU(9000); err != nil || d.MTU() != 9000 {
		t.Fatalf("after the move: %d, %v", d.MTU(), err)
	}
	netnstest.In(t, far, func() error {
		l, err := netlink.LinkByName("sized")
		if err == nil && l.Attrs().MTU != 9000 {
			t.Errorf("the kernel's MTU is %d", l.Attrs().MTU)
		}
		return err
	})
}
