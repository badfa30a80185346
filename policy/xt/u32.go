package xt

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/moat-router/moat/policy"
)

// u32 is -m u32 (xt_u32.c): tests of 32-bit words at computed places, all of which must hold.
type u32 struct {
	tests []u32Test
	not   bool
}

// u32Test reads a word, changes it and asks whether it lies in a range.
type u32Test struct {
	at     uint32 // where the first word stands, in bytes from the IP header
	steps  []u32Step
	ranges [][2]uint32
}

type u32Step struct {
	op string // & << >> @
	n  uint32
}

const u32Max = 10 // XT_U32_MAXSIZE: tests, steps with the location, ranges

type u32Args struct {
	m     u32
	given bool
}

func (a *u32Args) Option(o *Opt) (bool, error) {
	s, err := o.Arg()
	if err != nil {
		return true, err
	}
	a.m.not, a.given = o.Not, true
	a.m.tests, err = parseU32(s)
	return true, err
}

func (a *u32Args) Done(*RuleInfo) (policy.Match, error) {
	if !a.given {
		return nil, missing("--u32")
	}
	m := a.m
	return &m, nil
}

// u32Scan reads the language of --u32 from left to right.
type u32Scan struct{ text, rest string }

func (s *u32Scan) fail(what string) error {
	return fmt.Errorf("--u32 %q at character %d: %s", s.text, len(s.text)-len(s.rest)+1, what)
}

func (s *u32Scan) blanks() { s.rest = strings.TrimLeft(s.rest, " \t\n") }

// take cuts the first of the words that the text goes on with.
func (s *u32Scan) take(words ...string) string {
	s.blanks()
	for _, w := range words {
		if rest, ok := strings.CutPrefix(s.rest, w); ok {
			s.rest = rest
			return w
		}
	}
	return ""
}

func (s *u32Scan) number() (uint32, error) {
	s.blanks()
	v, rest, ok := scanUint(s.rest)
	if !ok || v > 1<<32-1 {
		return 0, s.fail("a number of 32 bits is wanted")
	}
	s.rest = rest
	return uint32(v), nil
}

func parseU32(text string) (tests []u32Test, err error) {
	s := &u32Scan{text, text}
	for {
		t, err := s.test()
		if err != nil {
			return nil, err
		}
		if tests = append(tests, t); len(tests) > u32Max {
			return nil, s.fail("too many tests")
		}
		if s.take("&&") == "" {
			break
		}
	}
	if s.blanks(); s.rest != "" {
		return nil, s.fail(`"&&" or "," or the end is wanted`)
	}
	return tests, nil
}

func (s *u32Scan) test() (t u32Test, err error) {
	if t.at, err = s.number(); err != nil {
		return t, err
	}
	for {
		op := s.take("=", "<<", ">>", "&", "@")
		if op == "" {
			return t, s.fail(`an operator (& << >> @) or "=" is wanted`)
		}
		if op == "=" {
			break
		}
		n, err := s.number()
		if err != nil {
			return t, err
		}
		if (op == "<<" || op == ">>") && n > 31 {
			return t, s.fail("a word of 32 bits is shifted by at most 31")
		}
		if t.steps = append(t.steps, u32Step{op, n}); len(t.steps) >= u32Max {
			return t, s.fail("too many operators")
		}
	}
	for {
		lo, err := s.number()
		if err != nil {
			return t, err
		}
		hi := lo
		if s.take(":") != "" {
			if hi, err = s.number(); err != nil {
				return t, err
			}
		}
		if t.ranges = append(t.ranges, [2]uint32{lo, hi}); len(t.ranges) > u32Max {
			return t, s.fail("too many ranges")
		}
		if s.take(",") == "" {
			return t, nil
		}
	}
}

func (m *u32) Name() string { return "u32" }

func (m *u32) Match(p *policy.Packet) bool {
	for i := range m.tests {
		if !m.tests[i].holds(p.Data) {
			return m.not
		}
	}
	return !m.not
}

func (t *u32Test) holds(b []byte) bool {
	size := uint64(len(b))
	if uint64(t.at)+4 > size {
		return false
	}
	v := binary.BigEndian.Uint32(b[t.at:])
	base := uint64(0)
	for _, s := range t.steps {
		switch s.op {
		case "&":
			v &= s.n
		case "<<":
			v <<= s.n
		case ">>":
			v >>= s.n
		case "@":
			base += uint64(v)
			if base+uint64(s.n)+4 > size {
				return false
			}
			v = binary.BigEndian.Uint32(b[base+uint64(s.n):])
		}
	}
	for _, r := range t.ranges {
		if r[0] <= v && v <= r[1] {
			return true
		}
	}
	return false
}

func (m *u32) AppendSave(b []byte) []byte {
	return m.appendTests(append(appendNot(b, m.not), " --u32 "...))
}

func (m *u32) AppendList(b []byte, numeric bool) []byte {
	return m.appendTests(append(appendNot(append(b, " u32"...), m.not), ' '))
}

func (m *u32) appendTests(b []byte) []byte {
	b = append(b, '"')
	for i, t := range m.tests {
		if i > 0 {
			b = append(b, "&&"...)
		}
		b = appendHex(b, uint64(t.at))
		for _, s := range t.steps {
			b = appendHex(append(b, s.op...), uint64(s.n))
		}
		for j, r := range t.ranges {
			b = append(b, "=,"[min(j, 1)])
			b = appendHex(b, uint64(r[0]))
			if r[0] != r[1] {
				b = appendHex(append(b, ':'), uint64(r[1]))
			}
		}
	}
	return append(b, '"')
}
