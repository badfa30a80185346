package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// parseRoute reads the words of ip route add that a host at the end of a TUN needs:
//
//	[unicast|unreachable|prohibit|blackhole] default|ADDR[/LEN] [via ADDR] [dev NAME] [src ADDR] [metric N]
//	[mtu N] [table N|main] [scope S] [proto P] [tos N] [onlink]
//
// dev is the interface that is meant when none is named; index finds others.
func parseRoute(words, dev string, index func(string) (int, error)) (*netlink.Route, error) {
	w := strings.Fields(words)
	if len(w) > 2 && w[0] == "ip" {
		w = w[1:]
	}
	if len(w) > 2 && w[0] == "route" && w[1] == "add" {
		w = w[2:]
	}
	r := &netlink.Route{Type: unix.RTN_UNICAST}
	if len(w) > 0 {
		if kind, ok := routeTypes[w[0]]; ok {
			r.Type, w = kind, w[1:]
		}
	}
	if len(w) == 0 {
		return nil, errors.New("want a destination: default, an address or a prefix")
	}
	dst, w := w[0], w[1:]
	for len(w) > 0 {
		key := w[0]
		if key == "onlink" {
			r.Flags |= int(netlink.FLAG_ONLINK)
			w = w[1:]
			continue
		}
		if len(w) == 1 {
			return nil, fmt.Errorf("%s wants a value", key)
		}
		if err := routeWord(r, key, w[1], &dev); err != nil {
			return nil, err
		}
		w = w[2:]
	}
	v6, err := routeDst(r, dst)
	if err != nil {
		return nil, err
	}
	for _, a := range []net.IP{r.Gw, r.Src} {
		if a != nil && v6 != (a.To4() == nil) {
			return nil, fmt.Errorf("%s is of the other family than %s", a, dst)
		}
	}
	if r.Type != unix.RTN_UNICAST {
		return r, nil
	}
	if r.Gw == nil && !v6 {
		r.Scope = netlink.SCOPE_LINK
	}
	r.LinkIndex, err = index(dev)
	return r, err
}

var routeTypes = map[string]int{
	"unicast": unix.RTN_UNICAST, "unreachable": unix.RTN_UNREACHABLE,
	"prohibit": unix.RTN_PROHIBIT, "blackhole": unix.RTN_BLACKHOLE,
}

// routeDst fills the destination and tells its family; "default" takes that of the gateway, as ip does.
func routeDst(r *netlink.Route, dst string) (v6 bool, err error) {
	if dst == "default" {
		v6 = r.Gw != nil && r.Gw.To4() == nil
		r.Dst = &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
		if v6 {
			r.Dst = &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
		}
		return v6, nil
	}
	p, err := netip.ParsePrefix(dst)
	if err != nil {
		a, aerr := netip.ParseAddr(dst)
		if aerr != nil {
			return false, fmt.Errorf("%q is neither default nor an address nor a prefix", dst)
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p != p.Masked() {
		return false, fmt.Errorf("%s has bits set behind its prefix: %s?", p, p.Masked())
	}
	r.Dst = &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
	return p.Addr().Is6(), nil
}

func routeWord(r *netlink.Route, key, value string, dev *string) error {
	number := func(into *int) error {
		n, err := strconv.ParseUint(value, 0, 31)
		if err != nil {
			return fmt.Errorf("%s %s: not a number", key, value)
		}
		*into = int(n)
		return nil
	}
	address := func(into *net.IP) error {
		a, err := netip.ParseAddr(value)
		if err != nil {
			return fmt.Errorf("%s %s: not an address", key, value)
		}
		*into = a.AsSlice()
		return nil
	}
	switch key {
	case "via":
		return address(&r.Gw)
	case "src":
		return address(&r.Src)
	case "dev", "oif":
		*dev = value
		return nil
	case "scope":
		scopes := map[string]netlink.Scope{"global": netlink.SCOPE_UNIVERSE, "site": netlink.SCOPE_SITE, "link": netlink.SCOPE_LINK, "host": netlink.SCOPE_HOST}
		scope, ok := scopes[value]
		if !ok {
			return fmt.Errorf("scope %s: want global, site, link or host", value)
		}
		r.Scope = scope
		return nil
	case "proto", "protocol":
		protocols := map[string]int{"kernel": unix.RTPROT_KERNEL, "boot": unix.RTPROT_BOOT, "static": unix.RTPROT_STATIC, "dhcp": unix.RTPROT_DHCP, "ra": unix.RTPROT_RA}
		p, ok := protocols[value]
		if !ok {
			return fmt.Errorf("proto %s: want kernel, boot, static, dhcp or ra", value)
		}
		r.Protocol = netlink.RouteProtocol(p)
		return nil
	case "tos", "dsfield":
		return number(&r.Tos)
	case "metric", "priority", "preference":
		return number(&r.Priority)
	case "mtu":
		return number(&r.MTU)
	case "table":
		if value == "main" {
			value = "254"
		}
		return number(&r.Table)
	}
	return fmt.Errorf("%q is not a word that is understood here (via, dev, src, metric, mtu, table, scope, proto, tos, onlink)", key)
}
