package xt

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/moat-router/moat/policy"
)

// serviceProto is the letter of a transport protocol in the table of services; UDP-Lite has none there.
func serviceProto(proto uint8) string {
	switch proto {
	case protoTCP:
		return "t"
	case protoUDP:
		return "u"
	case protoSCTP:
		return "s"
	case protoDCCP:
		return "d"
	case protoUDPLite:
		return "l"
	}
	return ""
}

// parsePort reads a port by number or by the name of a service; proto as servicePort takes it. Where services of any
// protocol will do, iptables asks getaddrinfo, which takes decimal numbers only ("050" is 50); elsewhere strtoul, to which
// it is octal.
func parsePort(s, proto string) (uint16, error) {
	if proto == "" {
		if v, err := strconv.ParseUint(s, 10, 16); err == nil {
			return uint16(v), nil
		}
	} else if v, ok := ParseUint(s, 0, 65535); ok {
		return uint16(v), nil
	}
	if p, ok := servicePort(s, proto); ok {
		return p, nil
	}
	return 0, fmt.Errorf("bad port %q: a number from 0 to 65535 or the name of a service is wanted", s)
}

// ports is one inclusive range of ports with its "!", and whether it was given at all. The zero value is all ports.
type ports struct {
	lo, hi uint16
	not    bool
	set    bool
}

// parse reads "a", "a:b", ":b" or "a:". ordered asks for a <= b.
func (r *ports) parse(o *Opt, proto string, ordered bool) error {
	if r.set {
		return fmt.Errorf("%s: only one range of these ports is possible", o.Name)
	}
	s, err := o.Arg()
	if err != nil {
		return err
	}
	a, b, isRange := strings.Cut(s, ":")
	lo, hi := uint16(0), uint16(65535)
	if a != "" || !isRange {
		if lo, err = parsePort(a, proto); err != nil {
			return err
		}
		hi = lo
	}
	if isRange {
		hi = 65535
		if b != "" {
			if hi, err = parsePort(b, proto); err != nil {
				return err
			}
		}
	}
	if ordered && lo > hi {
		return fmt.Errorf("range of ports %s ends before it begins", s)
	}
	*r = ports{lo, hi, o.Not, true}
	return nil
}

// has tells whether a port fits. A range that was not given fits always.
func (r *ports) has(port uint16) bool {
	return !r.set || (port >= r.lo && port <= r.hi) != r.not
}

// span is a range that no port outside of fits: all ports where the range was not given, or is inverted.
func (r *ports) span() [2]uint16 {
	if !r.set || r.not {
		return [2]uint16{0, 0xffff}
	}
	return [2]uint16{r.lo, r.hi}
}

// all tells whether the range is that of all ports; iptables then prints nothing, inverted or not.
func (r *ports) all() bool { return !r.set || r.lo == 0 && r.hi == 65535 }

// appendSave prints the option unless the range is that of all ports.
func (r *ports) appendSave(b []byte, name string) []byte {
	if r.all() {
		return b
	}
	return r.appendOption(b, name)
}

func (r *ports) appendOption(b []byte, name string) []byte {
	b = append(appendNot(b, r.not), ' ')
	b = append(append(b, name...), ' ')
	return appendRange(b, uint64(r.lo), uint64(r.hi))
}

// appendSpan prints what conntrack's options hold: they leave an upper end of 0 out.
func (r *ports) appendSpan(b []byte) []byte {
	if r.hi == 0 {
		return appendRange(b, uint64(r.lo), uint64(r.lo))
	}
	return appendRange(b, uint64(r.lo), uint64(r.hi))
}

// appendList prints as iptables -L: " dpt:53", " spts:1:1023", "!" behind the colon.
func (r *ports) appendList(b []byte, name, proto string, numeric bool) []byte {
	if r.all() && !r.not {
		return b
	}
	b = append(append(b, ' '), name...)
	if r.lo != r.hi {
		b = append(b, 's')
	}
	b = appendListNot(append(b, ':'), r.not)
	b = appendPort(b, r.lo, proto, numeric)
	if r.lo != r.hi {
		b = appendPort(append(b, ':'), r.hi, proto, numeric)
	}
	return b
}

// transport gives the first n bytes of the transport header, or nil: where the packet is a later fragment nothing
// fits, and where the header is cut the packet is hot-dropped, as xtables' port matches do.
func transport(p *policy.Packet, n int) []byte {
	if p.FragOff != 0 {
		return nil
	}
	if p.L4+n > len(p.Data) {
		p.HotDrop = true
		return nil
	}
	return p.Data[p.L4 : p.L4+n]
}

func portsOf(h []byte) (src, dst uint16) {
	return binary.BigEndian.Uint16(h), binary.BigEndian.Uint16(h[2:])
}

// needProto refuses a match or target that stands without "-p proto" (xt_check_match, xt_check_target).
func needProto(r *RuleInfo, name string, proto uint8) error {
	if r.Head.Proto != proto || r.Head.NotProto {
		return fmt.Errorf("%s needs -p %s in the same rule", name, ProtocolName(proto))
	}
	return nil
}
