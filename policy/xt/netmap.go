package xt

import (
	"fmt"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/nat"
	"github.com/moat-router/moat/stack/packet"
)

// netmap is -j NETMAP (xt_NETMAP.c): a whole network onto another of the same size, host part kept. It changes the
// destination before routing and the source after it.
type netmap struct {
	fam        policy.Family
	text       string
	given      bool
	addr, mask packet.Addr
}

func (t *netmap) Name() string         { return "NETMAP" }
func (t *netmap) NeedsConntrack() bool { return true }

func (t *netmap) Option(o *Opt) (ok bool, err error) {
	if err := o.NoNot(); err != nil {
		return true, err
	}
	t.given = true
	t.text, err = o.Arg()
	return true, err
}

func (t *netmap) Done(r *RuleInfo) (policy.Target, error) {
	t.fam = r.Family
	if !t.given {
		return nil, missing("--to")
	}
	var err error
	if t.addr, t.mask, err = ParseHostPrefix(r.Family, t.text); err != nil {
		return nil, err
	}
	t.addr = masked(r.Family, t.addr, t.mask)
	if MaskBits(r.Family, t.mask) < 0 {
		return nil, fmt.Errorf("%q is no network: the mask has a hole", t.text)
	}
	return t, nil
}

func (t *netmap) CheckHooks(id policy.TableID, hooks HookMask) error {
	return allow("NETMAP", id, hooks, policy.NAT, policy.PreRouting, policy.Input, policy.Output, policy.PostRouting)
}

func (t *netmap) Exec(p *policy.Packet) policy.Verdict {
	manip, old := nat.ManipDst, p.Dst()
	if p.Hook == policy.PostRouting || p.Hook == policy.Input {
		manip, old = nat.ManipSrc, p.Src()
	}
	a := t.addr
	for i := range a {
		a[i] |= old[i] &^ t.mask[i] // for IPv4 the mapped prefix ORs onto itself
	}
	return setup(p, &nat.Range{Flags: nat.MapIPs, MinAddr: a, MaxAddr: a}, manip)
}

func (t *netmap) AppendSave(b []byte) []byte { return t.appendTo(append(b, " --to "...)) }

func (t *netmap) appendTo(b []byte) []byte {
	return AppendMask(AppendAddr(b, t.fam, t.addr), t.fam, t.mask)
}

func (t *netmap) AppendList(b []byte, numeric bool) []byte { return t.appendTo(append(b, " to:"...)) }
