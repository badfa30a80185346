package xt

import (
	"fmt"
	"strings"

	"github.com/moat-router/moat/policy"
)

// dscpTarget is -j DSCP (xt_DSCP.c): the upper six bits of the TOS.
type dscpTarget struct{ dscp uint8 }

type dscpTargetArgs struct {
	t     dscpTarget
	given string
}

func (a *dscpTargetArgs) Option(o *Opt) (bool, error) {
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
	if o.Name == "--set-dscp-class" {
		v, ok := dscpOfClass(s)
		if !ok {
			return true, fmt.Errorf("unknown DSCP class %q: BE, EF, CS0 to CS7 and AF11 to AF43 are possible", s)
		}
		a.t.dscp = v
		return true, nil
	}
	v, err := number(o, s, 0, 63)
	a.t.dscp = uint8(v)
	return true, err
}

// dscpOfClass is the value of a class (RFC 2474, 2597, 3246).
func dscpOfClass(s string) (uint8, bool) {
	s = strings.ToUpper(s)
	switch {
	case s == "BE":
		return 0, true
	case s == "EF":
		return 46, true
	case len(s) == 3 && s[:2] == "CS" && s[2] >= '0' && s[2] <= '7':
		return (s[2] - '0') << 3, true
	case len(s) == 4 && s[:2] == "AF" && s[2] >= '1' && s[2] <= '4' && s[3] >= '1' && s[3] <= '3':
		return (s[2]-'0')<<3 | (s[3]-'0')<<1, true
	}
	return 0, false
}

func (a *dscpTargetArgs) Done(r *RuleInfo) (policy.Target, error) {
	if a.given == "" {
		return nil, missing("--set-dscp or --set-dscp-class")
	}
	t := a.t
	return &t, onlyMangle("DSCP", r)
}

func (t *dscpTarget) Name() string { return "DSCP" }

func (t *dscpTarget) Exec(p *policy.Packet) policy.Verdict {
	if p.TOS()>>2 != t.dscp {
		p.SetDSCP(t.dscp)
	}
	return policy.Continue
}

func (t *dscpTarget) AppendSave(b []byte) []byte {
	return appendHex2(append(b, " --set-dscp "...), t.dscp)
}

func (t *dscpTarget) AppendList(b []byte, numeric bool) []byte {
	return appendHex2(append(b, " DSCP set "...), t.dscp)
}
