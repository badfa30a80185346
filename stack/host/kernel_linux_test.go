package host_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/moat-router/moat/stack/host"
	"github.com/moat-router/moat/stack/netns"
	"github.com/moat-router/moat/stack/netns/netnstest"
	"github.com/moat-router/moat/stack/tun"
)

// The kernel's TCP at one end of a TUN, gVisor's at the other.
func TestSocketsTalkToTheKernel(t *testing.T) {
	t.Parallel()
	ns := netnstest.New(t)
	var d *tun.TUN
	netnstest.In(t, ns, func() (err error) { d, err = tun.Open(tun.Options{Name: "kernel", Up: true}); return err })
	if err := ns.Configure("kernel", netns.Config{Addresses: []string{"10.0.0.1/24", "fd00::1/64"}}); err != nil {
		t.Fatal(err)
	}
	h, err := host.NewHost(d, host.HostConfig{Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24"), netip.MustParsePrefix("fd00::2/64")}})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for _, s := range []string{"10.0.0.2:7", "[fd00::2]:7"} {
		if _, err := h.Serve(host.Echo, "tcp", netip.MustParseAddrPort(s)); err != nil {
			t.Fatal(err)
		}
		var c net.Conn
		netnstest.In(t, ns, func() (err error) { c, err = net.DialTimeout("tcp", s, 5*time.Second); return err })
		sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		c.SetDeadline(time.Now().Add(30 * time.Second))
		go func() { c.Write(sent); c.(*net.TCPConn).CloseWrite() }()
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%s: %d of %d bytes came back the same: %v", s, len(got), len(sent), err)
		}
		c.Close()
	}
	for _, dst := range []string{"10.0.0.1", "fd00::1"} {
		if a, err := h.Ping(netip.MustParseAddr(dst), host.Probe{Size: 56, Timeout: 5 * time.Second}); err != nil || !a.Reply {
			t.Errorf("ping %s: %v, %v", dst, a, err)
		}
	}
	var ln net.Listener
	netnstest.In(t, ns, func() (err error) { ln, err = net.Listen("tcp", "10.0.0.1:80"); return err })
	defer ln.Close()
	go func() {
		if c, err := ln.Accept(); err == nil {
			io.WriteString(c, "from the kernel")
			c.Close()
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := h.DialTCP(ctx, netip.AddrPort{}, netip.MustParseAddrPort("10.0.0.1:80"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if b, err := io.ReadAll(c); string(b) != "from the kernel" {
		t.Errorf("%q, %v", b, err)
	}
}
