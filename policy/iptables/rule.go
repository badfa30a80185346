package iptables

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/xt"
	"github.com/moat-router/moat/stack/packet"
)

// command is one parsed rule line.
type command struct {
	op       byte // A I D R C, N X P F Z E; 0: nothing to do (a line for the other family)
	table    string
	chain    string
	chainCol int
	arg      string       // -P: the policy; -E: the new name
	num      int          // of a rule, from 1; 0 if none was given
	counters policy.Count // -c: of the policy that -P sets
	rules    []*rule
}

// rule is one rule in a Set. Rules never change; the Sets that editing makes share them.
type rule struct {
	policy.Rule // without Jump
	jump        string
}

// instance is one extension loaded by a rule.
type instance struct {
	name    string
	col     int
	options []string
	seen    []string
	option  func(*xt.Opt) (bool, error)
	match   xt.MatchParser
	target  xt.TargetParser
}

// addrMask is one of the addresses of -s or -d.
type addrMask struct{ addr, mask packet.Addr }

// parser holds what is known of a line while its words are read.
type parser struct {
	fam    policy.Family
	tab    *table
	line   int
	shared *xt.Shared

	words []word
	texts []string // the same, bare
	pos   int

	cmd       command
	head      policy.Head
	src, dst  []addrMask
	have      []byte // letters of the options seen
	proto     string // as written, for the implicit match
	protoUsed bool
	jump      string
	jumpCol   int
	loaded    []*instance
	target    *instance
	counters  policy.Count
	anyDev    bool // -i + or -o +
	otherFam  bool
}

// parseCommand reads the words of a rule line or of an iptables command.
func (p *parser) parseCommand(words []word) (*command, *fault) {
	p.words = words
	p.texts = make([]string, len(words))
	for i, w := range words {
		p.texts[i] = w.text
	}
	not := false
	for p.pos < len(words) && !p.otherFam {
		w := words[p.pos]
		if w.text == "!" {
			if not {
				return nil, faultf(w.col, "two \"!\" in a row")
			}
			not = true
			p.pos++
			continue
		}
		var f *fault
		switch {
		case w.text == "--":
			p.pos++
			if p.pos < len(words) {
				f = faultf(words[p.pos].col, "unexpected argument %q", words[p.pos].text)
			}
		case strings.HasPrefix(w.text, "--"):
			f = p.long(w, not)
		case strings.HasPrefix(w.text, "-") && len(w.text) > 1:
			f = p.short(w, not)
		default:
			f = faultf(w.col, "unexpected argument %q%s", w.text, p.strayHint(w.text, not))
		}
		if f != nil {
			return nil, f
		}
		not = false
	}
	if p.otherFam { // the rest is not read
		return &command{}, nil
	}
	if not {
		return nil, faultf(words[len(words)-1].col, "\"!\" at the end of the line inverts nothing")
	}
	return p.finish()
}

// strayHint explains the usual ways in which a word ends up where no option takes it.
func (p *parser) strayHint(text string, not bool) string {
	switch {
	case not:
		return ": \"!\" stands in front of the option, as in \"! -s 192.0.2.1\""
	case slices.Contains(p.allOptions(), "--"+text):
		return fmt.Sprintf("; did you mean %q?", "--"+text)
	}
	return ""
}

func (p *parser) long(w word, not bool) *fault {
	name, value, hasValue := strings.Cut(w.text, "=")
	o, ok, err := p.resolve(name)
	if err != nil {
		return faultf(w.col, "%v", err)
	}
	if !ok {
		if p.loadImplicit(w.col) {
			return p.long(w, not) // the same word again
		}
		hint := didYouMean(name, p.allOptions())
		if hint == "" {
			hint = moduleHint(p.fam, name)
		}
		return faultf(w.col, "unknown option %q%s", name, hint)
	}
	args := p.texts[p.pos+1:]
	if hasValue {
		args = append([]string{value}, args...)
	}
	used := 0
	var f *fault
	if o.core != nil {
		used, f = p.core(o.core, w.col, not, args)
	} else {
		used, f = o.ext.take(o.name, w.col, not, args)
	}
	if f != nil {
		return f
	}
	p.pos++
	if hasValue {
		if used == 0 {
			return faultf(w.col, "option %q takes no value", o.name)
		}
		used--
	}
	p.pos += used
	return nil
}

// take hands an option to the extension and tells how many words it took.
func (x *instance) take(name string, col int, not bool, args []string) (int, *fault) {
	if slices.Contains(x.seen, name) {
		return 0, faultf(col, "%s: option %q can only be used once", x.name, name)
	}
	x.seen = append(x.seen, name)
	o := &xt.Opt{Name: name, Not: not, Args: args}
	ok, err := x.option(o)
	if err != nil {
		return 0, faultf(col, "%s: %v", x.name, err)
	}
	if !ok {
		return 0, faultf(col, "unknown option %q", name)
	}
	return o.Used(), nil
}

// short reads "-s value", "-svalue" and clusters of letters without values.
func (p *parser) short(w word, not bool) *fault {
	for i := 1; i < len(w.text); i++ {
		c := coreByLetter(w.text[i])
		if c == nil {
			return faultf(w.col, "unknown option \"-%c\"%s", w.text[i], didYouMean("-"+w.text, p.allOptions()))
		}
		args := p.texts[p.pos+1:]
		rest := w.text[i+1:]
		joined := rest != "" && (c.value || strings.IndexByte("FXZ", c.letter) >= 0 || strings.IndexByte("wW", c.letter) >= 0 && isSeconds(rest))
		if joined {
			args = append([]string{rest}, args...)
		}
		used, f := p.core(c, w.col, not, args)
		if f != nil {
			return f
		}
		if joined {
			p.pos += used
			return nil
		}
		if rest == "" {
			p.pos += 1 + used
			return nil
		}
	}
	return nil
}

// loadImplicit loads the match that belongs to -p when an option is met that nobody knows, once.
func (p *parser) loadImplicit(col int) bool {
	if p.proto == "" || p.protoUsed {
		return false
	}
	name := p.proto
	if n, ok := xt.ParseProtocol(name); ok {
		name = xt.ProtocolName(n)
	}
	ext, err := xt.FindMatch(p.fam, name)
	if err != nil {
		return false
	}
	p.protoUsed = true
	p.loadMatch(ext, col)
	return true
}

func (p *parser) loadMatch(ext *xt.MatchExt, col int) {
	m := ext.New()
	p.loaded = append(p.loaded, &instance{name: ext.Name, col: col, options: ext.Options, option: m.Option, match: m})
}

// moduleHint names the extensions that have the option.
func moduleHint(fam policy.Family, option string) string {
	var needs []string
	for _, m := range xt.Matches {
		if m.Families&(1<<fam) == 0 || !slices.Contains(m.Options, option) {
			continue
		}
		flag := "-m "
		if n, ok := xt.ParseProtocol(m.Name); ok && n != 0 {
			flag = "-p "
		}
		needs = append(needs, flag+m.Name)
	}
	for _, t := range xt.Targets {
		if t.Families&(1<<fam) != 0 && slices.Contains(t.Options, option) {
			needs = append(needs, "-j "+t.Name)
		}
	}
	if needs == nil {
		return ""
	}
	return ": it needs " + strings.Join(needs, " or ") + " before it"
}

// withHint adds a suggestion to the error of a name that nobody knows.
func withHint(err error, names []string) error {
	if nf := (*xt.NotFound)(nil); errors.As(err, &nf) && nf.Why == "" {
		return fmt.Errorf("%v%s", err, didYouMean(nf.Name, names))
	}
	return err
}

func matchNames(fam policy.Family) (names []string) {
	for _, m := range xt.Matches {
		if m.Families&(1<<fam) != 0 {
			names = append(names, m.Name)
		}
	}
	return names
}

// verdictNames are the targets that are neither chains nor extensions.
var verdictNames = []string{"ACCEPT", "DROP", "RETURN"}

func verdictNamed(name string) policy.Verdict {
	switch name {
	case "ACCEPT":
		return policy.Accept
	case "DROP":
		return policy.Drop
	case "RETURN":
		return policy.Return
	}
	return policy.Continue
}
