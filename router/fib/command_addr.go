package fib

import (
	"errors"
	"fmt"
	"slices"

	"github.com/moat-router/moat/stack/packet"
)

func (c *command) addr() error {
	v, err := verb(c.next(), "add", "change", "chg", "replace", "delete", "flush", "show", "list")
	if err != nil {
		return err
	}
	switch v {
	case "show", "list":
		return fmt.Errorf("%q asks; only commands that change something can stand here", "addr "+v)
	case "flush":
		return c.addrFlush()
	}
	var a Address
	var d *dev
	var local, hasBits, scopeSet, brd bool
	for c.more() {
		key := c.next()
		var err error
		switch key {
		case "dev":
			d, err = c.device(key)
		case "peer", "remote":
			var w string
			if w, err = c.arg(key); err != nil {
				return err
			}
			p, given, perr := c.prefix(w)
			if err = perr; err == nil && !p.IsValid() {
				err = fmt.Errorf("%q cannot be the address of a peer", w)
			}
			if err == nil {
				a.Peer = packet.AddrFrom(p.Addr())
				a.Bits, hasBits = p.Bits(), hasBits || given
			}
		case "broadcast", "brd":
			var w string
			if w, err = c.arg(key); err != nil {
				return err
			}
			switch w {
			case "+":
				brd = true
			case "-":
			default:
				b, perr := parseAddr(w)
				if err = perr; err == nil {
					a.Broadcast, err = packet.AddrFrom(b), c.fixFamily(b)
				}
			}
		case "scope":
			var w string
			if w, err = c.arg(key); err == nil {
				a.Scope, err = scopeNumber(w)
				scopeSet = true
			}
		case "label":
			a.Label, err = c.arg(key)
		case "noprefixroute":
			a.NoPrefix = true
		case "nodad", "home", "autojoin", "optimistic":
		case "valid_lft", "preferred_lft":
			var w string
			if w, err = c.arg(key); err == nil && w != "forever" {
				err = fmt.Errorf("%s %s is not supported: addresses live until they are deleted", key, w)
			}
		case "metric", "priority", "preference", "mngtmpaddr", "temporary", "anycast", "proto":
			err = fmt.Errorf("%q is not supported in an address", key)
		default:
			if key == "local" {
				if key, err = c.arg(key); err != nil {
					return err
				}
			}
			if local {
				return fmt.Errorf("%q is not a word of ip addr", key)
			}
			p, given, perr := c.prefix(key)
			if perr != nil {
				return perr
			}
			if !p.IsValid() {
				return fmt.Errorf("%q is not an address", key)
			}
			a.Local, local = packet.AddrFrom(p.Addr()), true
			if a.Peer.IsZero() {
				a.Bits = p.Bits()
			}
			hasBits = hasBits || given
		}
		if err != nil {
			return err
		}
	}
	if !local {
		return errors.New("an address is needed, like 192.168.1.1/24")
	}
	if d == nil {
		return fmt.Errorf("which interface? write \"dev INTERFACE\" behind %s", a.Local)
	}
	v6 := c.v6()
	if a.Peer.IsZero() {
		a.Peer = a.Local
	}
	if v == "delete" {
		i := slices.IndexFunc(d.Addrs[fam(v6)], func(o Address) bool {
			return o.Local == a.Local && (!hasBits || o.Bits == a.Bits && (v6 || o.Prefix() == a.Prefix()))
		})
		if i < 0 {
			return fmt.Errorf("%s has no address %s/%d", d.Name, a.Local, a.Bits)
		}
		c.s.delAddr(d, v6, i, c.note)
		return nil
	}
	if err := checkLocal(&a, v6); err != nil {
		return err
	}
	if !v6 && !scopeSet && a.Local[12] == 127 {
		a.Scope = ScopeHost
	}
	if brd && a.Bits < 31 {
		a.Broadcast = lastOf(a.Prefix())
	}
	if v != "add" {
		if i := slices.IndexFunc(d.Addrs[fam(v6)], func(o Address) bool { return o.Local == a.Local && o.Bits == a.Bits }); i >= 0 {
			return nil // the same again: only lifetimes could differ
		}
		if v != "replace" {
			return fmt.Errorf("%s has no address %s/%d to change", d.Name, a.Local, a.Bits)
		}
	}
	return c.s.addAddr(d, a, c.note)
}

// checkLocal refuses what cannot be an interface's address.
func checkLocal(a *Address, v6 bool) error {
	switch {
	case a.Local.Is4() == v6 || a.Peer.Is4() == v6:
		return errors.New("address and peer are of different families")
	case isMulticast(a.Local):
		return fmt.Errorf("%s is a multicast address", a.Local)
	case v6 && a.Local == packet.Addr{}, !v6 && (a.Local == allOnes || a.Local == zero4):
		return fmt.Errorf("%s cannot be the address of an interface", a.Local)
	}
	return nil
}

// addrFlush is "ip addr flush dev X [scope S]".
func (c *command) addrFlush() error {
	var d *dev
	scope := -1
	for c.more() {
		var err error
		switch key := c.next(); key {
		case "dev":
			d, err = c.device(key)
		case "scope":
			var w string
			if w, err = c.arg(key); err == nil {
				var n Scope
				n, err = scopeNumber(w)
				scope = int(n)
			}
		default:
			if d != nil {
				return fmt.Errorf("%q is not supported in addr flush", key)
			}
			d, err = c.deviceNamed(key)
		}
		if err != nil {
			return err
		}
	}
	if d == nil {
		return errors.New("addr flush needs \"dev INTERFACE\"")
	}
	for f := range d.Addrs {
		if c.family != familyAny && f != fam(c.v6()) {
			continue
		}
		for i := 0; i < len(d.Addrs[f]); {
			if scope >= 0 && scope != int(d.Addrs[f][i].scope()) {
				i++
				continue
			}
			c.s.delAddr(d, f == 1, i, c.note)
		}
	}
	return nil
}

// scope is the address's scope as "ip addr" says it; an IPv6 address has it in its bits.
func (a *Address) scope() Scope {
	switch {
	case a.Local.Is4():
		return a.Scope
	case a.Local == loopback6:
		return ScopeHost
	case scope6(a.Local) == scopeLink6:
		return ScopeLink
	case scope6(a.Local) == 5:
		return ScopeSite
	}
	return ScopeUniverse
}

// link is "ip link set [dev] X {up|down|mtu N}".
func (c *command) link() error {
	v := c.next()
	if v != "set" && v != "s" && v != "se" {
		return fmt.Errorf("%q is not supported: interfaces are made by the router's configuration, and only \"link set\" changes them", "link "+v)
	}
	var d *dev
	var todo []func() error
	for c.more() {
		var err error
		switch key := c.next(); key {
		case "dev":
			d, err = c.device(key)
		case "up", "down":
			todo = append(todo, func() error { c.s.setUp(d, key == "up", c.note); return nil })
		case "mtu":
			var n uint64
			if n, err = c.number(key, maxMTU); err == nil && n < minMTU {
				err = fmt.Errorf("mtu %d is below %d", n, minMTU)
			}
			todo = append(todo, func() error {
				d.MTU = int(n)
				c.note(Change{Kind: LinkMTU, Dev: d.Index, MTU: int(n)})
				return nil
			})
		default:
			if d != nil {
				return fmt.Errorf("%q is not supported in link set (only up, down, mtu)", key)
			}
			d, err = c.deviceNamed(key)
		}
		if err != nil {
			return err
		}
	}
	if d == nil {
		return errors.New("link set needs an interface")
	}
	for _, f := range todo {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}
