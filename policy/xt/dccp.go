package xt

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moat-router/moat/policy"
)

// dccp is -m dccp (xt_dccp.c, RFC 4340): ports, packet types and the presence of an option.
type dccp struct {
	src, dst          ports
	types             uint16 // bit per packet type
	typesSet, notType bool
	option            uint8 // 0: not asked
	notOption         bool
}

// dccpTypes are the packet types by number; INVALID stands for all
// numbers that RFC 4340 leaves free.
var dccpTypes = []string{
	"REQUEST", "RESPONSE", "DATA", "ACK", "DATAACK", "CLOSEREQ", "CLOSE", "RESET", "SYNC", "SYNCACK", "INVALID",
}

func (m *dccp) Name() string { return "dccp" }

func (m *dccp) Option(o *Opt) (bool, error) {
	switch o.Name {
	case "--sport", "--source-port":
		return true, m.src.parse(o, "", false)
	case "--dport", "--destination-port":
		return true, m.dst.parse(o, "", false)
	case "--dccp-types":
		list, err := o.Arg()
		if err != nil {
			return true, err
		}
		m.typesSet, m.notType = true, o.Not
		for name := range strings.SplitSeq(list, ",") {
			i := slices.Index(dccpTypes, strings.ToUpper(name))
			if i < 0 {
				return true, fmt.Errorf("unknown DCCP type %q: %s", name, strings.Join(dccpTypes, ", "))
			}
			m.types |= 1 << i
			if i == len(dccpTypes)-1 {
				m.types |= 0xffff << i
			}
		}
		return true, nil
	case "--dccp-option":
		n, err := argNumber(o, 1, 255)
		m.option, m.notOption = uint8(n), o.Not
		return true, err
	}
	return false, nil
}

func (m *dccp) Done(r *RuleInfo) (policy.Match, error) { return m, needProto(r, "dccp", protoDCCP) }

func (m *dccp) Match(p *policy.Packet) bool {
	h := transport(p, 12)
	if h == nil {
		return false
	}
	src, dst := portsOf(h)
	if !m.src.has(src) || !m.dst.has(dst) {
		return false
	}
	if m.typesSet && (m.types>>(h[8]>>1&15)&1 != 0) == m.notType {
		return false
	}
	return m.option == 0 || m.hasOption(p, h) != m.notOption
}

// dccpMore is how many bytes of header each packet type has behind the generic one before options begin (RFC 4340 5),
// as the kernel counts them: always with long acknowledgement numbers, and for free types as for RESET.
var dccpMore = [16]int{4, 12, 0, 8, 8, 8, 8, 12, 8, 8, 12, 12, 12, 12, 12, 12}

// hasOption looks for the option; a data offset that does not cover the header, or points behind the packet, hot-drops.
func (m *dccp) hasOption(p *policy.Packet, h []byte) bool {
	begin := 12 + dccpMore[h[8]>>1&15]
	if h[8]&1 != 0 { // long sequence numbers
		begin += 4
	}
	size := int(h[4]) * 4
	if size < begin || p.L4+size > len(p.Data) {
		p.HotDrop = true
		return false
	}
	return findOption(p.Data[p.L4+begin:p.L4+size], m.option)
}

func (m *dccp) AppendSave(b []byte) []byte {
	if m.src.set {
		b = m.src.appendOption(b, "--sport")
	}
	if m.dst.set {
		b = m.dst.appendOption(b, "--dport")
	}
	if m.typesSet {
		b = m.appendTypes(append(appendNot(b, m.notType), " --dccp-types "...))
	}
	if m.option != 0 {
		b = fmt.Appendf(appendNot(b, m.notOption), " --dccp-option %d", m.option)
	}
	return b
}

func (m *dccp) appendTypes(b []byte) []byte {
	sep := ""
	for i, name := range dccpTypes {
		if m.types&(1<<i) != 0 {
			b = append(append(b, sep...), name...)
			sep = ","
		}
	}
	return b
}

func (m *dccp) appendTypeNumbers(b []byte) []byte {
	sep := ""
	for i := range 16 {
		if m.types&(1<<i) != 0 {
			b = fmt.Appendf(b, "%s%d", sep, i)
			sep = ","
		}
	}
	return b
}

func (m *dccp) AppendList(b []byte, numeric bool) []byte {
	b = append(b, " dccp"...)
	b = m.src.appendList(b, "spt", "d", numeric)
	b = m.dst.appendList(b, "dpt", "d", numeric)
	if m.typesSet {
		b = append(appendNot(b, m.notType), ' ')
		if numeric {
			b = m.appendTypeNumbers(b)
		} else {
			b = m.appendTypes(b)
		}
	}
	if m.option != 0 {
		b = fmt.Appendf(appendNot(b, m.notOption), " option=%d", m.option)
	}
	return b
}
