package xt

import (
	"fmt"

	"github.com/moat-router/moat/policy"
)

// tosTarget is -j TOS (xt_DSCP.c): the bits of mask go, then those of value are flipped.
type tosTarget struct{ value, mask uint8 }

// tosNames are the values of RFC 1349, which leave the precedence alone.
type tosTargetArgs struct {
	t     tosTarget
	given string
}

func (a *tosTargetArgs) Option(o *Opt) (ok bool, err error) {
	if err := o.NoNot(); err != nil {
		return true, err
	}
	if a.given != "" {
		return true, together(a.given, o.Name)
	}
	a.given = o.Name
	if o.Name == "--set-tos" {
		a.t.value, a.t.mask, err = argTOS(o)
		return true, err
	}
	v, err := argNumber(o, 0, 255)
	bits := uint8(v)
	switch o.Name {
	case "--and-tos":
		a.t = tosTarget{0, ^bits}
	case "--or-tos":
		a.t = tosTarget{bits, bits}
	case "--xor-tos":
		a.t = tosTarget{bits, 0}
	}
	return true, err
}

func (a *tosTargetArgs) Done(r *RuleInfo) (policy.Target, error) {
	if a.given == "" {
		return nil, fmt.Errorf("TOS needs one of --set-tos, --and-tos, --or-tos and --xor-tos")
	}
	t := a.t
	return &t, onlyMangle("TOS", r)
}

func (t *tosTarget) Name() string { return "TOS" }

func (t *tosTarget) Exec(p *policy.Packet) policy.Verdict {
	old := p.TOS()
	if v := old&^t.mask ^ t.value; v != old {
		p.SetTOS(v)
	}
	return policy.Continue
}

func (t *tosTarget) AppendSave(b []byte) []byte {
	b = appendHex2(append(b, " --set-tos "...), t.value)
	return appendHex2(append(b, '/'), t.mask)
}

func (t *tosTarget) AppendList(b []byte, numeric bool) []byte {
	if !numeric {
		if name := tosNameOf(t.value, t.mask); name != "" {
			return append(append(b, "  TOS set"...), name...)
		}
		for _, op := range [...]struct {
			is   bool
			name string
			v    uint8
		}{{t.value == 0, "and", ^t.mask}, {t.value == t.mask, "or", t.value}, {t.mask == 0, "xor", t.value}} {
			if op.is {
				return appendHex2(append(append(append(b, " TOS "...), op.name...), ' '), op.v)
			}
		}
	}
	b = appendHex2(append(b, " TOS set "...), t.value)
	return appendHex2(append(b, '/'), t.mask)
}
