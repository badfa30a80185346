package xt

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/moat-router/moat/policy"
)

// stringMatch is -m string (xt_string.c): bytes anywhere between two offsets from the IP header. The algorithms bm
// and kmp find the same, so there is only one here.
type stringMatch struct {
	pattern  []byte // folded with icase
	original string
	algo     string
	from, to int
	not      bool
	icase    bool
	shift    [256]uint8 // how far the pattern may move if this byte stands under its last one (Horspool)
}

type stringArgs struct {
	m          stringMatch
	given, has bool
}

const stringMax = 128 // XT_STRING_MAX_PATTERN_SIZE

func (a *stringArgs) Option(o *Opt) (bool, error) {
	m := &a.m
	if o.Name == "--icase" {
		m.icase = true
		return true, o.NoNot()
	}
	s, err := o.Arg()
	if err != nil {
		return true, err
	}
	switch o.Name {
	case "--from", "--to":
		v, err := number(o, s, 0, 65535)
		if o.Name == "--from" {
			m.from = int(v)
		} else {
			m.to, a.has = int(v), true
		}
		return true, or(err, o)
	case "--algo":
		m.algo = s
		if s != "bm" && s != "kmp" {
			return true, fmt.Errorf("bad algorithm %q: bm or kmp is wanted", s)
		}
		return true, o.NoNot()
	case "--string", "--hex-string":
		if a.given {
			return true, together("--string", "--hex-string")
		}
		if o.Name == "--hex-string" {
			if s, err = parseHexString(s); err != nil {
				return true, err
			}
		}
		if len(s) > stringMax {
			return true, fmt.Errorf("%s is too long: at most %d bytes are possible", o.Name, stringMax)
		}
		m.original, m.not, a.given = s, o.Not, true
		return true, nil
	}
	return false, nil
}

// parseHexString reads text with hexadecimal bytes between bars, "ab|0d 0a|c"; a backslash makes the next byte plain.
func parseHexString(s string) (string, error) {
	var out []byte
	hex := false
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '|':
			hex = !hex
			i++
		case hex && c == ' ':
			i++
		case hex:
			if i+2 > len(s) {
				return "", fmt.Errorf("odd number of hexadecimal digits in %q", s)
			}
			v, err := strconv.ParseUint(s[i:i+2], 16, 8)
			if err != nil {
				return "", fmt.Errorf("bad hexadecimal byte %q in %q", s[i:i+2], s)
			}
			out = append(out, byte(v))
			i += 2
		case c == '\\':
			if i+1 == len(s) {
				return "", fmt.Errorf("%q ends in a backslash", s)
			}
			out = append(out, s[i+1])
			i += 2
		default:
			out = append(out, c)
			i++
		}
	}
	if hex {
		return "", fmt.Errorf("the hexadecimal part of %q is not closed with \"|\"", s)
	}
	return string(out), nil
}

func (a *stringArgs) Done(*RuleInfo) (policy.Match, error) {
	m := a.m
	if !a.has {
		m.to = 65535
	}
	switch {
	case !a.given:
		return nil, fmt.Errorf("--string or --hex-string must be given")
	case m.algo == "":
		return nil, missing("--algo")
	case m.original == "":
		return nil, fmt.Errorf("the string must not be empty")
	case m.from > m.to:
		return nil, fmt.Errorf("--from must not be larger than --to")
	}
	m.pattern = []byte(m.original)
	if m.icase {
		for i, c := range m.pattern {
			m.pattern[i] = upperLatin(c)
		}
	}
	n := len(m.pattern)
	for i := range m.shift {
		m.shift[i] = uint8(n)
		for j, c := range m.pattern[:n-1] {
			if m.fold(byte(i)) == c {
				m.shift[i] = uint8(n - 1 - j)
			}
		}
	}
	return &m, nil
}

func (m *stringMatch) Name() string { return "string" }

func (m *stringMatch) Match(p *policy.Packet) bool {
	if m.from > len(p.Data) {
		return m.not
	}
	return m.in(p.Data[m.from:min(m.to, len(p.Data))]) != m.not
}

func (m *stringMatch) in(b []byte) bool {
	if !m.icase {
		return bytes.Contains(b, m.pattern)
	}
	last := len(m.pattern) - 1
	for i := last; i < len(b); i += int(m.shift[b[i]]) {
		j := 0
		for j <= last && m.fold(b[i-j]) == m.pattern[last-j] {
			j++
		}
		if j > last {
			return true
		}
	}
	return false
}

func (m *stringMatch) fold(c byte) byte {
	if m.icase {
		return upperLatin(c)
	}
	return c
}

// upperLatin is the kernel's toupper, which knows Latin-1.
func upperLatin(c byte) byte {
	if 'a' <= c && c <= 'z' || c >= 0xdf && c != 0xf7 {
		return c - 32
	}
	return c
}

func (m *stringMatch) AppendSave(b []byte) []byte {
	b = appendNot(b, m.not)
	if m.hex() {
		b = append(b, " --hex-string "...)
	} else {
		b = append(b, " --string "...)
	}
	b = m.appendPattern(b)
	b = append(append(b, " --algo "...), m.algo...)
	if m.from != 0 {
		b = strconv.AppendInt(append(b, " --from "...), int64(m.from), 10)
	}
	if m.to != 65535 {
		b = strconv.AppendInt(append(b, " --to "...), int64(m.to), 10)
	}
	if m.icase {
		b = append(b, " --icase"...)
	}
	return b
}

func (m *stringMatch) AppendList(b []byte, numeric bool) []byte {
	b = append(b, " STRING match "...)
	if m.not {
		b = append(b, '!')
	}
	b = m.appendPattern(append(b, ' '))
	b = append(append(b, " ALGO name "...), m.algo...)
	if m.from != 0 {
		b = strconv.AppendInt(append(b, " FROM "...), int64(m.from), 10)
	}
	if m.to != 65535 {
		b = strconv.AppendInt(append(b, " TO "...), int64(m.to), 10)
	}
	if m.icase {
		b = append(b, " ICASE"...)
	}
	return b
}

// hex tells whether the pattern is printed in hexadecimal: it has bytes that are no text, or its last one would
// escape the quote behind it.
func (m *stringMatch) hex() bool {
	for _, c := range []byte(m.original) {
		if c < ' ' || c > '~' {
			return true
		}
	}
	return m.original[len(m.original)-1] == '\\'
}

func (m *stringMatch) appendPattern(b []byte) []byte {
	if m.hex() {
		return fmt.Appendf(b, `"|%x|"`, m.original)
	}
	b = append(b, '"')
	for _, c := range []byte(m.original) {
		if c == '"' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return append(b, '"')
}
