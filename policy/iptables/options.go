package iptables

import (
	"fmt"
	"slices"
	"strings"
)

// coreOption is an option of iptables itself: its letter, its long names and whether a value follows.
type coreOption struct {
	letter byte
	value  bool
	names  []string
}

// coreOptions are iptables' own options. The letters in capitals are commands, but for W and M.
var coreOptions = []coreOption{
	{'A', true, []string{"--append"}},
	{'C', true, []string{"--check"}},
	{'D', true, []string{"--delete"}},
	{'E', true, []string{"--rename-chain"}},
	{'F', false, []string{"--flush"}},
	{'I', true, []string{"--insert"}},
	{'L', false, []string{"--list"}},
	{'N', true, []string{"--new-chain"}},
	{'P', true, []string{"--policy"}},
	{'R', true, []string{"--replace"}},
	{'S', false, []string{"--list-rules"}},
	{'V', false, []string{"--version"}},
	{'X', false, []string{"--delete-chain"}},
	{'Z', false, []string{"--zero"}},
	{'s', true, []string{"--source", "--src"}},
	{'d', true, []string{"--destination", "--dst"}},
	{'p', true, []string{"--protocol", "--proto"}},
	{'i', true, []string{"--in-interface"}},
	{'o', true, []string{"--out-interface"}},
	{'j', true, []string{"--jump"}},
	{'g', true, []string{"--goto"}},
	{'m', true, []string{"--match"}},
	{'t', true, []string{"--table"}},
	{'f', false, []string{"--fragments"}},
	{'c', true, []string{"--set-counters"}},
	{'4', false, []string{"--ipv4"}},
	{'6', false, []string{"--ipv6"}},
	{'v', false, []string{"--verbose"}},
	{'n', false, []string{"--numeric"}},
	{'x', false, []string{"--exact"}},
	{'w', false, []string{"--wait"}},
	{'W', false, []string{"--wait-interval"}},
	{'0', false, []string{"--line-numbers"}},
	{'h', false, []string{"--help"}},
	{'M', true, []string{"--modprobe"}},
}

// command tells whether the option says what to do with the rules.
func (c *coreOption) command() bool { return strings.IndexByte("ACDEFILNPRSVXZ", c.letter) >= 0 }

// short is how the option is written with a letter, or its name where it has none.
func (c *coreOption) short() string {
	if c.letter == '0' {
		return c.names[0]
	}
	return "-" + string(c.letter)
}

func coreByLetter(letter byte) *coreOption {
	for i := range coreOptions {
		if coreOptions[i].letter == letter {
			return &coreOptions[i]
		}
	}
	return nil
}

// option is a long option found: one of iptables' own, or of an extension of this rule.
type option struct {
	core *coreOption
	ext  *instance
	name string
}

// resolve finds a long option as getopt_long does: exact names first, iptables' own before those of the extensions,
// the extension that was loaded last before the others; then what the word abbreviates, if that is one thing only.
// ok is false if nothing fits.
func (p *parser) resolve(name string) (opt option, ok bool, err error) {
	for i := range coreOptions {
		if slices.Contains(coreOptions[i].names, name) {
			return option{core: &coreOptions[i], name: name}, true, nil
		}
	}
	for _, x := range slices.Backward(p.loaded) {
		if slices.Contains(x.options, name) {
			return option{ext: x, name: name}, true, nil
		}
	}
	var found []option
	add := func(o option) {
		for _, f := range found {
			if f.core != nil && f.core == o.core || f.ext != nil && o.ext != nil && f.name == o.name {
				return // one option under two names, or a match that was loaded twice: the last one has it
			}
		}
		found = append(found, o)
	}
	for i := range coreOptions {
		for _, n := range coreOptions[i].names {
			if strings.HasPrefix(n, name) {
				add(option{core: &coreOptions[i], name: n})
			}
		}
	}
	for _, x := range slices.Backward(p.loaded) {
		for _, n := range x.options {
			if strings.HasPrefix(n, name) {
				add(option{ext: x, name: n})
			}
		}
	}
	switch len(found) {
	case 0:
		return option{}, false, nil
	case 1:
		return found[0], true, nil
	}
	names := make([]string, len(found))
	for i, f := range found {
		names[i] = f.name
	}
	return option{}, false, fmt.Errorf("option %q is ambiguous: %s", name, strings.Join(names, ", "))
}

// allOptions are the long options that this rule knows, for suggestions.
func (p *parser) allOptions() (names []string) {
	for _, c := range coreOptions {
		names = append(names, c.names...)
	}
	for _, x := range p.loaded {
		names = append(names, x.options...)
	}
	return names
}
