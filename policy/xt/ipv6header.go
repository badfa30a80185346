package xt

import (
	"fmt"
	"strings"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

// ipv6header is -m ipv6header (ip6t_ipv6header.c): which extension headers a packet has. Without --soft it has
// exactly these.
type ipv6header struct {
	want      uint8
	not, soft bool
}

// ipv6headers are the bits with the names that are printed, in the order of printing; the rest are names that are
// also understood.
var ipv6headers = [...]struct {
	bit   uint8
	proto uint8 // 255: whatever is no extension header
	name  string
	also  string
}{
	{128, packet.ProtoHopByHop, "hop-by-hop", "hop"},
	{64, packet.ProtoDstOpts, "ipv6-opts", "dst"},
	{32, packet.ProtoRouting, "ipv6-route", "route"},
	{16, packet.ProtoFragment, "ipv6-frag", "frag"},
	{8, protoAH, "ah", "auth"},
	{4, protoESP, "esp", ""},
	{2, packet.ProtoNone, "ipv6-nonxt", "none"},
	{1, 255, "protocol", "prot"},
}

type ipv6headerArgs struct {
	m     ipv6header
	given bool
}

func (a *ipv6headerArgs) Option(o *Opt) (bool, error) {
	if o.Name == "--soft" {
		a.m.soft = true
		return true, o.NoNot()
	}
	s, err := o.Arg()
	if err != nil {
		return true, err
	}
	a.given, a.m.not = true, o.Not
words:
	for _, word := range strings.Split(s, ",") {
		n, isNumber := ParseUint(word, 0, 255)
		for _, h := range ipv6headers {
			if isNumber && uint8(n) == h.proto || strings.EqualFold(word, h.name) || h.also != "" && strings.EqualFold(word, h.also) {
				a.m.want |= h.bit
				continue words
			}
		}
		return true, fmt.Errorf("unknown header %q: hop, dst, route, frag, auth, esp, none and protocol are possible", word)
	}
	return true, nil
}

func (a *ipv6headerArgs) Done(*RuleInfo) (policy.Match, error) {
	if !a.given {
		return nil, missing("--header")
	}
	m := a.m
	return &m, nil
}

func (m *ipv6header) Name() string { return "ipv6header" }

func (m *ipv6header) Match(p *policy.Packet) bool {
	have, ok := headersOf(p.Data)
	switch {
	case !ok:
		return false
	case m.soft && m.not:
		return ^have&m.want == m.want // none of them
	case m.soft:
		return have&m.want == m.want
	}
	return (have == m.want) != m.not
}

// headersOf collects the headers of an IPv6 packet. Behind the first fragment header it goes on as if the packet
// were whole, as the kernel's module does.
func headersOf(b []byte) (have uint8, ok bool) {
	next, off := b[6], 40
	for {
		var h uint8
		for i := range ipv6headers {
			if ipv6headers[i].proto == next && next != 255 {
				h = ipv6headers[i].bit
			}
		}
		if h == 0 {
			return have | 1, true
		}
		if next == packet.ProtoNone {
			return have | h, true
		}
		if off+2 > len(b) {
			return 0, false
		}
		have |= h
		if next == protoESP {
			return have, true
		}
		n := int(b[off+1])*8 + 8
		switch next {
		case packet.ProtoFragment:
			n = 8
		case protoAH:
			n = int(b[off+1])*4 + 8
		}
		next, off = b[off], off+n
		if off > len(b) {
			if next != packet.ProtoNone && next != protoESP {
				have |= 1
			}
			return have, true
		}
	}
}

func (m *ipv6header) AppendSave(b []byte) []byte {
	b = m.appendNames(append(appendNot(b, m.not), " --header "...))
	if m.soft {
		b = append(b, " --soft"...)
	}
	return b
}

func (m *ipv6header) AppendList(b []byte, numeric bool) []byte {
	b = appendListNot(append(b, " ipv6header flags:"...), m.not)
	if numeric {
		b = fmt.Appendf(b, "0x%02X", m.want)
	} else {
		b = m.appendNames(b)
	}
	if m.soft {
		b = append(b, " soft"...)
	}
	return b
}

func (m *ipv6header) appendNames(b []byte) []byte {
	sep := ""
	for _, h := range ipv6headers {
		if m.want&h.bit != 0 {
			b = append(append(b, sep...), h.name...)
			sep = ","
		}
	}
	return b
}
