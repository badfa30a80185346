package xt

import "github.com/moat-router/moat/policy"

// traceTarget is -j TRACE (xt_TRACE.c): every rule that the packet meets from here on is logged.
type traceTarget struct{}

func (t *traceTarget) Name() string                          { return "TRACE" }
func (t *traceTarget) Option(*Opt) (bool, error)             { return false, nil }
func (t *traceTarget) Done(*RuleInfo) (policy.Target, error) { return t, nil }
func (t *traceTarget) AppendSave(b []byte) []byte            { return b }

func (t *traceTarget) CheckHooks(id policy.TableID, hooks HookMask) error {
	return allow("TRACE", id, hooks, policy.Raw, policy.PreRouting, policy.Output)
}

func (t *traceTarget) Exec(p *policy.Packet) policy.Verdict {
	p.Trace = true
	return policy.Continue
}
