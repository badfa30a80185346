package xt

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moat-router/moat/policy"
)

// tcp is -m tcp (xt_tcpudp.c): ports, flags and the presence of an option.
type tcp struct {
	src, dst         ports
	flagMask, flags  uint8
	notFlags, hasFlg bool
	option           uint8 // 0: not asked
	notOption        bool
}

// tcpFlag is one TCP flag with its bit in byte 13 of the header, in the order in which they are printed.
type tcpFlag struct {
	name string
	bit  uint8
}

var tcpFlags = []tcpFlag{{"FIN", 0x01}, {"SYN", 0x02}, {"RST", 0x04}, {"PSH", 0x08}, {"ACK", 0x10}, {"URG", 0x20}}

func (m *tcp) Name() string { return "tcp" }

func (m *tcp) Option(o *Opt) (bool, error) {
	switch o.Name {
	case "--sport", "--source-port":
		return true, m.src.parse(o, "t", true)
	case "--dport", "--destination-port":
		return true, m.dst.parse(o, "t", true)
	case "--syn":
		return true, m.setFlags(o, 0x17, 0x02)
	case "--tcp-flags":
		mask, err := o.Arg()
		if err != nil {
			return true, err
		}
		set, ok := o.More()
		if !ok {
			return true, fmt.Errorf("--tcp-flags needs two lists: the flags to look at, and those that must be set")
		}
		a, err := parseTCPFlags(mask)
		if err != nil {
			return true, err
		}
		b, err := parseTCPFlags(set)
		if err != nil {
			return true, err
		}
		return true, m.setFlags(o, a, b)
	case "--tcp-option":
		v, err := argNumber(o, 1, 255)
		m.option, m.notOption = uint8(v), o.Not
		return true, err
	}
	return false, nil
}

func (m *tcp) setFlags(o *Opt, mask, set uint8) error {
	if m.hasFlg {
		return together("--syn", "--tcp-flags")
	}
	m.flagMask, m.flags, m.notFlags, m.hasFlg = mask, set, o.Not, true
	return nil
}

func parseTCPFlags(list string) (bits uint8, err error) {
	for name := range strings.SplitSeq(list, ",") {
		up := strings.ToUpper(name)
		i := slices.IndexFunc(tcpFlags, func(f tcpFlag) bool { return f.name == up })
		switch {
		case i >= 0:
			bits |= tcpFlags[i].bit
		case up == "ALL":
			bits |= 0x3f
		case up == "NONE" || up == "":
		default:
			return 0, fmt.Errorf("unknown TCP flag %q: SYN, ACK, FIN, RST, URG, PSH, ALL or NONE", name)
		}
	}
	return bits, nil
}

func (m *tcp) Done(r *RuleInfo) (policy.Match, error) {
	return m, needProto(r, "tcp", protoTCP)
}

func (m *tcp) Match(p *policy.Packet) bool {
	if p.FragOff != 0 {
		// A fragment that begins inside of the TCP header can only be meant to overwrite flags (RFC 1858).
		p.HotDrop = p.FragOff == 8 && !p.V6
		return false
	}
	h := transport(p, 20)
	if h == nil {
		return false
	}
	src, dst := portsOf(h)
	if !m.src.has(src) || !m.dst.has(dst) {
		return false
	}
	if m.hasFlg && (h[13]&m.flagMask == m.flags) == m.notFlags {
		return false
	}
	return m.option == 0 || m.hasOption(p, h)
}

// hasOption walks the options as the kernel does; a data offset that is too small, or points behind the packet,
// hot-drops.
func (m *tcp) hasOption(p *policy.Packet, h []byte) bool {
	size := int(h[12]>>4) * 4
	if size < 20 || p.L4+size > len(p.Data) {
		p.HotDrop = true
		return false
	}
	return findOption(p.Data[p.L4+20:p.L4+size], m.option) != m.notOption
}

// findOption looks for an option in a list of kind, length, value as TCP and DCCP have it.
func findOption(list []byte, kind uint8) bool {
	for i := 0; i < len(list); {
		if list[i] == kind {
			return true
		}
		if list[i] < 2 || i+1 >= len(list) || list[i+1] == 0 {
			i++
		} else {
			i += int(list[i+1])
		}
	}
	return false
}

// Ports lets a rule be passed over by its ports alone: policy.PortMatch.
func (m *tcp) Ports() (src, dst [2]uint16) { return m.src.span(), m.dst.span() }

func (m *tcp) AppendSave(b []byte) []byte {
	b = m.src.appendSave(b, "--sport")
	b = m.dst.appendSave(b, "--dport")
	if m.option != 0 {
		b = fmt.Appendf(appendNot(b, m.notOption), " --tcp-option %d", m.option)
	}
	if m.flagMask != 0 || m.notFlags {
		b = append(appendNot(b, m.notFlags), " --tcp-flags "...)
		b = append(appendTCPFlags(b, m.flagMask), ' ')
		b = appendTCPFlags(b, m.flags)
	}
	return b
}

func appendTCPFlags(b []byte, bits uint8) []byte {
	if bits == 0 {
		return append(b, "NONE"...)
	}
	sep := ""
	for _, f := range tcpFlags {
		if bits&f.bit != 0 {
			b = append(append(b, sep...), f.name...)
			sep = ","
		}
	}
	return b
}

func (m *tcp) AppendList(b []byte, numeric bool) []byte {
	b = append(b, " tcp"...)
	b = m.src.appendList(b, "spt", "t", numeric)
	b = m.dst.appendList(b, "dpt", "t", numeric)
	if m.option != 0 {
		not := ""
		if m.notOption {
			not = "!"
		}
		b = fmt.Appendf(b, " option=%s%d", not, m.option)
	}
	if m.flagMask != 0 || m.notFlags {
		b = append(b, " flags:"...)
		if m.notFlags {
			b = append(b, '!')
		}
		if numeric {
			return fmt.Appendf(b, "0x%02X/0x%02X", m.flagMask, m.flags)
		}
		b = append(appendTCPFlags(b, m.flagMask), '/')
		b = appendTCPFlags(b, m.flags)
	}
	return b
}
