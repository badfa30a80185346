package xt

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

// reject is -j REJECT (ipt_REJECT.c, ip6t_REJECT.c): the packet dies with an answer.
type reject struct {
	kind *rejectKind
}

type rejectArgs struct {
	given string
}

// rejectKind is one word behind --reject-with.
type rejectKind struct {
	name, alias string
	with        policy.RejectWith
}

const (
	icmpUnreach   = 3 // RFC 792
	icmpv6Unreach = 1 // RFC 4443
)

func unreach(typ, code uint8) policy.RejectWith {
	return policy.RejectWith{Kind: policy.RejectICMP, Type: typ, Code: code}
}

// rejectKinds are the answers per family; the words may be shortened, the first that fits is taken.
var rejectKinds = [policy.NumFamilies][]rejectKind{
	policy.V4: {
		{"icmp-net-unreachable", "net-unreach", unreach(icmpUnreach, 0)},
		{"icmp-host-unreachable", "host-unreach", unreach(icmpUnreach, 1)},
		{"icmp-proto-unreachable", "proto-unreach", unreach(icmpUnreach, 2)},
		{"icmp-port-unreachable", "port-unreach", unreach(icmpUnreach, 3)},
		{"icmp-net-prohibited", "net-prohib", unreach(icmpUnreach, 9)},
		{"icmp-host-prohibited", "host-prohib", unreach(icmpUnreach, 10)},
		{"tcp-reset", "tcp-rst", policy.RejectWith{Kind: policy.RejectTCPReset}},
		{"icmp-admin-prohibited", "admin-prohib", unreach(icmpUnreach, 13)},
	},
	policy.V6: {
		{"icmp6-no-route", "no-route", unreach(icmpv6Unreach, 0)},
		{"icmp6-adm-prohibited", "adm-prohibited", unreach(icmpv6Unreach, 1)},
		{"icmp6-addr-unreachable", "addr-unreach", unreach(icmpv6Unreach, 3)},
		{"icmp6-port-unreachable", "port-unreach", unreach(icmpv6Unreach, 4)},
		{"tcp-reset", "tcp-reset", policy.RejectWith{Kind: policy.RejectTCPReset}},
		{"icmp6-policy-fail", "policy-fail", unreach(icmpv6Unreach, 5)},
		{"icmp6-reject-route", "reject-route", unreach(icmpv6Unreach, 6)},
	},
}

func (a *rejectArgs) Option(o *Opt) (ok bool, err error) {
	if err := o.NoNot(); err != nil {
		return true, err
	}
	a.given, err = o.Arg()
	return true, err
}

func (a *rejectArgs) Done(r *RuleInfo) (policy.Target, error) {
	kinds := rejectKinds[r.Family]
	word := a.given
	if word == "" {
		word = "port-unreach"
	}
	i := slices.IndexFunc(kinds, func(k rejectKind) bool { return shortFor(word, k.name) || shortFor(word, k.alias) })
	if i < 0 {
		names := make([]string, len(kinds))
		for i, k := range kinds {
			names[i] = k.name
		}
		return nil, fmt.Errorf("unknown answer %q: %s", word, strings.Join(names, ", "))
	}
	t := &reject{&kinds[i]}
	if t.kind.with.Kind == policy.RejectTCPReset && (r.Head.Proto != protoTCP || r.Head.NotProto) {
		return nil, fmt.Errorf("--reject-with tcp-reset needs -p tcp in the same rule")
	}
	return t, nil
}

// shortFor tells whether word is name or its beginning, in any case.
func shortFor(word, name string) bool {
	return len(word) <= len(name) && strings.EqualFold(name[:len(word)], word)
}

func (t *reject) Name() string { return "REJECT" }

func (t *reject) CheckHooks(id policy.TableID, hooks HookMask) error {
	return allow("REJECT", id, hooks, policy.Filter, policy.Input, policy.Forward, policy.Output)
}

func (t *reject) Exec(p *policy.Packet) policy.Verdict {
	p.Reject = t.kind.with
	p.Reason = packet.ReasonReject
	return policy.Drop
}

func (t *reject) AppendSave(b []byte) []byte {
	return append(append(b, " --reject-with "...), t.kind.name...)
}

func (t *reject) AppendList(b []byte, numeric bool) []byte {
	return append(append(b, " reject-with "...), t.kind.name...)
}

// allow refuses a target outside of its table and its hooks (xt_check_target).
func allow(name string, id policy.TableID, hooks HookMask, table policy.TableID, allowed ...policy.Hook) error {
	if id != table {
		return fmt.Errorf("%s is allowed in the %s table only, not in %s", name, table, id)
	}
	return allowHooks(name, hooks, allowed...)
}

// allowHooks refuses hooks that are not among the allowed.
func allowHooks(name string, hooks HookMask, allowed ...policy.Hook) error {
	var names []string
	for _, h := range allowed {
		hooks &^= 1 << h
		names = append(names, h.String())
	}
	if hooks != 0 {
		return fmt.Errorf("%s is allowed in %s only", name, strings.Join(names, ", "))
	}
	return nil
}
