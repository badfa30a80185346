package iptables

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/xt"
)

// reach is, per chain, how many rules from its start on a packet can meet, and from which hooks.
type reach struct {
	mask  xt.HookMask
	rules int
	open  bool // on the path that is being followed
}

// check proves a complete table: it follows the jumps from every built-in chain as mark_source_chains does, refuses
// loops, and asks each extension about the hooks that reach it. Rules behind an unconditional verdict are not
// reached, and a loop that no built-in chain enters is not found, both as in the kernel.
func (t *table) check(file string) *Error {
	reached := map[*chain]*reach{}
	for i, h := range policy.TableHooks[t.id] {
		if loop := t.follow(t.base[i], h, reached, nil); loop != nil {
			return &Error{File: file, Line: loop.line, Msg: loop.msg}
		}
	}
	for _, c := range t.all() {
		for i, r := range c.rules {
			mask := xt.HookMask(0)
			if at := reached[c]; at != nil && i < at.rules {
				mask = at.mask
			}
			if err := r.checkHooks(t.id, mask); err != nil {
				return &Error{File: file, Line: r.Line, Msg: fmt.Sprintf("%v (chain %s is reached from %s)", err, c.name, maskNames(mask))}
			}
		}
	}
	return nil
}

func (r *rule) checkHooks(id policy.TableID, mask xt.HookMask) error {
	for _, m := range r.Matches {
		if hc, ok := m.(xt.HookChecker); ok {
			if err := hc.CheckHooks(id, mask); err != nil {
				return fmt.Errorf("%s: %v", m.Name(), err)
			}
		}
	}
	if hc, ok := r.Target.(xt.HookChecker); ok {
		if err := hc.CheckHooks(id, mask); err != nil {
			return fmt.Errorf("%s: %v", r.Target.Name(), err)
		}
	}
	return nil
}

func maskNames(mask xt.HookMask) string {
	var names []string
	for h := policy.Hook(0); h < policy.NumHooks; h++ {
		if mask.Has(h) {
			names = append(names, h.String())
		}
	}
	if names == nil {
		return "nowhere"
	}
	return strings.Join(names, ", ")
}

type loopError struct {
	line int
	msg  string
}

// follow visits a chain for one hook. path holds the chains that lead here.
func (t *table) follow(c *chain, h policy.Hook, reached map[*chain]*reach, path []*chain) *loopError {
	at := reached[c]
	if at == nil {
		at = &reach{rules: c.reachable()}
		reached[c] = at
	}
	if at.mask.Has(h) {
		return nil
	}
	at.mask |= 1 << h
	path = append(path, c)
	at.open = true
	for _, r := range c.rules[:at.rules] {
		if r.jump == "" {
			continue
		}
		to := t.chain(r.jump)
		if seen := reached[to]; seen != nil && seen.open {
			return &loopError{r.Line, "endless loop: " + loopNames(path, to)}
		}
		if loop := t.follow(to, h, reached, path); loop != nil {
			return loop
		}
	}
	at.open = false
	return nil
}

// loopNames prints the part of the path that begins at to, and to again.
func loopNames(path []*chain, to *chain) string {
	var names []string
	for _, c := range path[slices.Index(path, to):] {
		names = append(names, c.name)
	}
	return strings.Join(append(names, to.name), " -> ")
}

// reachable is how many rules can be met: up to the first unconditional verdict.
func (c *chain) reachable() int {
	for i, r := range c.rules {
		if r.Target == nil && r.jump == "" && r.Verdict != policy.Continue && len(r.Matches) == 0 && r.Head == (policy.Head{}) {
			return i + 1
		}
	}
	return len(c.rules)
}
