package xt

import (
	"encoding/binary"
	"fmt"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

// spis is an inclusive range of security parameter indexes. Not set, or set to all, it is not printed; inverted all
// matches nothing.
type spis struct {
	lo, hi   uint64
	set, not bool
}

const maxSPI = 1<<32 - 1

func (s *spis) parse(o *Opt) (err error) {
	s.set, s.not = true, o.Not
	s.lo, s.hi, err = argRange(o, maxSPI)
	return err
}

func (s *spis) has(spi uint32) bool {
	return !s.set || (uint64(spi) >= s.lo && uint64(spi) <= s.hi) != s.not
}

func (s *spis) appendSave(b []byte, option string) []byte {
	if !s.set || s.lo == 0 && s.hi == maxSPI {
		return b
	}
	return appendRange(append(appendNot(b, s.not), option...), s.lo, s.hi)
}

func (s *spis) appendList(b []byte) []byte {
	if !s.set || s.lo == 0 && s.hi == maxSPI && !s.not {
		return b
	}
	b = append(b, "spi"...)
	if s.lo != s.hi {
		b = append(b, 's')
	}
	return appendRange(appendListNot(append(b, ':'), s.not), s.lo, s.hi)
}

// esp is -m esp (xt_esp.c, RFC 4303).
type esp struct{ spis }

func (m *esp) Name() string                { return "esp" }
func (m *esp) Option(o *Opt) (bool, error) { return true, m.parse(o) }

func (m *esp) Done(r *RuleInfo) (policy.Match, error) { return m, needProto(r, "esp", protoESP) }

func (m *esp) Match(p *policy.Packet) bool {
	h := transport(p, 8)
	return h != nil && m.has(binary.BigEndian.Uint32(h))
}

func (m *esp) AppendSave(b []byte) []byte { return m.appendSave(b, " --espspi ") }

func (m *esp) AppendList(b []byte, numeric bool) []byte {
	b = append(b, " esp"...)
	if x := m.appendList(append(b, ' ')); len(x) > len(b)+1 {
		return x
	}
	return b
}

// ah is -m ah (ipt_ah.c, ip6t_ah.c, RFC 4302): for IPv4 a protocol, for IPv6 an extension header with more to ask.
type ah struct {
	spis
	v6       bool
	length   uint32 // 0: not asked
	notLen   bool
	reserved bool
}

func newAHv4() MatchParser { return &ah{} }
func newAHv6() MatchParser { return &ah{v6: true} }

func (m *ah) Name() string { return "ah" }

func (m *ah) Option(o *Opt) (bool, error) {
	switch o.Name {
	case "--ahlen":
		n, err := argNumber(o, 0, maxSPI)
		m.length, m.notLen = uint32(n), o.Not
		return true, err
	case "--ahres":
		m.reserved = true
		return true, o.NoNot()
	}
	return true, m.parse(o)
}

func (m *ah) Done(r *RuleInfo) (policy.Match, error) {
	if m.v6 {
		return m, nil
	}
	return m, needProto(r, "ah", protoAH)
}

func (m *ah) Match(p *policy.Packet) bool {
	if !m.v6 {
		h := transport(p, 12)
		return h != nil && m.has(binary.BigEndian.Uint32(h[4:]))
	}
	off, ok := p.FindExt(packet.ProtoAH)
	if !ok {
		p.HotDrop = p.ExtBad
		return false
	}
	if off+12 > len(p.Data) {
		p.HotDrop = true
		return false
	}
	h := p.Data[off:]
	size := (uint32(h[1]) + 2) * 4
	if uint64(size) > uint64(len(h)) {
		p.HotDrop = true
		return false
	}
	return m.has(binary.BigEndian.Uint32(h[4:])) &&
		(m.length == 0 || (size == m.length) != m.notLen) &&
		(!m.reserved || h[2]|h[3] == 0)
}

func (m *ah) AppendSave(b []byte) []byte {
	b = m.appendSave(b, " --ahspi ")
	if m.length != 0 || m.notLen {
		b = fmt.Appendf(appendNot(b, m.notLen), " --ahlen %d", m.length)
	}
	if m.reserved {
		b = append(b, " --ahres"...)
	}
	return b
}

func (m *ah) AppendList(b []byte, numeric bool) []byte {
	b = m.appendList(append(b, " ah "...)) // iptables leaves blanks out here and there
	if m.length != 0 || m.notLen {
		b = fmt.Appendf(appendListNot(append(b, "length:"...), m.notLen), "%d", m.length)
	}
	if m.reserved {
		b = append(b, " reserved"...)
	}
	return b
}
