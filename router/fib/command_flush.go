package fib

import (
	"errors"
	"fmt"
	"slices"
)

// routeFlush is "ip route flush SELECTOR".
func (c *command) routeFlush() error {
	if !c.more() {
		return errors.New("flush needs a selector: table, dev, proto, scope, type or a prefix")
	}
	var tests []func(*route) bool
	tables := func(id uint32) bool { return id == TableMain }
	for c.more() {
		key := c.next()
		switch key {
		case "cache":
			return nil
		case "table":
			w, err := c.arg(key)
			if err != nil {
				return err
			}
			if w == "all" {
				tables = func(uint32) bool { return true }
				continue
			}
			n, err := tableNumber(w)
			if err != nil {
				return err
			}
			tables = func(id uint32) bool { return id == n }
		case "dev", "oif":
			d, err := c.device(key)
			if err != nil {
				return err
			}
			tests = append(tests, func(r *route) bool { return r.dev == d.Index })
		case "proto", "protocol":
			w, err := c.arg(key)
			if err != nil {
				return err
			}
			tests = append(tests, func(r *route) bool { return r.proto == w })
		case "scope":
			w, err := c.arg(key)
			if err != nil {
				return err
			}
			n, err := scopeNumber(w)
			if err != nil {
				return err
			}
			tests = append(tests, func(r *route) bool { return r.scope == n })
		case "type":
			w, err := c.arg(key)
			t, ok := routeTypes[w]
			if err != nil || !ok {
				return fmt.Errorf("%q is not a type of route", w)
			}
			tests = append(tests, func(r *route) bool { return r.typ == t })
		default:
			test, err := c.flushPrefix(key)
			if err != nil {
				return err
			}
			tests = append(tests, test)
		}
	}
	f := fam(c.v6())
	for id, t := range c.s.routes[f] {
		if !tables(id) {
			continue
		}
		for _, r := range t.sorted() {
			if !slices.ContainsFunc(tests, func(test func(*route) bool) bool { return !test(r) }) {
				c.s.remove(r)
			}
		}
	}
	return nil
}

// flushPrefix is "[to] [root|match|exact] PREFIX".
func (c *command) flushPrefix(key string) (func(*route) bool, error) {
	how := "exact"
	for key == "to" || key == "root" || key == "match" || key == "exact" {
		if key != "to" {
			how = key
		}
		var err error
		if key, err = c.arg(key); err != nil {
			return nil, err
		}
	}
	p, _, err := c.prefix(key)
	if err != nil {
		return nil, err
	}
	p = p.Masked()
	if !p.IsValid() {
		if how == "root" {
			return func(*route) bool { return true }, nil
		}
		return func(r *route) bool { return r.prefix.Bits() == 0 }, nil
	}
	return func(r *route) bool {
		switch how {
		case "root":
			return r.prefix.Bits() >= p.Bits() && p.Contains(r.prefix.Addr())
		case "match":
			return r.prefix.Bits() <= p.Bits() && r.prefix.Contains(p.Addr())
		}
		return r.prefix == p
	}, nil
}
