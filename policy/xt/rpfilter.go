package xt

import (
	"errors"

	"github.com/moat-router/moat/policy"
)

// rpfilter is -m rpfilter (ipt_rpfilter.c, ip6t_rpfilter.c): would an answer leave by the interface that the packet
// came by?
type rpfilter struct {
	how    policy.ReversePath
	invert bool
}

func (m *rpfilter) Name() string { return "rpfilter" }

func (m *rpfilter) Option(o *Opt) (bool, error) {
	switch o.Name {
	case "--loose":
		m.how.Loose = true
	case "--validmark":
		m.how.ValidMark = true
	case "--accept-local":
		m.how.AcceptLocal = true
	case "--invert":
		m.invert = true
	}
	return true, o.NoNot()
}

func (m *rpfilter) Done(*RuleInfo) (policy.Match, error) { return m, nil }

func (m *rpfilter) CheckHooks(id policy.TableID, hooks HookMask) error {
	if id != policy.Raw && id != policy.Mangle {
		return errors.New("it is allowed in the raw and mangle tables only")
	}
	return allowHooks("it", hooks, policy.PreRouting)
}

func (m *rpfilter) Match(p *policy.Packet) bool { return p.W.Env.ReversePath(p, m.how) != m.invert }

func (m *rpfilter) AppendSave(b []byte) []byte { return m.appendWords(b, " --") }

func (m *rpfilter) appendWords(b []byte, prefix string) []byte {
	for _, f := range []struct {
		set  bool
		name string
	}{{m.how.Loose, "loose"}, {m.how.ValidMark, "validmark"}, {m.how.AcceptLocal, "accept-local"}, {m.invert, "invert"}} {
		if f.set {
			b = append(append(b, prefix...), f.name...)
		}
	}
	return b
}

func (m *rpfilter) AppendList(b []byte, numeric bool) []byte {
	return m.appendWords(append(b, " rpfilter"...), " ")
}
