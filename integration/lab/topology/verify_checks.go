package topology

import (
	"fmt"
	"net/url"
	"strings"
)

// Kind is the key that says what a check does: "ping", "connect", "http", "traceroute", "send", "receive", "never",
// "conntrack" or "advance".
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
	return list
}

// verify tells what is wrong with a check.
func (c *Check) verify(t *Topology) error {
	kinds := c.kinds()
	switch {
	case len(kinds) == 0:
		return fmt.Errorf("a check needs one of ping, connect, http, traceroute, send, receive, never, conntrack, advance")
	case len(kinds) > 1:
		return fmt.Errorf("a check does one thing; this one has %s", strings.Join(kinds, " and "))
	}
	switch kind := kinds[0]; kind {
	case "ping", "connect", "http", "traceroute", "send":
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
			return fmt.Errorf("conntrack: there is no router %q", c.Conntrack.Router)
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
	return nil
}

func (t *Topology) noHost(what, name string) error {
	var names []string
	for _, h := range t.Hosts {
		names = append(names, h.Name)
	}
	return fmt.Errorf("%s: there is no host %q: there is %s", what, name, strings.Join(names, ", "))
}
