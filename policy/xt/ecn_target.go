package xt

import (
	"encoding/binary"
	"fmt"

	"github.com/moat-router/moat/policy"
)

// ecnTarget is -j ECN (ipt_ECN.c): the ECN bits of the IP header and of TCP's, for paths with broken equipment.
type ecnTarget struct {
	remove   bool // ECE and CWR were cleared by --ecn-tcp-remove
	ip       uint8
	hasIP    bool
	ece, cwr bool
	hasECE   bool
	hasCWR   bool
}

type ecnTargetArgs struct{ t ecnTarget }

func (a *ecnTargetArgs) Option(o *Opt) (bool, error) {
	t := &a.t
	if err := o.NoNot(); err != nil {
		return true, err
	}
	switch o.Name {
	case "--ecn-tcp-remove":
		t.remove = true
	case "--ecn-ip-ect":
		v, err := argNumber(o, 0, 3)
		t.ip, t.hasIP = uint8(v), true
		return true, err
	case "--ecn-tcp-ece":
		v, err := argNumber(o, 0, 1)
		t.ece, t.hasECE = v == 1, true
		return true, err
	case "--ecn-tcp-cwr":
		v, err := argNumber(o, 0, 1)
		t.cwr, t.hasCWR = v == 1, true
		return true, err
	default:
		return false, nil
	}
	return true, nil
}

func (a *ecnTargetArgs) Done(r *RuleInfo) (policy.Target, error) {
	t := a.t
	switch {
	case !t.remove && !t.hasIP && !t.hasECE && !t.hasCWR:
		return nil, fmt.Errorf("ECN needs an operation, such as --ecn-tcp-remove")
	case t.remove && (t.hasECE || t.hasCWR):
		return nil, fmt.Errorf("--ecn-tcp-remove excludes --ecn-tcp-ece and --ecn-tcp-cwr")
	case (t.remove || t.hasECE || t.hasCWR) && (r.Head.Proto != protoTCP || r.Head.NotProto):
		return nil, fmt.Errorf("TCP operations of ECN need -p tcp")
	}
	return &t, onlyMangle("ECN", r)
}

func (t *ecnTarget) Name() string { return "ECN" }

func (t *ecnTarget) Exec(p *policy.Packet) policy.Verdict {
	if t.hasIP && p.TOS()&3 != t.ip {
		p.SetECN(t.ip)
	}
	if !t.remove && !t.hasECE && !t.hasCWR || p.Proto != protoTCP {
		return policy.Continue
	}
	if len(p.Data) < p.L4+20 {
		return policy.Drop
	}
	if p.FragOff != 0 {
		return policy.Continue // deviates: the kernel takes the payload of a later fragment for a header and edits it
	}
	tcp := p.Data[p.L4:]
	const ece, cwr = 0x40, 0x80
	old := binary.BigEndian.Uint16(tcp[12:])
	w := old
	if t.remove || t.hasECE {
		w &^= ece
		if t.ece {
			w |= ece
		}
	}
	if t.remove || t.hasCWR {
		w &^= cwr
		if t.cwr {
			w |= cwr
		}
	}
	if w != old {
		p.Set16(12, w)
	}
	return policy.Continue
}

func (t *ecnTarget) AppendSave(b []byte) []byte {
	if t.remove {
		b = append(b, " --ecn-tcp-remove"...)
	}
	digit := func(option string, on bool, v uint8) {
		if on {
			b = append(append(b, option...), ' ', '0'+v)
		}
	}
	digit(" --ecn-tcp-ece", t.hasECE, bit(t.ece))
	digit(" --ecn-tcp-cwr", t.hasCWR, bit(t.cwr))
	digit(" --ecn-ip-ect", t.hasIP, t.ip)
	return b
}

func bit(on bool) uint8 {
	if on {
		return 1
	}
	return 0
}

func (t *ecnTarget) AppendList(b []byte, numeric bool) []byte {
	b = append(b, " ECN"...)
	if t.remove {
		b = append(b, " TCP remove"...)
	}
	if t.hasECE {
		b = fmt.Appendf(b, " ECE=%d", bit(t.ece))
	}
	if t.hasCWR {
		b = fmt.Appendf(b, " CWR=%d", bit(t.cwr))
	}
	if t.hasIP {
		b = fmt.Appendf(b, " ECT codepoint=%d", t.ip)
	}
	return b
}
