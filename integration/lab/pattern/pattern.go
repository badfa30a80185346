// Package pattern describes datagrams in packet notation of which parts may be left out.
//
// # Overview
//
// A pattern's first layer is the packet's first ("*" stands for any layer), the others follow in this order with anything
// between them. Both ends of an address or port pair may be empty, a prefix (addresses) or a range (ports, 1024-65535);
// "icmp 3" is every code. Other words must be there as they are: flags, ttl=63, len=8. A layer that begins with "[" is
// the first one of a quoted packet.
//
// # A worked example
//
//	p, err := pattern.Parse("* / [ip4 >192.168.0.0/16")   // an error that quotes a packet to a private address
//	p.Match(datagram)
//
// # Invariants
//
// A Pattern never changes; Match reads anything and cannot fail.
//
// # Concurrency
//
// Patterns may be used from any goroutine.
//
// # Limits
//
// Words are compared as packet.Text writes them: numbers have one spelling. Match allocates.
//
// # References
//
// package packet, for the notation.
package pattern

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/moat-router/moat/stack/packet"
)

// Pattern is a description of datagrams in packet notation.
type Pattern struct {
	text   string
	layers []layerPattern
}

type layerPattern struct {
	any   bool // "*"
	quote bool // begins a quoted packet
	name  string
	ends  func(a, b string) bool // of the word SRC>DST; nil: any
	words []string
}

// Parse reads a pattern; errors are for people.
func Parse(text string) (*Pattern, error) {
	p := &Pattern{text: text}
	for part := range strings.SplitSeq(text, " / ") {
		l, err := parseLayer(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %w", text, err)
		}
		p.layers = append(p.layers, l)
	}
	return p, nil
}

func (p *Pattern) String() string { return p.text }

func parseLayer(part string) (l layerPattern, err error) {
	part = strings.TrimSuffix(part, "]")
	part, l.quote = strings.CutPrefix(part, "[")
	f := strings.Fields(part)
	if len(f) == 0 {
		return l, fmt.Errorf("an empty layer")
	}
	l.name = f[0]
	if l.name == "*" {
		l.any = true
		if len(f) > 1 {
			return l, fmt.Errorf("%q: a * stands alone", part)
		}
		return l, nil
	}
	var parse func(string) (func(string) bool, error)
	switch l.name {
	case "ip4", "ip6":
		parse = addressPattern
	case "udp", "tcp":
		parse = portPattern
	case "icmp", "icmp6", "frag6", "hbh", "dstopt", "rt6", "raw", "text":
	default:
		return l, fmt.Errorf("%q is no layer: want ip4, ip6, udp, tcp, icmp, icmp6, frag6, hbh, dstopt, rt6 or *", l.name)
	}
	for _, w := range f[1:] {
		src, dst, pair := strings.Cut(w, ">")
		if !pair || parse == nil {
			l.words = append(l.words, w)
			continue
		}
		from, err := parse(src)
		if err != nil {
			return l, err
		}
		to, err := parse(dst)
		if err != nil {
			return l, err
		}
		l.ends = func(a, b string) bool { return from(a) && to(b) }
	}
	return l, nil
}

func addressPattern(s string) (func(string) bool, error) {
	if s == "" {
		return func(string) bool { return true }, nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, aerr := netip.ParseAddr(s)
		if aerr != nil {
			return nil, fmt.Errorf("%q is neither an address nor a prefix", s)
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	return func(text string) bool {
		a, err := netip.ParseAddr(text)
		return err == nil && p.Contains(a)
	}, nil
}

func portPattern(s string) (func(string) bool, error) {
	if s == "" {
		return func(string) bool { return true }, nil
	}
	low, high, ok := strings.Cut(s, "-")
	if !ok {
		high = low
	}
	a, err1 := strconv.ParseUint(low, 10, 16)
	b, err2 := strconv.ParseUint(high, 10, 16)
	if err1 != nil || err2 != nil || a > b {
		return nil, fmt.Errorf("%q is neither a port nor a range of them", s)
	}
	return func(text string) bool {
		n, err := strconv.ParseUint(text, 10, 16)
		return err == nil && a <= n && n <= b
	}, nil
}

// Match tells whether a datagram is meant.
func (p *Pattern) Match(datagram []byte) bool { return p.MatchText(packet.Text(datagram)) }

// MatchText is Match for a datagram in packet notation.
func (p *Pattern) MatchText(text string) bool {
	layers := strings.Split(text, " / ")
	if len(layers) == 0 || !p.layers[0].match(layers[0]) {
		return false
	}
	want := p.layers[1:]
	for _, l := range layers[1:] {
		if len(want) == 0 {
			return true
		}
		if want[0].match(l) {
			want = want[1:]
		}
	}
	return len(want) == 0
}

func (l *layerPattern) match(text string) bool {
	text, quote := strings.CutPrefix(text, "[")
	if l.quote && !quote {
		return false
	}
	if l.any {
		return true
	}
	if strings.Count(text, "]") > strings.Count(text, "[") {
		text = strings.TrimSuffix(text, "]")
	}
	f := strings.Fields(text)
	if len(f) == 0 || f[0] != l.name {
		return false
	}
	if l.ends != nil {
		if len(f) < 2 {
			return false
		}
		a, b, ok := strings.Cut(f[1], ">")
		if !ok || !l.ends(a, b) {
			return false
		}
	}
	for _, w := range l.words {
		found := false
		for i, have := range f[1:] {
			// "icmp 3" is every code of type 3.
			found = found || have == w || i == 0 && strings.HasPrefix(l.name, "icmp") && strings.HasPrefix(have, w+"/")
		}
		if !found {
			return false
		}
	}
	return true
}
