package xt

import (
	"errors"
	"strings"

	"github.com/moat-router/moat/policy"
)

// markTarget is -j MARK (xt_mark.c): mark = (mark & ^mask) ^ value.
type markTarget struct {
	value, mask uint32
	given       string
}

func (t *markTarget) Name() string { return "MARK" }

func (t *markTarget) Option(o *Opt) (bool, error) {
	if t.given != "" {
		return true, together(t.given, o.Name)
	}
	t.given = o.Name
	v, mask, err := setMark(o)
	t.value, t.mask = v, mask
	return true, err
}

// setMark reads the ways to set a mark: --set-xmark value/mask is the general one, --set-mark clears the bits of
// the value first, and the others are and, or and xor.
func setMark(o *Opt) (value, mask uint32, err error) {
	if err := o.NoNot(); err != nil {
		return 0, 0, err
	}
	if strings.HasPrefix(o.Name, "--set-") {
		value, mask, err = argMark(o)
		if o.Name == "--set-mark" {
			mask |= value
		}
		return value, mask, err
	}
	n, err := argNumber(o, 0, 1<<32-1)
	v := uint32(n)
	switch o.Name {
	case "--and-mark":
		return 0, ^v, err
	case "--or-mark":
		return v, v, err
	}
	return v, 0, err // --xor-mark
}

func (t *markTarget) Done(*RuleInfo) (policy.Target, error) {
	if t.given == "" {
		return nil, errors.New("one of --set-xmark, --set-mark, --and-mark, --or-mark and --xor-mark is needed")
	}
	return t, nil
}

func (t *markTarget) Exec(p *policy.Packet) policy.Verdict {
	p.Mark = p.Mark&^t.mask ^ t.value
	return policy.Continue
}

func (t *markTarget) AppendSave(b []byte) []byte {
	b = appendHex(append(b, " --set-xmark "...), uint64(t.value))
	return appendHex(append(b, '/'), uint64(t.mask))
}

func (t *markTarget) AppendList(b []byte, numeric bool) []byte {
	return append(append(b, " MARK"...), listSetMark(t.value, t.mask)...)
}

// listSetMark says what setting a mark does, in the shortest words (mark_tg_print).
func listSetMark(value, mask uint32) string {
	hex := func(v uint32) string { return string(appendHex(nil, uint64(v))) }
	switch {
	case value == 0:
		return " and " + hex(^mask)
	case value == mask:
		return " or " + hex(value)
	case mask == 0:
		return " xor " + hex(value)
	case mask == 1<<32-1:
		return " set " + hex(value)
	}
	return " xset " + hex(value) + "/" + hex(mask)
}
