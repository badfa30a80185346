package tun

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/moat-router/moat/stack/netns"
)

// tunGetDevNetns is TUNGETDEVNETNS of linux/if_tun.h: _IO('T', 227).
const tunGetDevNetns = 0x54e3

// withLink runs f on the kernel's end wherever it lives now: the descriptor knows its namespace and its name, also
// after it was moved and renamed.
func (t *TUN) withLink(f func(*netlink.Handle, netlink.Link) error) error {
	q := t.queues[0]
	q.alive.RLock()
	defer q.alive.RUnlock()
	if t.closed.Load() {
		return fmt.Errorf("tun %s: closed", t.name)
	}
	name := t.name
	var req unix.Ifreq
	if unix.IoctlIfreq(q.fd, unix.TUNGETIFF, &req) == nil {
		name = req.Name()
	}
	var h *netlink.Handle
	ns, err := unix.IoctlRetInt(q.fd, tunGetDevNetns)
	if err == nil {
		defer unix.Close(ns)
		h, err = netns.Handle(ns)
	} else { // kernels before 5.5: assume that it has not moved
		h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
	}
	if err != nil {
		return fmt.Errorf("tun %s: netlink: %w", t.name, err)
	}
	defer h.Close()
	l, err := h.LinkByName(name)
	if err == nil {
		err = f(h, l)
	}
	if err != nil {
		return fmt.Errorf("tun %s: %w", t.name, err)
	}
	return nil
}

func (t *TUN) configure(o Options) error {
	return t.withLink(func(h *netlink.Handle, l netlink.Link) error {
		t.mtu.Store(int64(l.Attrs().MTU))
		if o.MTU != 0 && o.MTU != l.Attrs().MTU {
			if err := h.LinkSetMTU(l, o.MTU); err != nil {
				return fmt.Errorf("set mtu %d: %w", o.MTU, err)
			}
			t.mtu.Store(int64(o.MTU))
		}
		if o.Up {
			if err := h.LinkSetUp(l); err != nil {
				return fmt.Errorf("set up: %w", err)
			}
		}
		return nil
	})
}

// SetMTU changes the MTU of both ends.
func (t *TUN) SetMTU(mtu int) error {
	return t.withLink(func(h *netlink.Handle, l netlink.Link) error {
		if err := h.LinkSetMTU(l, mtu); err != nil {
			return fmt.Errorf("set mtu %d: %w", mtu, err)
		}
		t.mtu.Store(int64(mtu))
		return nil
	})
}

// SetUp sets the interface up or down. While it is down Send returns link.ErrDown and Serve waits.
func (t *TUN) SetUp(up bool) error {
	return t.withLink(func(h *netlink.Handle, l netlink.Link) error {
		if up {
			return h.LinkSetUp(l)
		}
		return h.LinkSetDown(l)
	})
}

// KernelDrops is how many datagrams the kernel dropped because this process did not read fast enough (tx_dropped of
// the interface).
func (t *TUN) KernelDrops() (n uint64, err error) {
	err = t.withLink(func(_ *netlink.Handle, l netlink.Link) error {
		if s := l.Attrs().Statistics; s != nil {
			n = s.TxDropped
		}
		return nil
	})
	return n, err
}

// MoveToNamespace moves the kernel's end to the network namespace that fd refers to. Its addresses, routes and state
// are lost there, as always in Linux; the queues stay with this process.
func (t *TUN) MoveToNamespace(fd int) error {
	return t.withLink(func(h *netlink.Handle, l netlink.Link) error {
		if err := h.LinkSetNsFd(l, fd); err != nil {
			return fmt.Errorf("move to another namespace: %w", err)
		}
		return nil
	})
}
