package xt

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/moat-router/moat/policy"
)

// multiport is -m multiport (xt_multiport.c): up to 15 ports, a range counting as two.
type multiport struct {
	which  multiportWhich
	not    bool
	asked  []ports // as given, for printing
	sorted []ports // disjoint, in order, for searching
	proto  uint8
}

// multiportWhich is which port of the packet is compared.
type multiportWhich uint8

const (
	multiportSrc multiportWhich = iota
	multiportDst
	multiportEither
)

var multiportOptions = [...]string{multiportSrc: "--sports", multiportDst: "--dports", multiportEither: "--ports"}

type multiportArgs struct {
	multiport
	list  string
	given string
}

const multiportMax = 15

func (a *multiportArgs) Option(o *Opt) (ok bool, err error) {
	switch o.Name {
	case "--sports", "--source-ports":
		a.which = multiportSrc
	case "--dports", "--destination-ports":
		a.which = multiportDst
	case "--ports":
		a.which = multiportEither
	default:
		return false, nil
	}
	if a.given != "" {
		return true, together(a.given, o.Name)
	}
	a.given, a.not = o.Name, o.Not
	a.list, err = o.Arg()
	return true, err
}

func (a *multiportArgs) Done(r *RuleInfo) (policy.Match, error) {
	if a.given == "" {
		return nil, errors.New("--sports, --dports or --ports must be given")
	}
	switch r.Head.Proto {
	case protoTCP, protoUDP, protoUDPLite, protoSCTP, protoDCCP:
	default:
		return nil, errors.New("-p tcp, udp, udplite, sctp or dccp is needed in the same rule")
	}
	if r.Head.NotProto {
		return nil, errors.New("the protocol cannot be inverted")
	}
	m := a.multiport
	m.proto = r.Head.Proto
	room := multiportMax
	for word := range strings.SplitSeq(a.list, ",") {
		q, err := parseMultiport(word, serviceProto(m.proto))
		if err != nil {
			return nil, err
		}
		room--
		if q.lo != q.hi {
			room--
		}
		if room < 0 {
			return nil, fmt.Errorf("more than %d ports (a range counts as two): use several rules, or a set", multiportMax)
		}
		m.asked = append(m.asked, q)
	}
	m.sorted = mergePorts(m.asked)
	return &m, nil
}

func parseMultiport(word, proto string) (q ports, err error) {
	lo, hi, isRange := strings.Cut(word, ":")
	if q.lo, err = parsePort(lo, proto); err != nil {
		return q, err
	}
	q.hi = q.lo
	if isRange {
		if q.hi, err = parsePort(hi, proto); err != nil {
			return q, err
		}
		if q.hi <= q.lo {
			return q, fmt.Errorf("range of ports %s does not rise", word)
		}
	}
	return q, nil
}

// mergePorts sorts ranges and joins those that touch.
func mergePorts(list []ports) (out []ports) {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b ports) int { return int(a.lo) - int(b.lo) })
	for _, q := range list {
		if n := len(out); n > 0 && int(q.lo) <= int(out[n-1].hi)+1 {
			out[n-1].hi = max(out[n-1].hi, q.hi)
			continue
		}
		out = append(out, q)
	}
	return out
}

func (m *multiport) has(port uint16) bool {
	i := sort.Search(len(m.sorted), func(i int) bool { return m.sorted[i].hi >= port })
	return i < len(m.sorted) && m.sorted[i].lo <= port
}

func (m *multiport) Name() string { return "multiport" }

func (m *multiport) Match(p *policy.Packet) bool {
	h := transport(p, 4)
	if h == nil {
		return false
	}
	src, dst := portsOf(h)
	fits := m.which != multiportDst && m.has(src) || m.which != multiportSrc && m.has(dst)
	return fits != m.not
}

func (m *multiport) AppendSave(b []byte) []byte {
	b = append(append(appendNot(b, m.not), ' '), multiportOptions[m.which]...)
	return m.appendPorts(append(b, ' '), true)
}

func (m *multiport) appendPorts(b []byte, numeric bool) []byte {
	proto := serviceProto(m.proto)
	for i, q := range m.asked {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendPort(b, q.lo, proto, numeric)
		if q.lo != q.hi {
			b = appendPort(append(b, ':'), q.hi, proto, numeric)
		}
	}
	return b
}

func (m *multiport) AppendList(b []byte, numeric bool) []byte {
	b = append(append(b, " multiport "...), multiportOptions[m.which][2:]...)
	b = append(b, ' ')
	if m.not {
		b = append(b, " !"...)
	}
	return m.appendPorts(b, numeric)
}
