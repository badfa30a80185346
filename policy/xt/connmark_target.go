package xt

import (
	"errors"
	"fmt"

	"github.com/moat-router/moat/policy"
)

// connmarkTarget is -j CONNMARK (xt_connmark.c): it sets the connection's mark, saves the packet's mark in it, or
// restores the packet's mark from it. What is carried over may be shifted.
type connmarkTarget struct {
	op             string // the option that says what to do
	value          uint32
	ctMask, nfMask uint32
	left, right    uint8
}

type connmarkArgs struct {
	connmarkTarget
	mask string // the option among --mask, --ctmask, --nfmask seen last
}

func (t *connmarkTarget) Name() string         { return "CONNMARK" }
func (t *connmarkTarget) NeedsConntrack() bool { return true }

func (a *connmarkArgs) Option(o *Opt) (bool, error) {
	if err := o.NoNot(); err != nil {
		return true, err
	}
	switch o.Name {
	case "--save-mark", "--restore-mark":
		return true, a.setOp(o.Name)
	case "--set-xmark", "--set-mark", "--and-mark", "--or-mark", "--xor-mark":
		if err := a.setOp("--set-xmark"); err != nil {
			return true, err
		}
		v, mask, err := setMark(o)
		a.value, a.ctMask = v, mask
		return true, err
	case "--ctmask", "--nfmask", "--mask":
		if (o.Name == "--mask") != (a.mask == "--mask") && a.mask != "" {
			return true, together(a.mask, o.Name)
		}
		a.mask = o.Name
		n, err := argNumber(o, 0, 1<<32-1)
		if o.Name != "--nfmask" {
			a.ctMask = uint32(n)
		}
		if o.Name != "--ctmask" {
			a.nfMask = uint32(n)
		}
		return true, err
	case "--left-shift-mark", "--right-shift-mark":
		if a.left+a.right > 0 {
			return true, together("--left-shift-mark", "--right-shift-mark")
		}
		n, err := argNumber(o, 0, 32)
		if o.Name == "--left-shift-mark" {
			a.left = uint8(n)
		} else {
			a.right = uint8(n)
		}
		return true, err
	}
	return false, nil
}

func (a *connmarkArgs) setOp(op string) error {
	if a.op != "" {
		return together(a.op, op)
	}
	a.op = op
	if op != "--set-xmark" {
		if a.mask == "" || a.mask == "--nfmask" {
			a.ctMask = 1<<32 - 1
		}
		if a.mask == "" || a.mask == "--ctmask" {
			a.nfMask = 1<<32 - 1
		}
	}
	return nil
}

func (a *connmarkArgs) Done(*RuleInfo) (policy.Target, error) {
	if a.op == "" {
		return nil, errors.New("one of --set-xmark, --set-mark, --save-mark and --restore-mark is needed")
	}
	return &a.connmarkTarget, nil
}

func (t *connmarkTarget) Exec(p *policy.Packet) policy.Verdict {
	c := p.CT.Conn
	if c == nil {
		return policy.Continue
	}
	switch t.op {
	case "--set-xmark":
		c.SetMark(t.shift(c.Mark()&^t.ctMask ^ t.value))
	case "--save-mark":
		c.SetMark(c.Mark()&^t.ctMask ^ t.shift(p.Mark&t.nfMask))
	default:
		p.Mark = p.Mark&^t.nfMask ^ t.shift(c.Mark()&t.ctMask)
	}
	return policy.Continue
}

func (t *connmarkTarget) shift(v uint32) uint32 { return v << t.left >> t.right }

func (t *connmarkTarget) AppendSave(b []byte) []byte {
	if t.op == "--set-xmark" {
		b = appendHex(append(b, " --set-xmark "...), uint64(t.value))
		b = appendHex(append(b, '/'), uint64(t.ctMask))
	} else {
		b = append(append(b, ' '), t.op...)
		b = appendHex(append(b, " --nfmask "...), uint64(t.nfMask))
		b = appendHex(append(b, " --ctmask "...), uint64(t.ctMask))
	}
	if t.left > 0 {
		b = fmt.Appendf(b, " --left-shift-mark %d", t.left)
	}
	if t.right > 0 {
		b = fmt.Appendf(b, " --right-shift-mark %d", t.right)
	}
	return b
}

func (t *connmarkTarget) AppendList(b []byte, numeric bool) []byte {
	b = append(b, " CONNMARK"...)
	switch {
	case t.op == "--set-xmark":
		b = append(b, listSetMark(t.value, t.ctMask)...)
	case t.nfMask == 1<<32-1 && t.ctMask == 1<<32-1:
		b = append(append(b, ' '), t.op[2:len(t.op)-len("-mark")]...)
	case t.nfMask == t.ctMask:
		b = append(append(b, ' '), t.op[2:len(t.op)-len("-mark")]...)
		b = fmt.Appendf(b, " mask 0x%x", t.ctMask)
	case t.op == "--save-mark":
		b = fmt.Appendf(b, " save nfmask 0x%x ctmask ~0x%x", t.nfMask, t.ctMask)
	default:
		b = fmt.Appendf(b, " restore ctmask 0x%x nfmask ~0x%x", t.ctMask, t.nfMask)
	}
	if t.left > 0 {
		b = fmt.Appendf(b, " left-shift-mark %d", t.left)
	}
	if t.right > 0 {
		b = fmt.Appendf(b, " right-shift-mark %d", t.right)
	}
	return b
}
