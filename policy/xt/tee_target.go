package xt

import (
	"fmt"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

// tee is -j TEE (xt_TEE.c): a copy of the packet goes to another router on a connected network.
type tee struct {
	family  policy.Family
	gateway packet.Addr
	oif     string
}

type teeArgs struct {
	gateway string
	given   bool
	oif     string
}

func (a *teeArgs) Option(o *Opt) (bool, error) {
	s, err := o.Arg()
	if o.Name == "--oif" {
		if err == nil && len(s) > 15 {
			err = fmt.Errorf("interface name %q is longer than 15 bytes", s)
		}
		a.oif = s
	} else {
		a.gateway, a.given = s, true
	}
	return true, or(err, o)
}

func (a *teeArgs) Done(r *RuleInfo) (policy.Target, error) {
	if !a.given {
		return nil, missing("--gateway")
	}
	addr, ok := ParseHost(r.Family, a.gateway)
	if !ok {
		return nil, addrError(r.Family, a.gateway)
	}
	if none := (packet.Addr{}); addr == none || r.Family == policy.V4 && [4]byte(addr[12:]) == [4]byte{} {
		return nil, fmt.Errorf("--gateway must not be the unspecified address")
	}
	return &tee{r.Family, addr, a.oif}, nil
}

func (t *tee) Name() string { return "TEE" }

func (t *tee) Exec(p *policy.Packet) policy.Verdict {
	if !p.Duplicate { // a copy is never copied again
		p.W.Env.Tee(p, t.gateway, t.oif)
	}
	return policy.Continue
}

func (t *tee) AppendSave(b []byte) []byte {
	b = AppendAddr(append(b, " --gateway "...), t.family, t.gateway)
	if t.oif != "" {
		b = append(append(b, " --oif "...), t.oif...)
	}
	return b
}

func (t *tee) AppendList(b []byte, numeric bool) []byte {
	b = AppendAddr(append(b, " TEE gw:"...), t.family, t.gateway)
	if t.oif != "" {
		b = append(append(b, " oif="...), t.oif...)
	}
	return b
}
