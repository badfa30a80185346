package lab

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/moat-router/moat/integration/lab/topology"
	"github.com/moat-router/moat/integration/lab/wire"
	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/netns"
	"github.com/moat-router/moat/stack/tun"
	"github.com/moat-router/moat/stack/veth"
)

// kernelHost is a network namespace with one end of a TUN device in it for each interface; the other ends are the host's
// ports.
type kernelHost struct {
	ns   *netns.NS
	near *netns.NS // where the other ends of its interfaces are, if they are Ethernet devices
	view *netns.View
	stop func() // of watching
	devs []*kernelDev

	mu      sync.Mutex
	closers []io.Closer
	covered *netns.Covered // once a process was started that reads of name servers
	closed  bool
}

// kernelDev is what the network has to know of an interface, as it was when the kernel last told of a change.
type kernelDev struct {
	name  string
	up    atomic.Bool
	addrs atomic.Pointer[[]netip.Addr]
	hops  sync.Map // src and dst to gateway
}

func (l *Lab) newKernelHost(c *topology.Host) (m machine, cables []*wire.Port, err error) {
	h := &kernelHost{}
	defer func() {
		if err != nil {
			h.Close()
			m, cables = nil, nil
		}
	}()
	if h.ns, err = netns.New(); err != nil {
		return nil, nil, err
	}
	if h.view, err = h.ns.View(); err != nil {
		return nil, nil, err
	}
	plugs := c.Plugs()
	for i := range plugs {
		f := &plugs[i]
		t, err := h.device(f.Name, l.Topology.MTUOf(f), l.impaired(f.Network))
		if err != nil {
			return nil, nil, err
		}
		h.keep(t)
		d := &kernelDev{name: f.Name}
		d.addrs.Store(new([]netip.Addr))
		h.devs = append(h.devs, d)
		cables = append(cables, l.plug(f, wire.Port{Name: c.Name, Link: t, // the network closes it, too
			Owns:    d.owns,
			Up:      d.up.Load,
			NextHop: func(src, dst netip.Addr) netip.Addr { return d.hop(h.view, src, dst) },
		}))
		quiet(h.ns, f.Name)
		if err := h.ns.Configure(f.Name, netns.Config{Up: true, Addresses: f.Addresses}); err != nil {
			return nil, nil, err
		}
	}
	for _, words := range c.Routes {
		if err := h.ns.IP("route add " + words); err != nil {
			return nil, nil, err
		}
	}
	for _, words := range c.IPRules {
		if err := h.ns.IP("rule add " + words); err != nil {
			return nil, nil, err
		}
	}
	h.look()
	h.stop, err = h.ns.Watch(h.look)
	return h, cables, err
}

// device makes an interface of the host and gives its other end: a TUN device, or where those may not be opened a pair of
// Ethernet devices.
func (h *kernelHost) device(name string, mtu int, noOffload bool) (t link.Link, err error) {
	if netns.CanOpenTUN() == nil {
		// Opened in there, the device never appears anywhere else.
		err = h.ns.Do(func() (err error) {
			t, err = tun.Open(tun.Options{Name: name, MTU: mtu, NoOffload: noOffload})
			return err
		})
		return t, err
	}
	if h.near == nil {
		if h.near, err = netns.New(); err != nil {
			return nil, err
		}
	}
	return veth.Open(h.near, h.ns, name, mtu)
}

// look asks the kernel what the interfaces' addresses are, and forgets the routes that it knew.
func (h *kernelHost) look() {
	for _, d := range h.devs {
		if list, up, err := h.view.Interface(d.name); err == nil {
			d.addrs.Store(&list)
			d.up.Store(up)
		}
		d.hops.Clear()
	}
}

func (d *kernelDev) owns(a netip.Addr) bool { return slices.Contains(*d.addrs.Load(), a) }

// hop asks the kernel for a route, once.
func (d *kernelDev) hop(v *netns.View, src, dst netip.Addr) netip.Addr {
	key := [2]netip.Addr{src, dst}
	if gw, known := d.hops.Load(key); known {
		return gw.(netip.Addr)
	}
	gw := v.Gateway(d.name, src, dst)
	d.hops.Store(key, gw)
	return gw
}

// IP runs commands of ip(8).
func (h *kernelHost) IP(commands string) error {
	defer h.look()
	return h.ns.IP(commands)
}

// Source is the address from which the host speaks to dst.
func (h *kernelHost) Source(dst netip.Addr) netip.Addr { return h.view.Source(dst) }

// Addresses are those of an interface.
func (h *kernelHost) Addresses(dev string) []netip.Addr {
	for _, d := range h.devs {
		if d.name == dev {
			return *d.addrs.Load()
		}
	}
	return nil
}

// quiet keeps the kernel from talking on its own. Where /proc/sys is read-only, as in some containers, it talks a
// little, and nobody listens.
func quiet(ns *netns.NS, dev string) {
	for _, s := range []string{"router_solicitations", "accept_ra", "autoconf"} {
		ns.Sysctl("net.ipv6.conf."+dev+"."+s, "0")
	}
	ns.Sysctl("net.ipv6.conf."+dev+".addr_gen_mode", "1")
	ns.Sysctl("net.ipv4.ping_group_range", "0 2147483647")
}

func (h *kernelHost) keep(c io.Closer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closers = append(h.closers, c)
	if h.closed {
		c.Close()
	}
}

// Close ends the host's services and lets go of its namespace; the device goes with its network.
func (h *kernelHost) Close() error {
	h.mu.Lock()
	h.closed = true
	for _, c := range h.closers {
		c.Close()
	}
	h.closers = nil
	if h.covered != nil {
		h.covered.Close()
		h.covered = nil
	}
	h.mu.Unlock()
	if h.stop != nil {
		h.stop()
	}
	if h.view != nil {
		h.view.Close()
	}
	if h.near != nil {
		h.near.Close()
	}
	if h.ns == nil {
		return nil
	}
	return h.ns.Close()
}

// Send gives a datagram to the host's kernel as a raw socket does: it routes, and leaves the headers alone.
func (h *kernelHost) Send(b []byte) error {
	if len(b) < 20 {
		return errors.New("not a datagram")
	}
	return h.ns.Do(func() error {
		fam := unix.AF_INET
		var to unix.Sockaddr
		if b[0]>>4 == 6 {
			if len(b) < 40 {
				return errors.New("not a datagram")
			}
			fam, to = unix.AF_INET6, &unix.SockaddrInet6{Addr: [16]byte(b[24:40])}
		} else {
			to = &unix.SockaddrInet4{Addr: [4]byte(b[16:20])}
		}
		fd, err := unix.Socket(fam, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		defer unix.Close(fd)
		return os.NewSyscallError("sendto", unix.Sendto(fd, b, 0, to))
	})
}

// EndProcesses ends what runs inside of kernel hosts, and what that has started, as Close does: background jobs of a shell
// that is gone would keep their namespaces.
func (l *Lab) EndProcesses() error {
	var list []*netns.NS
	for _, h := range l.hosts {
		if k, ok := h.machine.(*kernelHost); ok && k.alive() {
			list = append(list, k.ns)
		}
	}
	return netns.EndProcesses(list...)
}

func (h *kernelHost) alive() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.closed
}

// Start starts a process inside a kernel host. It ends with the lab, and so does what it has started.
func (h *Host) Start(cmd *exec.Cmd) error {
	k, ok := h.machine.(*kernelHost)
	if !ok {
		return fmt.Errorf("host %s is virtual: no process can run in it; this needs kernel hosts", h.Name)
	}
	cmd.Env = append(cmd.Environ(), "MOAT_HOST="+h.Name, "PS1="+strings.ReplaceAll(h.Name, `\`, "")+"# ")
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	}
	return k.start(h, cmd)
}

// Enter is the command by which another terminal gets into a kernel host; "" for a virtual one.
func (h *Host) Enter() string {
	k, ok := h.machine.(*kernelHost)
	if !ok {
		return ""
	}
	if os.Getenv(inside) != "" {
		return fmt.Sprintf("nsenter --target %d --user --preserve-credentials --net=%s", os.Getpid(), k.ns.Path())
	}
	return "nsenter --net=" + k.ns.Path()
}
