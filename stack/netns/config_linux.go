package netns

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// netlink runs f with a route socket in the namespace.
func (n *NS) netlink(f func(*netlink.Handle) error) error {
	h, err := Handle(n.Fd())
	if err != nil {
		return fmt.Errorf("namespace %s: netlink: %w", n.name, err)
	}
	defer h.Close()
	return f(h)
}

// Configure furnishes interface dev: MTU, sysctls, addresses, up, routes, in this order.
func (n *NS) Configure(dev string, c Config) error {
	for _, s := range c.Sysctls {
		name, value, ok := strings.Cut(s, "=")
		if !ok {
			return fmt.Errorf("namespace %s: sysctl %q: want name=value", n.name, s)
		}
		if err := n.Sysctl(strings.TrimSpace(name), strings.TrimSpace(value)); err != nil {
			return err
		}
	}
	err := n.netlink(func(h *netlink.Handle) error {
		l, err := h.LinkByName(dev)
		if err != nil {
			return err
		}
		if c.MTU != 0 {
			if err := h.LinkSetMTU(l, c.MTU); err != nil {
				return fmt.Errorf("mtu %d: %w", c.MTU, err)
			}
		}
		for _, a := range c.Addresses {
			if err := addAddress(h, l, a); err != nil {
				return fmt.Errorf("address %s: %w", a, err)
			}
		}
		if c.Up {
			if err := h.LinkSetUp(l); err != nil {
				return fmt.Errorf("up: %w", err)
			}
			if err := awaitLocal(h, c.Addresses); err != nil {
				return err
			}
		}
		for _, words := range c.Routes {
			r, err := parseRoute(words, dev, func(name string) (int, error) {
				l, err := h.LinkByName(name)
				if err != nil {
					return 0, err
				}
				return l.Attrs().Index, nil
			})
			if err == nil {
				err = h.RouteAdd(r)
			}
			if err != nil {
				return fmt.Errorf("route %q: %w", words, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("namespace %s: interface %s: %w", n.name, dev, err)
	}
	return nil
}

// awaitLocal waits until IPv6 addresses are the host's own: the kernel makes their local routes in a work queue, after
// it has said that the address is there and the link is up. Whoever sends before that is not heard.
func awaitLocal(h *netlink.Handle, addresses []string) error {
	const pause, patience = time.Millisecond, 5 * time.Second
	for _, s := range addresses {
		local, _, _ := strings.Cut(s, " ")
		local, _, _ = strings.Cut(local, "/")
		ip := net.ParseIP(local)
		if ip == nil || ip.To4() != nil {
			continue
		}
		for waited := time.Duration(0); ; waited += pause {
			routes, err := h.RouteGet(ip)
			if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
				break
			}
			if waited > patience {
				return fmt.Errorf("address %s: the kernel has made no local route for it in %s", local, patience)
			}
			time.Sleep(pause)
		}
	}
	return nil
}

// addAddress adds one address; IPv6 without duplicate address detection, since a TUN has no neighbours to ask and an
// address should work at once.
func addAddress(h *netlink.Handle, l netlink.Link, s string) error {
	local, peer, hasPeer := strings.Cut(s, " peer ")
	if hasPeer && !strings.Contains(local, "/") {
		local += "/32"
		if strings.Contains(local, ":") {
			local = strings.TrimSuffix(local, "/32") + "/128"
		}
	}
	a, err := netlink.ParseAddr(strings.TrimSpace(local))
	if err != nil {
		return fmt.Errorf("want an address with its prefix length, as 192.168.42.2/24: %w", err)
	}
	if hasPeer {
		if a.Peer, err = netlink.ParseIPNet(strings.TrimSpace(peer)); err != nil {
			return fmt.Errorf("peer: %w", err)
		}
	}
	if a.IP.To4() == nil {
		a.Flags |= unix.IFA_F_NODAD
	}
	return h.AddrAdd(l, a)
}

// Sysctl sets a sysctl under net., by its name with dots (a slash stands for a dot inside a name, as in sysctl(8)).
func (n *NS) Sysctl(name, value string) error {
	if !strings.HasPrefix(name, "net.") && !strings.HasPrefix(name, "net/") {
		return fmt.Errorf("sysctl %s: only net.* belongs to a network namespace", name)
	}
	path := name
	if strings.IndexByte(name, '.') == strings.IndexAny(name, "./") {
		path = strings.NewReplacer(".", "/", "/", ".").Replace(name)
	}
	for _, part := range strings.Split(path, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("sysctl %s: not a name", name)
		}
	}
	err := n.Do(func() error { return os.WriteFile("/proc/sys/"+path, []byte(value), 0) })
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("sysctl %s: this kernel does not have it", name)
	case err != nil:
		return fmt.Errorf("sysctl %s=%s: %w", name, value, err)
	}
	return nil
}
