package xt

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/moat-router/moat/policy"
)

// classify is -j CLASSIFY (xt_CLASSIFY.c): the packet's priority, which is a class of traffic control.
type classify struct{ class uint32 }

type classifyArgs struct {
	t     classify
	given bool
}

func (a *classifyArgs) Option(o *Opt) (bool, error) {
	s, err := o.Arg()
	if err != nil {
		return true, err
	}
	major, minor, ok := strings.Cut(s, ":")
	hi, err1 := strconv.ParseUint(strings.TrimPrefix(major, "0x"), 16, 32)
	lo, err2 := strconv.ParseUint(strings.TrimPrefix(minor, "0x"), 16, 32)
	if !ok || err1 != nil || err2 != nil {
		return true, fmt.Errorf("bad class %q: major:minor in hexadecimal is wanted", s)
	}
	a.t.class, a.given = uint32(hi)<<16|uint32(lo)&0xffff, true
	return true, o.NoNot()
}

func (a *classifyArgs) Done(*RuleInfo) (policy.Target, error) {
	if !a.given {
		return nil, missing("--set-class")
	}
	t := a.t
	return &t, nil
}

func (t *classify) CheckHooks(_ policy.TableID, hooks HookMask) error {
	if hooks.Has(policy.PreRouting) || hooks.Has(policy.Input) {
		return fmt.Errorf("CLASSIFY is allowed only where packets leave: FORWARD, OUTPUT and POSTROUTING")
	}
	return nil
}

func (t *classify) Name() string { return "CLASSIFY" }

func (t *classify) Exec(p *policy.Packet) policy.Verdict {
	p.Priority = t.class
	return policy.Continue
}

func (t *classify) AppendSave(b []byte) []byte {
	return fmt.Appendf(b, " --set-class %04x:%04x", t.class>>16, t.class&0xffff)
}

func (t *classify) AppendList(b []byte, numeric bool) []byte {
	return fmt.Appendf(b, " CLASSIFY set %x:%x", t.class>>16, t.class&0xffff)
}
