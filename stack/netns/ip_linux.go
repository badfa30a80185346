package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// IP runs commands of ip(8) in the namespace, separated by ";", with or without the word ip:
//
//	addr add|replace|del ADDR/LEN dev NAME      addr flush dev NAME
//	route add|replace|change|append|del WORDS   (those of Config.Routes)
//	rule add|del [from PREFIX] [to PREFIX] [iif NAME] [fwmark N] [priority N] lookup TABLE
//	link set [dev] NAME up|down|mtu N
//
// It needs no program ip. Those before one that fails have happened.
func (n *NS) IP(commands string) error {
	return n.netlink(func(h *netlink.Handle) error {
		for line := range strings.SplitSeq(commands, ";") {
			w := strings.Fields(line)
			if len(w) > 0 && w[0] == "ip" {
				w = w[1:]
			}
			for len(w) > 0 && (w[0] == "-4" || w[0] == "-6") {
				w = w[1:]
			}
			if len(w) == 0 {
				continue
			}
			if err := ipCommand(h, w); err != nil {
				return fmt.Errorf("%q: %w", strings.Join(w, " "), err)
			}
		}
		return nil
	})
}

func ipCommand(h *netlink.Handle, w []string) error {
	if len(w) < 3 {
		return errors.New("want addr, route, rule or link, a verb, and what it is about")
	}
	object, verb, rest := w[0], w[1], w[2:]
	switch object {
	case "a", "addr", "address":
		return ipAddr(h, verb, rest)
	case "r", "route":
		return ipRoute(h, verb, rest)
	case "ru", "rule":
		return ipRule(h, verb, rest)
	case "l", "link":
		if verb == "set" {
			return ipLinkSet(h, rest)
		}
		return fmt.Errorf("link %s: only set is understood here", verb)
	}
	return fmt.Errorf("%q is none of addr, route, rule, link", object)
}

func ipAddr(h *netlink.Handle, verb string, w []string) error {
	addr := ""
	if w[0] != "dev" {
		addr, w = w[0], w[1:]
	}
	if len(w) != 2 || w[0] != "dev" {
		return errors.New("want ADDRESS/LENGTH dev NAME")
	}
	l, err := h.LinkByName(w[1])
	if err != nil {
		return err
	}
	switch verb {
	case "add":
		if err := addAddress(h, l, addr); err != nil {
			return err
		}
		return awaitLocal(h, []string{addr})
	case "replace", "change":
		if err := addAddress(h, l, addr); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		return awaitLocal(h, []string{addr})
	case "del", "delete":
		a, err := netlink.ParseAddr(addr)
		if err != nil {
			return err
		}
		return h.AddrDel(l, a)
	case "flush":
		list, err := h.AddrList(l, netlink.FAMILY_ALL)
		for i := range list {
			if e := h.AddrDel(l, &list[i]); !errors.Is(e, unix.EADDRNOTAVAIL) { // a secondary goes with its primary
				err = errors.Join(err, e)
			}
		}
		return err
	}
	return fmt.Errorf("addr %s: want add, replace, del or flush", verb)
}

func ipRoute(h *netlink.Handle, verb string, w []string) error {
	r, err := parseRoute(strings.Join(w, " "), "", func(name string) (int, error) {
		if name == "" { // by the gateway, as ip(8) leaves it to the kernel
			return 0, nil
		}
		l, err := h.LinkByName(name)
		if err != nil {
			return 0, err
		}
		return l.Attrs().Index, nil
	})
	if err != nil {
		return err
	}
	switch verb {
	case "add":
		return h.RouteAdd(r)
	case "replace":
		return h.RouteReplace(r)
	case "change":
		return h.RouteChange(r)
	case "append":
		return h.RouteAppend(r)
	case "del", "delete":
		if r.Gw == nil {
			r.Scope = netlink.SCOPE_NOWHERE // any scope
		}
		return h.RouteDel(r)
	}
	return fmt.Errorf("route %s: want add, replace, change, append or del", verb)
}

func ipRule(h *netlink.Handle, verb string, w []string) error {
	r := netlink.NewRule()
	r.Family = netlink.FAMILY_V4
	for ; len(w) >= 2; w = w[2:] {
		if err := ruleWord(r, w[0], w[1]); err != nil {
			return err
		}
	}
	switch {
	case len(w) > 0:
		return fmt.Errorf("%s wants a value", w[0])
	case verb == "add":
		return h.RuleAdd(r)
	case verb == "del" || verb == "delete":
		return h.RuleDel(r)
	}
	return fmt.Errorf("rule %s: want add or del", verb)
}

func ruleWord(r *netlink.Rule, key, value string) error {
	number := func() (int, error) {
		n, err := strconv.ParseUint(value, 0, 31)
		if err != nil {
			return 0, fmt.Errorf("%s %s: not a number", key, value)
		}
		return int(n), nil
	}
	var err error
	switch key {
	case "from", "to":
		if value == "all" {
			return nil
		}
		p, err := netip.ParsePrefix(value)
		if a, aerr := netip.ParseAddr(value); aerr == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return fmt.Errorf("%s %s: want an address or a prefix", key, value)
		}
		if p.Addr().Is6() {
			r.Family = netlink.FAMILY_V6
		}
		n := &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
		if key == "from" {
			r.Src = n
		} else {
			r.Dst = n
		}
	case "iif":
		r.IifName = value
	case "priority", "pref", "order":
		r.Priority, err = number()
	case "fwmark":
		var mark int
		mark, err = number()
		r.Mark = uint32(mark)
	case "lookup", "table":
		if r.Table = map[string]int{"main": unix.RT_TABLE_MAIN, "local": unix.RT_TABLE_LOCAL, "default": unix.RT_TABLE_DEFAULT}[value]; r.Table == 0 {
			r.Table, err = number()
		}
	default:
		return fmt.Errorf("%q is not a word that is understood here (from, to, iif, fwmark, priority, lookup)", key)
	}
	return err
}

func ipLinkSet(h *netlink.Handle, w []string) error {
	if w[0] == "dev" {
		w = w[1:]
	}
	if len(w) < 2 {
		return errors.New("want NAME and up, down or mtu N")
	}
	l, err := h.LinkByName(w[0])
	if err != nil {
		return err
	}
	switch {
	case w[1] == "up" && len(w) == 2:
		return h.LinkSetUp(l)
	case w[1] == "down" && len(w) == 2:
		return h.LinkSetDown(l)
	case w[1] == "mtu" && len(w) == 3:
		mtu, err := strconv.Atoi(w[2])
		if err != nil {
			return fmt.Errorf("mtu %q: not a number", w[2])
		}
		return h.LinkSetMTU(l, mtu)
	}
	return fmt.Errorf("%q: want up, down or mtu N", strings.Join(w[1:], " "))
}

// Watch calls changed, on a goroutine of its own, after addresses, routes or links of the namespace have changed,
// whoever did it, until stop is called.
func (n *NS) Watch(changed func()) (stop func(), err error) {
	s, err := nl.SubscribeAt(vnetns.NsHandle(n.Fd()), vnetns.None(), unix.NETLINK_ROUTE, unix.RTNLGRP_LINK,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("namespace %s: netlink: %w", n.name, err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		for {
			_, _, err := s.Receive()
			if err != nil && !errors.Is(err, unix.ENOBUFS) { // more has changed than fits: look again
				return
			}
			changed()
		}
	}()
	return func() { s.Close(); <-over }, nil
}

// View asks a namespace for addresses and routes, again and again. Close it.
type View struct{ h *netlink.Handle }

// View opens one.
func (n *NS) View() (*View, error) {
	h, err := Handle(n.Fd())
	if err != nil {
		return nil, fmt.Errorf("namespace %s: netlink: %w", n.name, err)
	}
	return &View{h}, nil
}

// Close ends it.
func (v *View) Close() { v.h.Close() }

// Interface tells the addresses of an interface, and whether it is up.
func (v *View) Interface(dev string) (addrs []netip.Addr, up bool, err error) {
	l, err := v.h.LinkByName(dev)
	if err != nil {
		return nil, false, err
	}
	list, err := v.h.AddrList(l, netlink.FAMILY_ALL)
	for _, a := range list {
		if addr, ok := netip.AddrFromSlice(a.IP); ok {
			addrs = append(addrs, addr.Unmap())
		}
	}
	return addrs, l.Attrs().Flags&net.FlagUp != 0, err
}

// Source is the address that the kernel chooses for a datagram to dst; the zero Addr if it knows no way.
func (v *View) Source(dst netip.Addr) netip.Addr {
	list, err := v.h.RouteGet(net.IP(dst.AsSlice()))
	if err != nil || len(list) == 0 {
		return netip.Addr{}
	}
	src, _ := netip.AddrFromSlice(list[0].Src)
	return src.Unmap()
}

// Gateway is the next hop of a datagram from src to dst through interface dev; the zero Addr if dst is a neighbour,
// 255.255.255.255 if it is the broadcast address of a subnet.
func (v *View) Gateway(dev string, src, dst netip.Addr) netip.Addr {
	list, err := v.h.RouteGetWithOptions(net.IP(dst.AsSlice()), &netlink.RouteGetOptions{Oif: dev, SrcAddr: net.IP(src.AsSlice())})
	if err != nil || len(list) == 0 {
		return netip.Addr{}
	}
	if list[0].Type == unix.RTN_BROADCAST {
		return netip.AddrFrom4([4]byte{255, 255, 255, 255})
	}
	gw, _ := netip.AddrFromSlice(list[0].Gw)
	return gw.Unmap()
}
