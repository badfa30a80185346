package iptables

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/xt"
)

// command reads the words behind a command letter. arg is the first of them where the letter has a value.
func (p *parser) command(c *coreOption, col int, arg string, rest []string) (used int, f *fault) {
	if p.cmd.op != 0 {
		return 0, faultf(col, "\"-%c\" and \"-%c\" cannot stand in one line", p.cmd.op, c.letter)
	}
	p.cmd.op = c.letter
	p.cmd.chain, p.cmd.chainCol = arg, col
	// more takes one further word that is not an option.
	more := func() (string, bool) {
		if used >= len(rest) || rest[used] == "!" || strings.HasPrefix(rest[used], "-") {
			return "", false
		}
		used++
		return rest[used-1], true
	}
	number := func(word string) *fault {
		n, ok := xt.ParseUint(word, 1, 1<<31-1)
		if !ok {
			return faultf(col, "%v", badRuleNumber(word))
		}
		p.cmd.num = int(n)
		return nil
	}
	switch c.letter {
	case 'L', 'S', 'V':
		return 0, faultf(col, "\"-%c\" prints, and cannot stand among rules or beside another command", c.letter)
	case 'I', 'D':
		if word, ok := more(); ok {
			f = number(word)
		}
	case 'R':
		word, ok := more()
		if !ok {
			return 0, faultf(col, "-R needs the number of the rule that it replaces")
		}
		f = number(word)
	case 'F', 'X', 'Z':
		p.cmd.chain, _ = more()
		if word, ok := more(); ok && c.letter == 'Z' {
			f = number(word)
		}
	case 'P', 'E':
		word, ok := more()
		if !ok {
			return 0, faultf(col, "-%c needs two words", c.letter)
		}
		p.cmd.arg = word
	}
	return used, f
}

func badRuleNumber(word string) error {
	return fmt.Errorf("bad rule number %q: rules are counted from 1", word)
}

// ruleCommand tells which commands carry a rule.
func (c *command) ruleCommand() bool {
	return strings.IndexByte("AIRC", c.op) >= 0 || c.op == 'D' && c.num == 0
}

// finish checks the line as a whole and compiles its rules.
func (p *parser) finish() (*command, *fault) {
	c := &p.cmd
	if c.op == 0 {
		return nil, faultf(1, "a command is missing: -A, -I, -D, -R, -N, -X, -P, -F, -Z or -E")
	}
	takes := "t46vwWM"
	switch {
	case c.op == 'P':
		takes += "c"
	case c.op == 'D' || c.op == 'C':
		takes += "sdpiofjgm"
	case c.ruleCommand():
		takes += "sdpiofjgmc"
	}
	for _, letter := range p.have {
		if strings.IndexByte(takes, letter) < 0 {
			return nil, faultf(c.chainCol, "\"-%c\" takes no \"%s\"", c.op, coreByLetter(letter).short())
		}
	}
	if c.counters = p.counters; !c.ruleCommand() {
		return c, nil
	}
	if p.tab.chain(c.chain) == nil {
		return nil, faultf(c.chainCol, "table %s has no chain %q%s", p.tab.id, c.chain, p.chainHint(c.chain))
	}
	if slices.Contains(p.have, 'o') && (c.chain == "PREROUTING" || c.chain == "INPUT") {
		return nil, faultf(c.chainCol, "\"-o\" cannot be used in %s: the packet has not been routed out", c.chain)
	}
	if slices.Contains(p.have, 'i') && (c.chain == "POSTROUTING" || c.chain == "OUTPUT") {
		return nil, faultf(c.chainCol, "\"-i\" cannot be used in %s", c.chain)
	}
	if (p.head.NotSrc || p.head.NotDst) && (len(p.src) > 1 || len(p.dst) > 1) {
		return nil, faultf(p.cmd.chainCol, "\"!\" in front of -s or -d is not possible where several addresses are given")
	}
	if p.tab.id == policy.NAT && p.jump == "DROP" {
		return nil, faultf(p.jumpCol, "the nat table sees only the first packet of a connection and is not meant for filtering: DROP belongs into filter")
	}
	return c, p.compileRules()
}

// compileRules makes one rule for each pair of source and destination address.
func (p *parser) compileRules() *fault {
	r := &rule{}
	info := &xt.RuleInfo{Family: p.fam, Table: p.tab.id, Chain: p.cmd.chain, Head: &p.head, Shared: p.shared}
	for _, x := range p.loaded {
		if x.match == nil {
			continue
		}
		m, err := x.match.Done(info)
		if err != nil {
			return faultf(x.col, "%s: %v", x.name, err)
		}
		r.Matches = append(r.Matches, m)
	}
	switch to := p.tab.chain(p.jump); {
	case to != nil && to.builtin:
		return faultf(p.jumpCol, "%s is a built-in chain: nothing can jump to it", p.jump)
	case to != nil:
		r.jump = p.jump
		r.Goto = slices.Contains(p.have, 'g')
	case p.target != nil:
		t, err := p.target.target.Done(info)
		if err != nil {
			return faultf(p.target.col, "%s: %v", p.target.name, err)
		}
		r.Target = t
	default:
		r.Verdict = verdictNamed(p.jump)
	}
	for _, m := range r.Matches {
		if err := checkRule(m, m.Name(), r); err != nil {
			return faultf(p.cmd.chainCol, "%v", err)
		}
	}
	if r.Target != nil {
		if err := checkRule(r.Target, r.Target.Name(), r); err != nil {
			return faultf(p.target.col, "%v", err)
		}
	}
	any := []addrMask{{}}
	src, dst := p.src, p.dst
	if src == nil {
		src = any
	}
	if dst == nil {
		dst = any
	}
	for _, s := range src {
		for _, d := range dst {
			one := *r
			one.Head = p.head
			one.Head.Src, one.Head.SrcMask = s.addr, s.mask
			one.Head.Dst, one.Head.DstMask = d.addr, d.mask
			one.Line, one.AnyDev = p.line, p.anyDev
			one.Initial = &policy.Count{Packets: p.counters.Packets, Bytes: p.counters.Bytes}
			p.cmd.rules = append(p.cmd.rules, &one)
		}
	}
	return nil
}

// checkRule lets an extension look at its whole rule.
func checkRule(ext any, name string, r *rule) error {
	c, ok := ext.(xt.RuleChecker)
	if !ok {
		return nil
	}
	if err := c.CheckRule(&r.Rule); err != nil {
		return fmt.Errorf("%s: %v", name, err)
	}
	return nil
}
