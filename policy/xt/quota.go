package xt

import (
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/moat-router/moat/policy"
)

// quota is -m quota (xt_quota.c): it matches until the bytes are used up. The first packet that does not fit ends
// it for good, also for smaller ones. A replaced rule starts with all of its bytes again.
type quota struct {
	bytes uint64
	not   bool
	left  atomic.Uint64
}

type quotaArgs struct {
	bytes uint64
	given bool
	not   bool
}

func (a *quotaArgs) Option(o *Opt) (bool, error) {
	v, err := argNumber(o, 0, 1<<64-1)
	a.bytes, a.given, a.not = v, true, o.Not
	return true, err
}

func (a *quotaArgs) Done(*RuleInfo) (policy.Match, error) {
	if !a.given {
		return nil, missing("--quota")
	}
	return newQuota(a.bytes, a.not), nil
}

func newQuota(bytes uint64, not bool) *quota {
	m := &quota{bytes: bytes, not: not}
	m.left.Store(bytes)
	return m
}

func (m *quota) Name() string { return "quota" }
func (m *quota) Fresh() any   { return newQuota(m.bytes, m.not) }

func (m *quota) Match(p *policy.Packet) bool {
	n := uint64(len(p.Data))
	for {
		have := m.left.Load()
		if have < n {
			if have == 0 || m.left.CompareAndSwap(have, 0) {
				return m.not
			}
		} else if m.left.CompareAndSwap(have, have-n) {
			return !m.not
		}
	}
}

func (m *quota) AppendSave(b []byte) []byte {
	return strconv.AppendUint(append(appendNot(b, m.not), " --quota "...), m.bytes, 10)
}

// AppendList says the same of an inverted quota, as iptables does.
func (m *quota) AppendList(b []byte, numeric bool) []byte {
	return fmt.Appendf(b, " quota: %d bytes", m.bytes)
}
