package xt

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

// opts6 is -m hbh and -m dst (ip6t_hbh.c): the IPv6 hop-by-hop and destination options header, its length in bytes
// and the options it begins with.
type opts6 struct {
	name    string
	proto   uint8
	len     uint32
	hasLen  bool
	notLen  bool
	opts    []opt6
	hasOpts bool
}

// opt6 is an option by type and length; a length of 255 is any.
type opt6 struct{ typ, len uint8 }

const opts6Max = 16 // IP6T_OPTS_OPTSNR

func newHBH() MatchParser { return &opts6Args{opts6{name: "hbh", proto: packet.ProtoHopByHop}} }
func newDst() MatchParser { return &opts6Args{opts6{name: "dst", proto: packet.ProtoDstOpts}} }

type opts6Args struct{ m opts6 }

func (a *opts6Args) Option(o *Opt) (bool, error) {
	m := &a.m
	if strings.HasSuffix(o.Name, "-len") {
		v, err := argNumber(o, 0, 1<<32-1)
		m.len, m.hasLen, m.notLen = uint32(v), true, o.Not
		return true, err
	}
	s, err := o.Arg()
	if err != nil {
		return true, err
	}
	for _, word := range strings.Split(s, ",") {
		typ, size, hasLen := strings.Cut(word, ":")
		t, ok := ParseUint(typ, 0, 255)
		n := uint64(255)
		if ok && hasLen {
			n, ok = ParseUint(size, 0, 255)
		}
		if ok && hasLen && t == 0 {
			return true, fmt.Errorf("%s: Pad1 (type 0) has no length", o.Name)
		}
		if !ok {
			return true, fmt.Errorf("bad option %q for %s: type[:length] with numbers from 0 to 255 is wanted", word, o.Name)
		}
		m.opts = append(m.opts, opt6{uint8(t), uint8(n)})
	}
	m.hasOpts = true
	if len(m.opts) > opts6Max {
		return true, fmt.Errorf("%s: at most %d options are possible", o.Name, opts6Max)
	}
	return true, o.NoNot()
}

func (a *opts6Args) Done(*RuleInfo) (policy.Match, error) {
	m := a.m
	return &m, nil
}

func (m *opts6) Name() string { return m.name }

func (m *opts6) Match(p *policy.Packet) bool {
	h, ok := extHeader(p, m.proto, 2)
	if !ok {
		return false
	}
	size := int(h[1])*8 + 8
	if size > len(h) {
		p.HotDrop = true
		return false
	}
	if m.hasLen && (uint32(size) == m.len) == m.notLen {
		return false
	}
	h = h[2:size]
	for i, want := range m.opts {
		if len(h) == 0 || h[0] != want.typ {
			return false
		}
		n := 1 // Pad1 has no length
		if h[0] != 0 {
			if len(h) < 2 || want.len != 255 && want.len != h[1] {
				return false
			}
			n = int(h[1]) + 2
		}
		if n > len(h) {
			return i == len(m.opts)-1
		}
		h = h[n:]
	}
	return true
}

func (m *opts6) AppendSave(b []byte) []byte {
	if m.hasLen {
		b = append(append(append(appendNot(b, m.notLen), " --"...), m.name...), "-len "...)
		b = strconv.AppendUint(b, uint64(m.len), 10)
	}
	if len(m.opts) > 0 {
		b = append(append(append(b, " --"...), m.name...), "-opts "...)
	}
	return m.appendOpts(b)
}

func (m *opts6) AppendList(b []byte, numeric bool) []byte {
	b = appendLength(append(append(b, ' '), m.name...), m.hasLen, m.notLen, m.len)
	if len(m.opts) > 0 {
		b = append(b, " opts "...)
	}
	return m.appendOpts(b)
}

func (m *opts6) appendOpts(b []byte) []byte {
	for i, o := range m.opts {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(o.typ), 10)
		if o.len != 255 {
			b = strconv.AppendUint(append(b, ':'), uint64(o.len), 10)
		}
	}
	return b
}
