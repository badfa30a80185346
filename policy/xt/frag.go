package xt

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

// frag is -m frag (ip6t_frag.c): the IPv6 fragment header. Where conntrack is used, packets are whole when rules see
// them and have none.
type frag struct {
	ids            idRange
	len            uint32 // printed; like the kernel we compare it with nothing
	hasLen, notLen bool
	res, first     bool
	more, last     bool
	hasID          bool
}

// idRange is a range of numbers with its "!": an inverted full range matches nothing and is not printed.
type idRange struct {
	lo, hi uint32
	not    bool
}

func (r *idRange) parse(o *Opt) error {
	lo, hi, err := argRange(o, math.MaxUint32)
	*r = idRange{uint32(lo), uint32(hi), o.Not}
	return err
}

func (r *idRange) has(v uint32) bool { return (r.lo <= v && v <= r.hi) != r.not }

func (r *idRange) append(b []byte, option string) []byte {
	if r.lo == 0 && r.hi == math.MaxUint32 {
		return b
	}
	return appendRange(append(append(appendNot(b, r.not), option...), ' '), uint64(r.lo), uint64(r.hi))
}

func (r *idRange) appendList(b []byte, one, many string) []byte {
	if r.lo == 0 && r.hi == math.MaxUint32 && !r.not {
		return b
	}
	if r.lo != r.hi {
		one = many
	}
	return appendRange(appendListNot(append(append(b, one...), ':'), r.not), uint64(r.lo), uint64(r.hi))
}

// anyID is the range of everything.
var anyID = idRange{0, math.MaxUint32, false}

type fragArgs struct{ m frag }

func (a *fragArgs) Option(o *Opt) (bool, error) {
	m := &a.m
	switch o.Name {
	case "--fragid":
		m.hasID = true
		return true, m.ids.parse(o)
	case "--fraglen":
		v, err := argNumber(o, 0, math.MaxUint32)
		m.len, m.hasLen, m.notLen = uint32(v), true, o.Not
		return true, err
	case "--fragres":
		m.res = true
	case "--fragfirst":
		m.first = true
	case "--fragmore":
		m.more = true
	case "--fraglast":
		m.last = true
	default:
		return false, nil
	}
	if m.more && m.last {
		return true, together("--fragmore", "--fraglast")
	}
	return true, o.NoNot()
}

func (a *fragArgs) Done(*RuleInfo) (policy.Match, error) {
	m := a.m
	if !m.hasID {
		m.ids = anyID
	}
	return &m, nil
}

func (m *frag) Name() string { return "frag" }

// extHeader finds an extension header of size bytes at least. Where the chain of headers is cut, or the header
// itself is, the packet is hopeless.
func extHeader(p *policy.Packet, proto uint8, size int) (h []byte, ok bool) {
	off, ok := p.FindExt(proto)
	if !ok {
		p.HotDrop = p.ExtBad && p.FragOff == 0
		return nil, false
	}
	if off+size > len(p.Data) {
		p.HotDrop = true
		return nil, false
	}
	return p.Data[off:], true
}

func (m *frag) Match(p *policy.Packet) bool {
	h, ok := extHeader(p, packet.ProtoFragment, 8)
	if !ok {
		return false
	}
	where := binary.BigEndian.Uint16(h[2:])
	return m.ids.has(binary.BigEndian.Uint32(h[4:])) &&
		!(m.res && (h[1] != 0 || where&6 != 0)) &&
		!(m.first && where&^7 != 0) &&
		!(m.more && where&1 == 0) &&
		!(m.last && where&1 != 0)
}

func (m *frag) AppendSave(b []byte) []byte {
	b = m.ids.append(b, " --fragid")
	if m.hasLen {
		b = strconv.AppendUint(append(appendNot(b, m.notLen), " --fraglen "...), uint64(m.len), 10)
	}
	for _, f := range []struct {
		on   bool
		name string
	}{{m.res, " --fragres"}, {m.first, " --fragfirst"}, {m.more, " --fragmore"}, {m.last, " --fraglast"}} {
		if f.on {
			b = append(b, f.name...)
		}
	}
	return b
}

func (m *frag) AppendList(b []byte, numeric bool) []byte {
	b = m.ids.appendList(append(b, " frag "...), "id", "ids")
	b = appendLength(b, m.hasLen, m.notLen, m.len)
	for _, f := range []struct {
		on   bool
		name string
	}{{m.res, " reserved"}, {m.first, " first"}, {m.more, " more"}, {m.last, " last"}} {
		if f.on {
			b = append(b, f.name...)
		}
	}
	return b
}

// appendLength lists the length that an extension header shall have.
func appendLength(b []byte, has, not bool, n uint32) []byte {
	if !has {
		return b
	}
	return strconv.AppendUint(appendListNot(append(b, " length:"...), not), uint64(n), 10)
}
