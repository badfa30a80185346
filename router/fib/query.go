package fib

import (
	"errors"
	"fmt"
	"strings"

	"github.com/moat-router/moat/stack/packet"
)

// Query answers the asking commands of ip, with or without the word "ip": "route [show] [table T]", "route get A
// [from A] [iif D] [oif D] [mark N] [tos N]", "rule", "addr [show [dev] D]", each with -4 (the default) or -6.
func (f *FIB) Query(words string) ([]string, error) {
	cmds, err := split(words)
	if err != nil {
		return nil, err
	}
	if len(cmds) != 1 {
		return nil, errors.New("one question at a time, like \"route get 8.8.8.8\"")
	}
	if f.state == nil {
		return nil, nil
	}
	c := &command{s: f.state, words: cmds[0]}
	if err := c.options(); err != nil {
		return nil, err
	}
	object := c.next()
	switch {
	case abbreviates(object, "route", 1):
		return f.queryRoute(c)
	case abbreviates(object, "rule", 2):
		if err := c.showOnly(); err != nil {
			return nil, err
		}
		return f.RuleLines(c.v6()), nil
	case abbreviates(object, "address", 1), object == "addr", abbreviates(object, "link", 1):
		if err := c.showOnly(); err == nil {
			return f.AddrLines("")
		}
		dev := c.next()
		if dev == "dev" {
			dev = c.next()
		}
		return f.AddrLines(dev)
	}
	return nil, fmt.Errorf("%q is not one of route, addr, link, rule", object)
}

// showOnly takes "show" or nothing, and complains of more.
func (c *command) showOnly() error {
	if c.more() {
		if _, err := verb(c.words[0], "show", "list"); err == nil {
			c.next()
		}
	}
	if c.more() {
		return fmt.Errorf("%q is too much here", c.words[0])
	}
	return nil
}

func (f *FIB) queryRoute(c *command) ([]string, error) {
	if c.more() && c.words[0] == "get" {
		c.next()
		k, err := c.key()
		if err != nil {
			return nil, err
		}
		return f.GetLines(k), nil
	}
	table := "main"
	for c.more() {
		switch w := c.next(); {
		case abbreviates(w, "show", 1), abbreviates(w, "list", 1):
		case w == "table":
			var err error
			if table, err = c.arg(w); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("%q is not supported here: route show takes \"table T\"", w)
		}
	}
	return f.RouteLines(c.v6(), table)
}

// key parses what stands behind "ip route get".
func (c *command) key() (Key, error) {
	var k Key
	var err error
	for c.more() && err == nil {
		switch w := c.next(); w {
		case "from":
			k.Src, err = c.address(w)
		case "iif", "oif", "dev":
			var d *dev
			if d, err = c.device(w); err == nil && w == "iif" {
				k.IIF = d.Index
			} else if err == nil {
				k.OIF = d.Index
			}
		case "mark":
			var n uint64
			n, err = c.number(w, 1<<32-1)
			k.Mark = uint32(n)
		case "tos", "dsfield":
			var v string
			if v, err = c.arg(w); err == nil {
				k.TOS, err = tosByte(v)
			}
		default:
			if w == "to" {
				if w, err = c.arg(w); err != nil {
					return k, err
				}
			}
			if !k.Dst.IsZero() {
				return k, fmt.Errorf("%q is not a word of ip route get", w)
			}
			c.words = append([]string{w}, c.words...)
			k.Dst, err = c.address("destination")
		}
	}
	if err == nil && k.Dst.IsZero() {
		err = errors.New("which destination? write \"route get ADDRESS\"")
	}
	k.V6 = c.v6()
	return k, err
}

// GetLines is the answer of "ip route get" for k.
func (f *FIB) GetLines(k Key) []string {
	r := f.Lookup(k)
	if k.IIF == 0 {
		r = f.Output(k)
	}
	var b strings.Builder
	if r.Type != Unicast {
		b.WriteString(r.Type.String() + " ")
	}
	b.WriteString(k.Dst.String())
	word := func(key string, value any) { fmt.Fprintf(&b, " %s %v", key, value) }
	if !k.Src.IsZero() {
		word("from", k.Src)
	}
	switch r.Type {
	case None:
		return []string{"no route to " + k.Dst.String()}
	case Blackhole, Unreachable, Prohibit:
		word("table", tableName(r.Table))
		return []string{b.String()}
	}
	if !r.Gateway.IsZero() {
		word("via", r.Gateway)
	}
	if d := f.Dev(r.Dev); d != nil {
		word("dev", d.Name)
	}
	if r.Table != TableMain && r.Table != TableLocal {
		word("table", tableName(r.Table))
	}
	if k.Src.IsZero() && r.PrefSrc != (packet.Addr{}) {
		word("src", r.PrefSrc)
	}
	if k.Mark != 0 {
		word("mark", fmt.Sprintf("0x%x", k.Mark))
	}
	if r.MTU != 0 {
		word("mtu", r.MTU)
	}
	if d := f.Dev(k.IIF); d != nil {
		word("iif", d.Name)
	}
	return []string{b.String()}
}
