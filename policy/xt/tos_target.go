package xt

import (
	"fmt"
	"strings"

	"github.com/moat-router/moat/policy"
)

// tosTarget is -j TOS (xt_DSCP.c): the bits of mask go, then those of value are flipped.
type tosTarget struct{ value, mask uint8 }

// tosNames are the values of RFC 1349, which leave the precedence alone.
var tosTargetNames = [...]struct {
	name  string
	value uint8
}{{"Minimize-Delay", 0x10}, {"Maximize-Throughput", 0x08}, {"Maximize-Reliability", 0x04}, {"Minimize-Cost", 0x02}, {"Normal-Service", 0}}

type tosTargetArgs struct {
	t     tosTarget
	given string
}

func (a *tosTargetArgs) Option(o *Opt) (bool, error) {
	if err := o.NoNot(); err != nil {
		return true, err
	}
	if a.given != "" {
		return true, together(a.given, o.Name)
	}
	a.given = o.Name
	s, err := o.Arg()
	if err != nil {
		return true, err
	}
	if o.Name == "--set-tos" {
		a.t, err = parseTOSTarget(s)
		return true, err
	}
	v, err := number(o, s, 0, 255)
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

func parseTOSTarget(s string) (tosTarget, error) {
	for _, n := range tosTargetNames {
		if strings.EqualFold(s, n.name) {
			return tosTarget{n.value, 0x3f}, nil
		}
	}
	value, mask, hasMask := strings.Cut(s, "/")
	v, ok := ParseUint(value, 0, 255)
	m := uint64(255)
	if ok && hasMask {
		m, ok = ParseUint(mask, 0, 255)
	}
	if !ok {
		return tosTarget{}, fmt.Errorf("bad value %q for --set-tos: value[/mask] with numbers from 0 to 255 or a name such as Minimize-Delay is wanted", s)
	}
	return tosTarget{uint8(v), uint8(m)}, nil
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
