package xt

import (
	"errors"
	"fmt"
	"strings"

	"github.com/moat-router/moat/policy"
)

// physdev is -m physdev (xt_physdev.c): the bridge port of a bridged packet. moat routes and has no bridge, so it is
// read, printed and matches what the kernel matches for a packet that no bridge has seen: nothing, unless every
// option is inverted.
type physdev struct {
	isIn, isOut, isBridged physdevFlag
	in, out                physdevName
}

type physdevFlag struct{ set, not bool }

type physdevName struct {
	physdevFlag
	name string
}

func (m *physdev) Name() string { return "physdev" }

func (m *physdev) Option(o *Opt) (ok bool, err error) {
	f := physdevFlag{true, o.Not}
	switch o.Name {
	case "--physdev-is-in":
		m.isIn = f
	case "--physdev-is-out":
		m.isOut = f
	case "--physdev-is-bridged":
		m.isBridged = f
	case "--physdev-in":
		m.in.physdevFlag = f
		m.in.name, err = argIface(o)
	case "--physdev-out":
		m.out.physdevFlag = f
		m.out.name, err = argIface(o)
	}
	return true, err
}

// argIface takes the next word as the name of an interface.
func argIface(o *Opt) (string, error) {
	s, err := o.Arg()
	if err == nil {
		err = CheckIface(s)
	}
	return s, err
}

// CheckIface refuses what cannot be the name of an interface, or could not be written in a rule.
func CheckIface(name string) error {
	switch {
	case name == "":
		return errors.New("the name of the interface is empty")
	case len(name) > 15:
		return fmt.Errorf("interface name %q is longer than 15 bytes", name)
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' || r == '"' }):
		return fmt.Errorf("interface name %q has a blank, a slash or a quote in it", name)
	}
	return nil
}

func (m *physdev) Done(*RuleInfo) (policy.Match, error) {
	if !m.isIn.set && !m.isOut.set && !m.isBridged.set && !m.in.set && !m.out.set {
		return nil, errors.New("at least one option is needed")
	}
	return m, nil
}

func (m *physdev) CheckHooks(_ policy.TableID, hooks HookMask) error {
	bridged := m.isBridged.set && !m.isBridged.not
	if (m.isOut.set || m.out.set) && !bridged && hooks.Has(policy.Output) {
		return errors.New("--physdev-out and --physdev-is-out are not possible in OUTPUT")
	}
	return nil
}

func (m *physdev) Match(*policy.Packet) bool {
	return m.isIn.misses() && m.isOut.misses() && m.isBridged.misses() && m.in.misses() && m.out.misses()
}

// misses tells whether the option holds for a packet without bridge ports.
func (f physdevFlag) misses() bool { return !f.set || f.not }

func (m *physdev) AppendSave(b []byte) []byte {
	b = m.isIn.appendTo(b, " --physdev-is-in")
	b = m.in.appendTo(b, " --physdev-in")
	b = m.isOut.appendTo(b, " --physdev-is-out")
	b = m.out.appendTo(b, " --physdev-out")
	return m.isBridged.appendTo(b, " --physdev-is-bridged")
}

func (f physdevFlag) appendTo(b []byte, option string) []byte {
	if f.set {
		b = append(appendNot(b, f.not), option...)
	}
	return b
}

func (n physdevName) appendTo(b []byte, option string) []byte {
	if n.set {
		b = append(append(n.physdevFlag.appendTo(b, option), ' '), n.name...)
	}
	return b
}

func (m *physdev) AppendList(b []byte, numeric bool) []byte {
	b = append(b, " PHYSDEV match"...)
	return m.AppendSave(b)
}
