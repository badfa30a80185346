package xt

import (
	"strconv"

	"github.com/moat-router/moat/policy"
)

// nflogTarget is -j NFLOG (xt_NFLOG.c): the packet goes to the listeners of a group, here as the line that LOG would
// print. Size and threshold belong to the kernel's netlink sockets and are only printed.
type nflogTarget struct {
	group     uint16
	size      uint32
	hasSize   bool
	range_    uint32
	threshold uint16
	prefix    string
}

type nflogArgs struct{ t nflogTarget }

func (a *nflogArgs) Option(o *Opt) (bool, error) {
	t := &a.t
	if err := o.NoNot(); err != nil {
		return true, err
	}
	s, err := o.Arg()
	if err != nil {
		return true, err
	}
	var v uint64
	switch o.Name {
	case "--nflog-group":
		v, err = number(o, s, 0, 65535)
		t.group = uint16(v)
	case "--nflog-prefix":
		t.prefix, err = logPrefix(o, s, nflogPrefixMax)
	case "--nflog-range":
		v, err = number(o, s, 0, 1<<32-1)
		t.range_ = uint32(v)
	case "--nflog-size":
		v, err = number(o, s, 0, 1<<32-1)
		t.size, t.hasSize = uint32(v), true
	case "--nflog-threshold":
		v, err = number(o, s, 0, 65535)
		t.threshold = uint16(v)
	}
	return true, err
}

func (a *nflogArgs) Done(*RuleInfo) (policy.Target, error) {
	t := a.t
	if t.hasSize && t.range_ != 0 {
		return nil, together("--nflog-size", "--nflog-range")
	}
	return &t, nil
}

func (t *nflogTarget) Name() string { return "NFLOG" }

func (t *nflogTarget) Exec(p *policy.Packet) policy.Verdict {
	p.W.Env.NFLog(p, t.group, logLine(p, t.prefix, 0))
	return policy.Continue
}

func (t *nflogTarget) AppendSave(b []byte) []byte { return t.append(b, " --") }

// AppendList is the normal form without dashes.
func (t *nflogTarget) AppendList(b []byte, numeric bool) []byte { return t.append(b, " ") }

func (t *nflogTarget) append(b []byte, lead string) []byte {
	if t.prefix != "" {
		b = AppendQuoted(append(append(b, lead...), "nflog-prefix "...), t.prefix)
	}
	if t.group != 0 {
		b = strconv.AppendUint(append(append(b, lead...), "nflog-group "...), uint64(t.group), 10)
	}
	switch {
	case t.hasSize:
		b = strconv.AppendUint(append(append(b, lead...), "nflog-size "...), uint64(t.size), 10)
	case t.range_ != 0:
		b = strconv.AppendUint(append(append(b, lead...), "nflog-range "...), uint64(t.range_), 10)
	}
	if t.threshold != 0 {
		b = strconv.AppendUint(append(append(b, lead...), "nflog-threshold "...), uint64(t.threshold), 10)
	}
	return b
}
