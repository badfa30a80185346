package xt

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/moat-router/moat/policy"
)

// setTarget is -j SET (xt_set.c): it adds what the packet has to a set, takes it out, or gives the packet the mark
// and priority that its element carries. The packet goes on.
type setTarget struct {
	ops               []setTargetOp // in the order add, del, map
	exist             bool
	timeout           *int64 // seconds
	mark, prio, queue bool
}

type setTargetOp struct {
	option string
	set    *set
	dims   setDims
}

var setTargetOptions = [...]string{"--add-set", "--del-set", "--map-set"}

type setTargetArgs struct {
	t     setTarget
	names [3]string
	dims  [3]setDims
}

func (a *setTargetArgs) Option(o *Opt) (bool, error) {
	if err := o.NoNot(); err != nil {
		return true, err
	}
	for i, name := range setTargetOptions {
		if name == o.Name {
			var err error
			a.names[i], a.dims[i], err = setNameAndDims(o)
			return true, err
		}
	}
	switch o.Name {
	case "--exist":
		a.t.exist = true
	case "--timeout":
		v, err := argNumber(o, 0, 1<<32-2)
		seconds := int64(v)
		a.t.timeout = &seconds
		return true, err
	case "--map-mark":
		a.t.mark = true
	case "--map-prio":
		a.t.prio = true
	case "--map-queue":
		a.t.queue = true
	default:
		return false, nil
	}
	return true, nil
}

func (a *setTargetArgs) Done(r *RuleInfo) (policy.Target, error) {
	t := a.t
	maps := t.mark || t.prio || t.queue
	switch {
	case a.names == [3]string{}:
		return nil, missing("--add-set, --del-set or --map-set")
	case a.names[0] == "" && (t.exist || t.timeout != nil):
		return nil, fmt.Errorf("--exist and --timeout belong to --add-set")
	case (a.names[2] != "") != maps:
		return nil, fmt.Errorf("--map-set goes together with --map-mark, --map-prio or --map-queue")
	}
	for i, name := range a.names {
		if name == "" {
			continue
		}
		s, err := r.Shared.ruleSet(name, r.Family)
		if err != nil {
			return nil, err
		}
		t.ops = append(t.ops, setTargetOp{setTargetOptions[i], s, a.dims[i]})
	}
	if maps {
		return &t, onlyMangle("SET --map-set", r)
	}
	return &t, nil
}

// CheckHooks allows priorities and queues only where packets leave.
func (t *setTarget) CheckHooks(_ policy.TableID, hooks HookMask) error {
	if (t.prio || t.queue) && (hooks.Has(policy.PreRouting) || hooks.Has(policy.Input)) {
		return fmt.Errorf("SET --map-prio and --map-queue are allowed only in FORWARD, OUTPUT and POSTROUTING")
	}
	return nil
}

func (t *setTarget) Name() string { return "SET" }

func (t *setTarget) Exec(p *policy.Packet) policy.Verdict {
	for i := range t.ops {
		switch o := &t.ops[i]; o.option {
		case "--add-set":
			o.set.addPacket(p, &o.dims, t.exist, t.timeout)
		case "--del-set":
			o.set.delPacket(p, &o.dims)
		default:
			e, in := o.set.test(p, &o.dims, &setTest{})
			if !in {
				continue
			}
			if t.mark {
				p.Mark = p.Mark&^e.mask ^ e.mark
			}
			if t.prio {
				p.Priority = e.prio
			}
		}
	}
	return policy.Continue
}

func (t *setTarget) AppendSave(b []byte) []byte { return t.append(b, "--") }

// AppendList is the normal form without dashes.
func (t *setTarget) AppendList(b []byte, numeric bool) []byte { return t.append(b, "") }

func (t *setTarget) append(b []byte, dashes string) []byte {
	word := func(w string) { b = append(append(append(b, ' '), dashes...), w...) }
	for i := range t.ops {
		o := &t.ops[i]
		word(strings.TrimPrefix(o.option, "--"))
		b = append(append(append(b, ' '), o.set.name...), ' ')
		b = o.dims.append(b)
		if o.option != "--add-set" {
			continue
		}
		if t.exist {
			word("exist")
		}
		if t.timeout != nil {
			word("timeout ")
			b = strconv.AppendInt(b, *t.timeout, 10)
		}
	}
	for _, f := range []struct {
		on   bool
		name string
	}{{t.mark, "map-mark"}, {t.prio, "map-prio"}, {t.queue, "map-queue"}} {
		if f.on {
			word(f.name)
		}
	}
	return b
}
