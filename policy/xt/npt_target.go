package xt

import (
	"errors"
	"fmt"
	"strings"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/nat"
	"github.com/moat-router/moat/stack/packet"
)

// npt is -j SNPT and -j DNPT (ip6t_NPT.c, RFC 6296): one prefix for another, without state and without a change to
// checksums.
type npt struct {
	dst      bool // DNPT
	from, to nptPrefix
	npt      nat.NPT
}

type nptPrefix struct {
	addr, mask packet.Addr
	set        bool
}

func newSNPT() TargetParser { return &npt{} }
func newDNPT() TargetParser { return &npt{dst: true} }

func (t *npt) Name() string {
	if t.dst {
		return "DNPT"
	}
	return "SNPT"
}

func (t *npt) Option(o *Opt) (bool, error) {
	if err := o.NoNot(); err != nil {
		return true, err
	}
	s, err := o.Arg()
	if err != nil {
		return true, err
	}
	x := &t.from
	if o.Name == "--dst-pfx" {
		x = &t.to
	}
	x.set = true
	name, _, _ := strings.Cut(s, "/")
	given, _ := ParseAddr(policy.V6, name)
	if x.addr, x.mask, err = ParsePrefix(policy.V6, s); err != nil {
		return true, err
	}
	if n := MaskBits(policy.V6, x.mask); n < 0 || n > 64 {
		return true, fmt.Errorf("%q is no prefix of at most 64 bits", s)
	}
	if x.addr != given {
		return true, fmt.Errorf("%q has bits set behind its prefix", s)
	}
	return true, nil
}

func (t *npt) Done(*RuleInfo) (policy.Target, error) {
	switch {
	case !t.from.set:
		return nil, missing("--src-pfx")
	case !t.to.set:
		return nil, missing("--dst-pfx")
	}
	var err error
	t.npt, err = nat.NewNPT(t.from.addr, MaskBits(policy.V6, t.from.mask), t.to.addr, MaskBits(policy.V6, t.to.mask))
	return t, err
}

func (t *npt) CheckHooks(id policy.TableID, hooks HookMask) error {
	if id != policy.Mangle {
		return errors.New("it is allowed in the mangle table only")
	}
	if t.dst {
		return allowHooks("DNPT", hooks, policy.PreRouting, policy.Output)
	}
	return allowHooks("SNPT", hooks, policy.Input, policy.PostRouting)
}

// Exec translates. An address that cannot be mapped is answered with an ICMPv6 parameter problem (RFC 4443 3.4) that
// points at it.
func (t *npt) Exec(p *policy.Packet) policy.Verdict {
	ok, at := false, uint32(0)
	if t.dst {
		ok, at = t.npt.Destination(p.Packet), 24
	} else {
		ok, at = t.npt.Source(p.Packet), 8
	}
	if ok {
		return policy.Continue
	}
	const paramProblem = 4
	p.Reject = policy.RejectWith{Kind: policy.RejectICMP, Type: paramProblem, Info: at}
	p.Reason = packet.ReasonNATUntranslatable
	return policy.Drop
}

func (t *npt) AppendSave(b []byte) []byte {
	b = t.from.appendTo(append(b, " --src-pfx "...))
	return t.to.appendTo(append(b, " --dst-pfx "...))
}

func (x *nptPrefix) appendTo(b []byte) []byte {
	return AppendMask(AppendAddr(b, policy.V6, x.addr), policy.V6, x.mask)
}

func (t *npt) AppendList(b []byte, numeric bool) []byte {
	b = t.from.appendTo(append(append(append(b, ' '), t.Name()...), " src-pfx "...))
	return t.to.appendTo(append(b, " dst-pfx "...))
}
