package xt

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

// rt is -m rt (ip6t_rt.c): the IPv6 routing header.
type rt struct {
	typ, len       uint32
	hasType, not   bool
	hasLen, notLen bool
	segs           idRange
	hasSegs        bool
	res            bool
	addrs          []packet.Addr
	notStrict      bool
}

const rtMaxAddrs = 16 // IP6T_RT_HOPS

type rtArgs struct{ m rt }

func (a *rtArgs) Option(o *Opt) (bool, error) {
	m := &a.m
	switch o.Name {
	case "--rt-type":
		v, err := argNumber(o, 0, math.MaxUint32)
		m.typ, m.hasType, m.not = uint32(v), true, o.Not
		return true, err
	case "--rt-len":
		v, err := argNumber(o, 0, math.MaxUint32)
		m.len, m.hasLen, m.notLen = uint32(v), true, o.Not
		return true, err
	case "--rt-segsleft":
		m.hasSegs = true
		return true, m.segs.parse(o)
	case "--rt-0-res":
		m.res = true
	case "--rt-0-not-strict":
		m.notStrict = true
	case "--rt-0-addrs":
		s, err := o.Arg()
		if err != nil {
			return true, err
		}
		for _, word := range strings.Split(s, ",") {
			addr, ok := ParseAddr(policy.V6, word)
			if !ok {
				return true, addrError(policy.V6, word)
			}
			m.addrs = append(m.addrs, addr)
		}
		if len(m.addrs) > rtMaxAddrs {
			return true, fmt.Errorf("--rt-0-addrs: at most %d addresses are possible", rtMaxAddrs)
		}
	default:
		return false, nil
	}
	return true, o.NoNot()
}

func (a *rtArgs) Done(*RuleInfo) (policy.Match, error) {
	m := a.m
	if (m.res || m.addrs != nil || m.notStrict) && (!m.hasType || m.typ != 0 || m.not) {
		return nil, fmt.Errorf("--rt-0-res, --rt-0-addrs and --rt-0-not-strict need --rt-type 0")
	}
	if m.notStrict && m.addrs == nil {
		return nil, fmt.Errorf("--rt-0-not-strict needs --rt-0-addrs")
	}
	if !m.hasSegs {
		m.segs = anyID
	}
	return &m, nil
}

func (m *rt) Name() string { return "rt" }

func (m *rt) Match(p *policy.Packet) bool {
	h, ok := extHeader(p, packet.ProtoRouting, 4)
	if !ok {
		return false
	}
	size := int(h[1])*8 + 8
	if size > len(h) {
		p.HotDrop = true
		return false
	}
	h = h[:size]
	if !m.segs.has(uint32(h[3])) || m.hasLen && (m.len == uint32(size)) == m.notLen || m.hasType && (m.typ == uint32(h[2])) == m.not {
		return false
	}
	if m.res && binary.BigEndian.Uint32(h[4:]) != 0 {
		return false
	}
	if m.addrs == nil {
		return true
	}
	h = h[8:]
	found := 0
	for ; found < len(m.addrs) && len(h) >= 16; h = h[16:] {
		if packet.Addr6(h) == m.addrs[found] {
			found++
		} else if !m.notStrict {
			return false
		}
	}
	return found == len(m.addrs) && (m.notStrict || len(h) < 16)
}

func (m *rt) AppendSave(b []byte) []byte {
	if m.hasType {
		b = strconv.AppendUint(append(appendNot(b, m.not), " --rt-type "...), uint64(m.typ), 10)
	}
	b = m.segs.append(b, " --rt-segsleft")
	if m.hasLen {
		b = strconv.AppendUint(append(appendNot(b, m.notLen), " --rt-len "...), uint64(m.len), 10)
	}
	if m.res {
		b = append(b, " --rt-0-res"...)
	}
	sep := " --rt-0-addrs "
	for _, addr := range m.addrs {
		b = AppendAddr(append(b, sep...), policy.V6, addr)
		sep = ","
	}
	if m.notStrict {
		b = append(b, " --rt-0-not-strict"...)
	}
	return b
}

func (m *rt) AppendList(b []byte, numeric bool) []byte {
	b = append(b, " rt"...)
	if m.hasType {
		b = strconv.AppendUint(appendListNot(append(b, " type:"...), m.not), uint64(m.typ), 10)
	}
	b = m.segs.appendList(b, " segsleft", " segslefts")
	b = appendLength(b, m.hasLen, m.notLen, m.len)
	if m.res {
		b = append(b, " reserved"...)
	}
	sep := " 0-addrs "
	for _, addr := range m.addrs {
		b = AppendAddr(append(b, sep...), policy.V6, addr)
		sep = ","
	}
	if m.notStrict {
		b = append(b, " 0-not-strict"...)
	}
	return b
}
