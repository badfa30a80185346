package fib

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ruleWords is a rule as it was written.
type ruleWords struct {
	rule
	prefSet, tableSet, actionSet, fromSet, toSet bool
}

// rule is "ip rule add|del|flush".
func (c *command) rule() error {
	v, err := verb(c.next(), "add", "delete", "flush", "show", "list")
	if err != nil {
		return err
	}
	switch v {
	case "show", "list":
		return fmt.Errorf("%q asks; only commands that change something can stand here", "rule "+v)
	}
	s := c.s
	if v == "flush" {
		f := fam(c.v6())
		s.rules[f] = slices.DeleteFunc(s.rules[f], func(r *rule) bool { return r.pref != 0 })
		s.touched[f] = s.touched[f] || f == 0
		return nil
	}
	w := &ruleWords{rule: rule{suppress: -1}}
	if err := c.ruleWords(w); err != nil {
		return err
	}
	f := fam(c.v6())
	if v == "delete" {
		for i, r := range s.rules[f] {
			if w.names(r) {
				s.rules[f] = slices.Delete(s.rules[f], i, i+1)
				s.touched[f] = s.touched[f] || f == 0
				return nil
			}
		}
		return errors.New("there is no such rule")
	}
	if w.action == actTable && !w.tableSet {
		w.table = TableMain
	}
	if !w.prefSet {
		w.pref = defaultPref(s.rules[f])
	}
	for _, r := range s.rules[f] {
		if r.same(&w.rule) {
			return errors.New("there is already such a rule")
		}
	}
	s.rules[f] = insertRule(s.rules[f], &w.rule)
	s.touched[f] = true
	return nil
}

func (c *command) ruleWords(w *ruleWords) error {
	for c.more() {
		key := c.next()
		var err error
		switch {
		case key == "not":
			w.not = true
		case key == "from" || key == "to":
			var word string
			if word, err = c.arg(key); err != nil {
				return err
			}
			p, _, perr := c.prefix(word)
			if perr != nil {
				return fmt.Errorf("%s: %w", key, perr)
			}
			if p.IsValid() && p != p.Masked() {
				return fmt.Errorf("%s %s has bits behind its prefix length: did you mean %s?", key, p, p.Masked())
			}
			if key == "from" {
				w.from, w.fromSet = p, p.Bits() > 0 // "all" says nothing
			} else {
				w.to, w.toSet = p, p.Bits() > 0
			}
		case key == "fwmark":
			err = c.ruleMark(w)
		case key == "tos" || key == "dsfield":
			var word string
			if word, err = c.arg(key); err == nil {
				w.tos, err = tosByte(word)
			}
		case key == "dscp":
			var n uint64
			n, err = c.number(key, 63)
			w.tos, w.dscp = uint8(n)<<2, true
		case key == "iif" || key == "dev":
			w.iif, err = c.arg(key)
		case key == "oif":
			w.oif, err = c.arg(key)
		case abbreviates(key, "lookup", 2) || key == "table":
			var word string
			if word, err = c.arg(key); err == nil {
				w.table, err = tableNumber(word)
				w.tableSet = true
			}
		case key == "suppress_prefixlength" || key == "sup_pl":
			var n uint64
			n, err = c.number(key, 128)
			w.suppress = int(n)
		case abbreviates(key, "preference", 2) || abbreviates(key, "priority", 2) || abbreviates(key, "order", 1):
			var n uint64
			n, err = c.number(key, 1<<32-1)
			w.pref, w.prefSet = uint32(n), true
		case key == "protocol" || key == "proto":
			_, err = c.arg(key)
		case key == "type":
		case key == "unicast":
			w.action, w.actionSet = actTable, true
		case key == "unreachable":
			w.action, w.actionSet = actUnreachable, true
		case key == "prohibit":
			w.action, w.actionSet = actProhibit, true
		case key == "blackhole":
			w.action, w.actionSet = actBlackhole, true
		case slices.Contains([]string{"goto", "nop", "realms", "nat", "map-to", "uidrange", "ipproto", "sport", "dport", "l3mdev", "suppress_ifgroup", "tun_id", "flowlabel"}, key):
			err = fmt.Errorf("%q is not supported in a rule", key)
		default:
			err = fmt.Errorf("%q is not a word of ip rule", key)
		}
		if err != nil {
			return err
		}
	}
	if w.action != actTable && w.tableSet {
		return errors.New("a rule either looks up a table or refuses, not both")
	}
	return nil
}

// ruleMark is "MARK[/MASK]".
func (c *command) ruleMark(w *ruleWords) error {
	word, err := c.arg("fwmark")
	if err != nil {
		return err
	}
	mark, mask, masked := strings.Cut(word, "/")
	m, err := strconv.ParseUint(mark, 0, 32)
	w.mark, w.mask = uint32(m), 1<<32-1
	if err == nil && masked {
		m, err = strconv.ParseUint(mask, 0, 32)
		w.mask = uint32(m)
	}
	if err != nil {
		return fmt.Errorf("fwmark %q is not a number, or number/mask", word)
	}
	return nil
}

// names tells whether "ip rule del" with these words means r: what was not given does not
// matter, nor does "not" (as in fib_nl_delrule).
func (w *ruleWords) names(r *rule) bool {
	switch {
	case w.prefSet && w.pref != r.pref, w.actionSet && w.action != r.action, w.tableSet && w.table != r.table,
		w.fromSet && !samePrefix(w.from, r.from), w.toSet && !samePrefix(w.to, r.to), w.mask != 0 && (w.mark != r.mark || w.mask != r.mask),
		w.tos != 0 && (w.tos != r.tos || w.dscp != r.dscp), w.iif != "" && w.iif != r.iif, w.oif != "" && w.oif != r.oif,
		w.suppress >= 0 && w.suppress != r.suppress:
		return false
	}
	return true
}
