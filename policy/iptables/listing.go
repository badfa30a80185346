package iptables

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/xt"
)

// Listing is an iptables command line that prints: -L or -S.
type Listing struct {
	ListOptions
	Commands bool     // -S: as commands
	Zero     []string // -Z beside it: the command line that zeroes what was printed; nil without
}

// listingOptions are what goes with -L, by letter; -S takes only the first line of them.
const (
	listRulesLetters = "LStvZw46"
	listLetters      = listRulesLetters + "nx0"
)

// ParseListing reads the words behind "iptables"; ok is false where they ask for no listing.
func ParseListing(args []string) (l *Listing, ok bool, err error) {
	l = &Listing{ListOptions: ListOptions{Table: policy.Filter}}
	w := listingWords{args: args}
	var have []byte
	for len(w.args) > 0 {
		letters, err := w.next()
		if err != nil {
			if wrong := l.check(have); wrong != nil {
				err = wrong
			}
			return nil, slices.Contains(have, 'L') || slices.Contains(have, 'S'), err
		}
		for i, letter := range []byte(letters) {
			have = append(have, letter)
			last := i == len(letters)-1
			switch letter {
			case 't':
				if l.Table, err = w.table(last); err != nil {
					return nil, true, err
				}
			case 'L', 'S', 'Z':
				if last {
					if err := w.chain(l); err != nil {
						return nil, true, err
					}
				}
			case 'w', 'W':
				w.seconds()
			}
			l.Commands = l.Commands || letter == 'S'
			l.Numeric = l.Numeric || letter == 'n'
			l.Verbose = l.Verbose || letter == 'v'
			l.Exact = l.Exact || letter == 'x'
			l.LineNumbers = l.LineNumbers || letter == '0'
		}
	}
	if !slices.Contains(have, 'L') && !l.Commands {
		return nil, false, nil
	}
	if err := l.check(have); err != nil {
		return nil, true, err
	}
	if slices.Contains(have, 'Z') {
		l.Zero = []string{"-t", l.Table.String(), "-Z"}
		if l.Chain != "" {
			l.Zero = append(l.Zero, l.Chain)
		}
		if l.Rule != 0 {
			l.Zero = append(l.Zero, fmt.Sprint(l.Rule))
		}
	}
	return l, true, nil
}

func (l *Listing) check(have []byte) error {
	command, takes := "-L", listLetters
	if l.Commands {
		command, takes = "-S", listRulesLetters
		if slices.Contains(have, 'L') {
			return fmt.Errorf("-L and -S are two commands: give one")
		}
	}
	for _, letter := range have {
		if strings.IndexByte(takes, letter) >= 0 {
			continue
		}
		if letter == '0' {
			return fmt.Errorf("%s takes no --line-numbers", command)
		}
		return fmt.Errorf("%s takes no -%c", command, letter)
	}
	return nil
}

// listingWords walks the words of a listing.
type listingWords struct {
	args []string
	rest string // of the word that next took, behind "-t"
}

// next gives the letters of the next word.
func (w *listingWords) next() (letters string, err error) {
	word := w.args[0]
	w.args, w.rest = w.args[1:], ""
	switch {
	case strings.HasPrefix(word, "--"):
		name, value, has := strings.Cut(word, "=")
		o, ok, err := (&parser{}).resolve(name)
		if err != nil || !ok || o.core == nil {
			return "?", err
		}
		if has {
			w.args = append([]string{value}, w.args...)
		}
		return string(o.core.letter), nil
	case strings.HasPrefix(word, "-") && len(word) > 1:
		if i := strings.IndexByte(word, 't'); i > 0 && i < len(word)-1 {
			w.rest = word[i+1:]
			return word[1 : i+1], nil
		}
		if i := strings.IndexAny(word, "LSZ"); i > 0 && strings.Trim(word[i+1:], "LSZnvx") != "" {
			w.args = append([]string{word[i+1:]}, w.args...) // -LFORWARD; but -Lnv means what it looks like
			return word[1 : i+1], nil
		}
		return word[1:], nil
	}
	return "", fmt.Errorf("unexpected argument %q", word)
}

func (w *listingWords) table(last bool) (policy.TableID, error) {
	name := w.rest
	if name == "" && last && len(w.args) > 0 {
		name, w.args = w.args[0], w.args[1:]
	}
	if name == "" {
		return 0, fmt.Errorf("option \"-t\" needs a value")
	}
	return TableByName(name)
}

// chain takes a chain and a rule's number, if they stand there.
func (w *listingWords) chain(l *Listing) error {
	word := func() (string, bool) {
		if len(w.args) == 0 || w.args[0] == "!" || strings.HasPrefix(w.args[0], "-") {
			return "", false
		}
		s := w.args[0]
		w.args = w.args[1:]
		return s, true
	}
	name, ok := word()
	if !ok {
		return nil
	}
	l.Chain = name
	if number, ok := word(); ok {
		n, ok := xt.ParseUint(number, 1, 1<<31-1)
		if !ok {
			return badRuleNumber(number)
		}
		l.Rule = int(n)
	}
	return nil
}

// seconds skips how long -w shall wait.
func (w *listingWords) seconds() {
	if len(w.args) > 0 && isSeconds(w.args[0]) {
		w.args = w.args[1:]
	}
}

// Print answers it.
func (l *Listing) Print(rs *policy.Ruleset, fam policy.Family) ([]byte, error) {
	if !l.Commands {
		return List(rs, fam, l.ListOptions)
	}
	rs, t := tableOf(rs, fam, l.Table)
	if l.Chain != "" && !slices.ContainsFunc(t.Chains, func(c *policy.Chain) bool { return c.Name == l.Chain }) {
		return nil, noChain(t, l.Chain)
	}
	var heads, rules []byte
	for _, c := range t.Chains {
		if l.Chain != "" && c.Name != l.Chain {
			continue
		}
		switch {
		case l.Rule != 0:
		case !c.Builtin:
			heads = fmt.Appendf(heads, "-N %s\n", c.Name)
		default:
			heads = fmt.Appendf(heads, "-P %s %s", c.Name, policyName(c.Policy))
			heads = append(l.count(heads, rs.Count(c.Index)), '\n')
		}
		for i, r := range c.Rules {
			if l.Rule == 0 || l.Rule == i+1 {
				rules = append(l.command(rules, rs, fam, c, r), '\n')
			}
		}
	}
	return append(heads, rules...), nil
}

// command prints a rule as the command that appends it; with -v its counters stand in front of the target.
func (l *Listing) command(b []byte, rs *policy.Ruleset, fam policy.Family, c *policy.Chain, r *policy.Rule) []byte {
	jump := ""
	if r.Jump != nil {
		jump = r.Jump.Name
	}
	b = append(append(b, "-A "...), c.Name...)
	b = appendMatches(b, fam, r)
	b = l.count(b, rs.Count(r.Index))
	return appendTarget(b, r, jump)
}

func (l *Listing) count(b []byte, n policy.Count) []byte {
	if l.Verbose {
		b = fmt.Appendf(b, " -c %d %d", n.Packets, n.Bytes)
	}
	return b
}

// tableOf gives a table; one that was never loaded is an empty one.
func tableOf(rs *policy.Ruleset, fam policy.Family, id policy.TableID) (*policy.Ruleset, *policy.Table) {
	if t := rs.Tables[fam][id]; t != nil {
		return rs, t
	}
	empty, err := Compile(tableOnly(fam, id), nil, nil, 1)
	if err != nil {
		panic(err) // a table without rules compiles
	}
	return empty, empty.Tables[fam][id]
}

func noChain(t *policy.Table, name string) error {
	var names []string
	for _, c := range t.Chains {
		names = append(names, c.Name)
	}
	return fmt.Errorf("table %v has no chain %q%s", t.ID, name, didYouMean(name, names))
}
