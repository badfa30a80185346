package xt

import (
	"encoding/binary"
	"errors"

	"github.com/moat-router/moat/policy"
)

// tcpmssMatch is -m tcpmss (xt_tcpmss.c): the maximum segment size that a TCP segment announces. One without the option
// does not fit (and fits if inverted); one whose header is cut is hot-dropped.
type tcpmssMatch struct {
	lo, hi   uint64
	set, not bool
}

const optionMSS = 2

func (m *tcpmssMatch) Name() string { return "tcpmss" }

func (m *tcpmssMatch) Option(o *Opt) (ok bool, err error) {
	m.set, m.not = true, o.Not
	m.lo, m.hi, err = argRange(o, 65535)
	return true, err
}

func (m *tcpmssMatch) Done(r *RuleInfo) (policy.Match, error) {
	if !m.set {
		return nil, missing("--mss")
	}
	if m.lo > m.hi {
		return nil, errors.New("--mss: the range ends before it begins")
	}
	return m, needProto(r, "tcpmss", protoTCP)
}

func (m *tcpmssMatch) Match(p *policy.Packet) bool {
	if p.L4+20 > len(p.Data) {
		p.HotDrop = true
		return false
	}
	size := int(p.Data[p.L4+12]>>4) * 4
	if size < 20 || p.L4+size > len(p.Data) {
		p.HotDrop = true
		return false
	}
	mss, found := announced(p.Data[p.L4+20 : p.L4+size])
	return (found && uint64(mss) >= m.lo && uint64(mss) <= m.hi) != m.not
}

// announced finds the MSS in a list of TCP options.
func announced(list []byte) (mss uint16, found bool) {
	for i := 0; i < len(list); {
		if list[i] == optionMSS && len(list)-i >= 4 && list[i+1] == 4 {
			return binary.BigEndian.Uint16(list[i+2:]), true
		}
		if list[i] < 2 || i+1 >= len(list) || list[i+1] == 0 {
			i++
		} else {
			i += int(list[i+1])
		}
	}
	return 0, false
}

func (m *tcpmssMatch) AppendSave(b []byte) []byte {
	return appendRange(append(appendNot(b, m.not), " --mss "...), m.lo, m.hi)
}

func (m *tcpmssMatch) AppendList(b []byte, numeric bool) []byte {
	return appendRange(appendListNot(append(b, " tcpmss match "...), m.not), m.lo, m.hi)
}
