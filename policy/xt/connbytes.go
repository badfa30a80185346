package xt

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/conntrack"
)

// connbytes is -m connbytes (xt_connbytes.c): how much a connection has carried so far. It never matches a packet
// without a connection, nor one whose connection is not accounted for.
type connbytes struct {
	from, to uint64 // from > to: inverted
	mode     int    // index of connbytesModes
	dir      int    // index of connbytesDirs
}

var (
	connbytesModes = [...]string{"packets", "bytes", "avgpkt"}
	connbytesDirs  = [...]string{"original", "reply", "both"}
)

type connbytesArgs struct {
	m              connbytes
	not            bool
	given, md, dir bool
}

func (a *connbytesArgs) Option(o *Opt) (bool, error) {
	s, err := o.Arg()
	if err != nil {
		return true, err
	}
	switch o.Name {
	case "--connbytes":
		a.given, a.not = true, o.Not
		lo, hi, _ := strings.Cut(s, ":")
		a.m.to = math.MaxUint64
		if lo != "" || !strings.Contains(s, ":") {
			if a.m.from, err = number(o, lo, 0, math.MaxUint64); err != nil {
				return true, err
			}
		}
		if hi != "" {
			if a.m.to, err = number(o, hi, 0, math.MaxUint64); err != nil {
				return true, err
			}
		}
		if a.m.from > a.m.to {
			return true, fmt.Errorf("%d should be less than %d", a.m.from, a.m.to)
		}
	case "--connbytes-mode":
		a.md = true
		a.m.mode, err = oneOf(o, s, connbytesModes[:])
	case "--connbytes-dir":
		a.dir = true
		a.m.dir, err = oneOf(o, s, connbytesDirs[:])
	}
	return true, err
}

// oneOf is the place of a word in a list.
func oneOf(o *Opt, s string, words []string) (int, error) {
	for i, w := range words {
		if s == w {
			return i, nil
		}
	}
	return 0, fmt.Errorf("bad value %q for %s: one of %s is wanted", s, o.Name, strings.Join(words, ", "))
}

func (a *connbytesArgs) Done(*RuleInfo) (policy.Match, error) {
	switch {
	case !a.given:
		return nil, missing("--connbytes")
	case !a.dir:
		return nil, missing("--connbytes-dir")
	case !a.md:
		return nil, missing("--connbytes-mode")
	}
	m := a.m
	if a.not {
		m.from, m.to = m.to, m.from
	}
	return &m, nil
}

func (m *connbytes) Name() string         { return "connbytes" }
func (m *connbytes) NeedsConntrack() bool { return true }

// NeedsAccounting tells the router to count packets and bytes per connection, whatever nf_conntrack_acct says, as
// the kernel does once such a rule is loaded.
func (m *connbytes) NeedsAccounting() bool { return true }

func (m *connbytes) Match(p *policy.Packet) bool {
	c := p.CT.Conn
	if c == nil {
		return false
	}
	po, bo := c.Counters(conntrack.Original)
	pr, br := c.Counters(conntrack.Reply)
	if po+pr == 0 {
		return false // not accounted for: this packet itself would count otherwise
	}
	switch m.dir {
	case 0:
		pr, br = 0, 0
	case 1:
		po, bo = 0, 0
	}
	var have uint64
	switch packets, bytes := po+pr, bo+br; {
	case m.mode == 0:
		have = packets
	case m.mode == 1:
		have = bytes
	case packets != 0:
		have = bytes / packets
	}
	if m.to >= m.from {
		return have >= m.from && have <= m.to
	}
	return have < m.to || have > m.from
}

func (m *connbytes) AppendSave(b []byte) []byte {
	b = m.appendRange(b, " --connbytes ")
	b = append(append(b, " --connbytes-mode "...), connbytesModes[m.mode]...)
	return append(append(b, " --connbytes-dir "...), connbytesDirs[m.dir]...)
}

func (m *connbytes) AppendList(b []byte, numeric bool) []byte {
	b = m.appendRange(b, " connbytes ")
	b = append(append(b, " connbytes mode "...), connbytesModes[m.mode]...)
	return append(append(b, " connbytes direction "...), connbytesDirs[m.dir]...)
}

func (m *connbytes) appendRange(b []byte, word string) []byte {
	from, to := m.from, m.to
	if from > to {
		from, to = to, from
		b = append(b, " !"...)
	}
	b = strconv.AppendUint(append(b, word...), from, 10)
	if to != math.MaxUint64 {
		b = strconv.AppendUint(append(b, ':'), to, 10)
	}
	return b
}
