package xt

import (
	"encoding/binary"

	"github.com/moat-router/moat/policy"
)

// tcpmss is -m tcpmss (xt_tcpmss.c): the maximum segment size that a TCP segment announces. One without the option
// fits as if it announced 0.
type tcpmss struct {
	lo, hi   uint64
	set, not bool
}

const optionMSS = 2

func (m *tcpmss) Name() string { return "tcpmss" }

func (m *tcpmss) Option(o *Opt) (ok bool, err error) {
	m.set, m.not = true, o.Not
	m.lo, m.hi, err = argRange(o, 65535)
	return true, err
}

func (m *tcpmss) Done(r *RuleInfo) (policy.Match, error) {
	if !m.set {
		return nil, missing("--mss")
	}
	return m, needProto(r, "tcpmss", protoTCP)
}

func (m *tcpmss) Match(p *policy.Packet) bool {
	if p.FragOff != 0 || p.L4+20 > len(p.Data) {
		p.HotDrop = true
		return false
	}
	size := int(p.Data[p.L4+12]>>4) * 4
	if size < 20 || p.L4+size > len(p.Data) {
		p.HotDrop = true
		return false
	}
	mss := uint64(announced(p.Data[p.L4+20 : p.L4+size]))
	return (mss >= m.lo && mss <= m.hi) != m.not
}

// announced finds the MSS in a list of TCP options; 0 if it is not there.
func announced(list []byte) uint16 {
	for i := 0; i < len(list); {
		if list[i] == optionMSS && len(list)-i >= 4 && list[i+1] == 4 {
			return binary.BigEndian.Uint16(list[i+2:])
		}
		if list[i] < 2 || i+1 >= len(list) || list[i+1] == 0 {
			i++
		} else {
			i += int(list[i+1])
		}
	}
	return 0
}

func (m *tcpmss) AppendSave(b []byte) []byte {
	return appendRange(append(appendNot(b, m.not), " --mss "...), m.lo, m.hi)
}

func (m *tcpmss) AppendList(b []byte, numeric bool) []byte {
	return appendRange(appendListNot(append(b, " tcpmss match "...), m.not), m.lo, m.hi)
}
