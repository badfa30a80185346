package topology

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/moat-router/moat/integration/lab/dns"
	"github.com/moat-router/moat/integration/lab/pattern"
	"github.com/moat-router/moat/stack/packet"
)

// Kind is the key that says what a check does: "ping", "connect", "http", "traceroute", "send", "receive", "never",
// "conntrack", "advance", "ip", "link" or "resolve".
func (c *Check) Kind() string {
	kinds := c.kinds()
	if len(kinds) == 0 {
		return ""
	}
	return kinds[0]
}

func (c *Check) kinds() (list []string) {
	add := func(name string, set bool) {
		if set {
			list = append(list, name)
		}
	}
	add("ping", c.Ping != "")
	add("connect", c.Connect != "")
	add("http", c.HTTP != "")
	add("traceroute", c.Traceroute != "")
	add("send", c.Send != "")
	add("receive", c.Receive != nil && c.Send == "")
	add("never", c.Never != nil)
	add("conntrack", c.Conntrack != nil)
	add("advance", c.Advance != 0)
	add("ip", c.IP != nil)
	add("link", c.Link != nil)
	add("resolve", c.Resolve != "")
	return list
}

// verify tells what is wrong with a check.
func (c *Check) verify(t *Topology) error {
	kinds := c.kinds()
	switch {
	case len(kinds) == 0:
		return fmt.Errorf("a check needs one of ping, connect, http, traceroute, send, receive, never, conntrack, advance, ip, link, resolve")
	case len(kinds) > 1:
		return fmt.Errorf("a check does one thing; this one has %s", strings.Join(kinds, " and "))
	}
	switch kind := kinds[0]; kind {
	case "ping", "connect", "http", "traceroute", "send", "resolve":
		if c.From == "" {
			return fmt.Errorf("%s: from which host? Add \"from:\"", kind)
		}
		if t.Host(c.From) == nil {
			return t.noHost("from", c.From)
		}
	case "never":
		if c.Never.Network != "" && t.Network(c.Never.Network) == nil {
			return t.noNetwork("never", c.Never.Network)
		}
	case "conntrack":
		if t.Router(c.Conntrack.Router) == nil {
			return t.noRouter("conntrack", c.Conntrack.Router)
		}
	case "link":
		if err := c.Link.verify(t); err != nil {
			return fmt.Errorf("link: %w", err)
		}
	case "ip":
		if err := t.verifyMachine("ip", c.IP.Host, c.IP.Router); err != nil {
			return err
		}
		if strings.TrimSpace(c.IP.Run) == "" {
			return fmt.Errorf("ip: run: what? Say \"route replace ...\" or \"addr add ...\"")
		}
	}
	if c.Receive != nil && t.Host(c.Receive.Host) == nil {
		return t.noHost("receive", c.Receive.Host)
	}
	if c.Connect != "" {
		u, err := url.Parse(c.Connect)
		if err != nil || u.Scheme != "tcp" && u.Scheme != "udp" || u.Port() == "" {
			return fmt.Errorf("connect: %q: want tcp://ADDRESS:PORT or udp://ADDRESS:PORT", c.Connect)
		}
	}
	if c.HTTP != "" {
		u, err := url.Parse(c.HTTP)
		if err != nil || u.Scheme != "http" || u.Host == "" {
			return fmt.Errorf("http: %q: want http://ADDRESS/", c.HTTP)
		}
	}
	return c.verifyDetails(t)
}

// verifyDetails reads what would otherwise be found out when the check runs: names, addresses and packet notation.
func (c *Check) verifyDetails(t *Topology) error {
	for _, target := range []struct{ kind, name string }{
		{"ping", c.Ping}, {"traceroute", c.Traceroute}, {"connect", hostname(c.Connect)}, {"http", hostname(c.HTTP)},
	} {
		if _, err := netip.ParseAddr(target.name); target.name != "" && err != nil && t.Host(target.name) == nil && len(t.DNS) == 0 {
			return t.noHost(target.kind, target.name) // a name server may know other names
		}
	}
	if err := c.verifyResolve(t); err != nil {
		return err
	}
	for _, a := range []struct{ key, text string }{{"source", c.Source}, {"error_by", c.ErrorBy}} {
		if _, err := netip.ParseAddr(a.text); a.text != "" && err != nil {
			return fmt.Errorf("%s: %q is not an address", a.key, a.text)
		}
	}
	if c.Send != "" {
		if _, err := packet.Build(c.Send); err != nil {
			return fmt.Errorf("send: %w", err)
		}
	}
	if c.Receive != nil {
		if err := verifyPattern(c.Receive.Match); err != nil {
			return fmt.Errorf("receive: %w", err)
		}
	}
	if c.Never != nil {
		if err := verifyPattern(c.Never.Match); err != nil {
			return fmt.Errorf("never: %w", err)
		}
	}
	if kind := c.Kind(); c.Size != 0 && kind != "ping" && kind != "connect" || c.DF && kind != "ping" {
		return fmt.Errorf("%s: size belongs to ping and connect, df to ping", kind)
	}
	if c.Size < 0 || c.Size > maxSize {
		return fmt.Errorf("size %d: want 1 to %d", c.Size, maxSize)
	}
	return nil
}

// verifyPattern reads a pattern, and refuses one that could never match: a datagram begins with its IP header.
func verifyPattern(match string) error {
	if _, err := pattern.Parse(match); err != nil {
		return err
	}
	if first := strings.Fields(match)[0]; first != "ip4" && first != "ip6" && first != "*" {
		return fmt.Errorf("pattern %q: a datagram begins with ip4 or ip6; say \"* / %s\" for either", match, match)
	}
	return nil
}

// verifyMachine wants the name of a host or of a router.
func (t *Topology) verifyMachine(what, host, router string) error {
	switch {
	case host != "" && router != "":
		return fmt.Errorf("%s: host or router, not both", what)
	case host != "" && t.Host(host) == nil:
		return t.noHost(what, host)
	case host == "" && t.Router(router) == nil:
		return t.noRouter(what, router)
	}
	return nil
}

func (c *Cable) verify(t *Topology) error {
	if c.Up == nil {
		return fmt.Errorf("say \"up: false\" to pull the cable, \"up: true\" to plug it in again")
	}
	if c.Network != "" {
		if c.Host != "" || c.Router != "" || c.Interface != "" {
			return fmt.Errorf("a network, or the interface of a host or router; not both")
		}
		if t.Network(c.Network) == nil {
			return t.noNetwork("network", c.Network)
		}
		return nil
	}
	if err := t.verifyMachine("of what", c.Host, c.Router); err != nil {
		return err
	}
	plugs := []Interface(nil)
	if c.Host != "" {
		plugs = t.Host(c.Host).Plugs()
		if c.Interface == "" && len(plugs) == 1 {
			c.Interface = plugs[0].Name
		}
	} else {
		plugs = t.Router(c.Router).Interfaces
	}
	var names []string
	for _, f := range plugs {
		if f.Name == c.Interface {
			return nil
		}
		names = append(names, f.Name)
	}
	return fmt.Errorf("%s has no interface %q: it has %s", cmp.Or(c.Host, c.Router), c.Interface, strings.Join(names, ", "))
}

func (c *Check) verifyResolve(t *Topology) error {
	if c.Resolve == "" {
		if c.Type != "" || len(c.Answer) > 0 {
			return fmt.Errorf("%s: type and answer belong to resolve", c.Kind())
		}
		return nil
	}
	if len(t.Resolvers(t.Host(c.From))) == 0 {
		return fmt.Errorf("resolve: %s knows no name server; add \"dns:\" to the file, or \"resolver:\" to the host", c.From)
	}
	if c.Type == "" {
		c.Type = "A"
	}
	if _, err := dns.ParseType(c.Type); err != nil {
		return fmt.Errorf("resolve: type: %w", err)
	}
	return nil
}

// maxSize bounds what a check sends, in bytes.
const maxSize = 16 << 20

// hostname is the name in a URL that verify has read; "" for none.
func hostname(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func (t *Topology) noRouter(what, name string) error {
	var names []string
	for _, r := range t.Routers {
		names = append(names, r.Name)
	}
	return nobody(what, "router", name, names)
}

// nobody says that a name stands for nothing, and what there is.
func nobody(what, kind, name string, names []string) error {
	switch {
	case name == "":
		return fmt.Errorf("%s: which %s? There is %s", what, kind, strings.Join(names, ", "))
	case len(names) == 0:
		return fmt.Errorf("%s: there is no %s %q, nor any other", what, kind, name)
	}
	return fmt.Errorf("%s: there is no %s %q: there is %s", what, kind, name, strings.Join(names, ", "))
}

func (t *Topology) noHost(what, name string) error {
	var names []string
	for _, h := range t.Hosts {
		names = append(names, h.Name)
	}
	return nobody(what, "host", name, names)
}
