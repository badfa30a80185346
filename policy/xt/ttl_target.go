package xt

import (
	"fmt"
	"strconv"

	"github.com/moat-router/moat/policy"
)

// ttlTarget is -j TTL and -j HL (xt_HL.c).
type ttlTarget struct {
	name string // TTL or HL
	op   string // what stands behind --ttl- or --hl-
	n    uint8
}

func newTTLTarget() TargetParser { return &ttlTargetArgs{ttlTarget{name: "TTL"}} }
func newHLTarget() TargetParser  { return &ttlTargetArgs{ttlTarget{name: "HL"}} }

type ttlTargetArgs struct{ t ttlTarget }

func (a *ttlTargetArgs) option(op string) string {
	if a.t.name == "HL" {
		return "--hl-" + op
	}
	return "--ttl-" + op
}

func (a *ttlTargetArgs) Option(o *Opt) (bool, error) {
	for _, op := range [...]string{"set", "inc", "dec"} {
		if o.Name != a.option(op) {
			continue
		}
		if a.t.op != "" {
			return true, together(a.option(a.t.op), o.Name)
		}
		least := uint64(1)
		if op == "set" {
			least = 0
		}
		v, err := argNumber(o, least, 255)
		a.t.op, a.t.n = op, uint8(v)
		return true, or(err, o)
	}
	return false, nil
}

func (a *ttlTargetArgs) Done(r *RuleInfo) (policy.Target, error) {
	if a.t.op == "" {
		return nil, fmt.Errorf("%s needs one of %s, %s and %s", a.t.name, a.option("set"), a.option("inc"), a.option("dec"))
	}
	t := a.t
	return &t, onlyMangle(t.name, r)
}

func (t *ttlTarget) Name() string { return t.name }

func (t *ttlTarget) Exec(p *policy.Packet) policy.Verdict {
	v := int(t.n)
	switch t.op {
	case "inc":
		v = min(int(p.TTL())+v, 255)
	case "dec":
		v = max(int(p.TTL())-v, 0)
	}
	if uint8(v) != p.TTL() {
		p.SetTTL(uint8(v))
	}
	return policy.Continue
}

func (t *ttlTarget) AppendSave(b []byte) []byte {
	b = append(append(b, ' '), (&ttlTargetArgs{*t}).option(t.op)...)
	return strconv.AppendUint(append(b, ' '), uint64(t.n), 10)
}

func (t *ttlTarget) AppendList(b []byte, numeric bool) []byte {
	words := map[string]string{"set": "set to", "inc": "increment by", "dec": "decrement by"}
	return fmt.Appendf(b, " %s %s %d", t.name, words[t.op], t.n)
}
