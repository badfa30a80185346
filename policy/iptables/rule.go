package iptables

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
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
	arg      string // -P: the policy; -E: the new name
	num      int    // of a rule, from 1; 0 if none was given
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
	for p.pos < len(words) {
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
	if not {
		return nil, faultf(words[len(words)-1].col, "\"!\" at the end of the line inverts nothing")
	}
	if p.otherFam {
		return &command{}, nil
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
		if c.value && rest != "" {
			args = append([]string{rest}, args...)
		}
		used, f := p.core(c, w.col, not, args)
		if f != nil {
			return f
		}
		if c.value && rest != "" {
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

// core handles one of iptables' own options and tells how many words it took.
func (p *parser) core(c *coreOption, col int, not bool, args []string) (used int, f *fault) {
	arg := ""
	if c.value {
		if len(args) == 0 {
			return 0, faultf(col, "option \"-%c\" needs a value", c.letter)
		}
		arg = args[0]
		used = 1
		if arg == "!" && strings.IndexByte("sdpio", c.letter) >= 0 {
			return 0, faultf(col, "\"!\" stands in front of the option, as in \"! -%c value\"", c.letter)
		}
	}
	if not && !strings.ContainsRune("sdpiof", rune(c.letter)) {
		return 0, faultf(col, "\"!\" cannot stand in front of \"-%c\"", c.letter)
	}
	if 'A' <= c.letter && c.letter <= 'Z' {
		n, f := p.command(c, col, arg, args[used:])
		return used + n, f
	}
	if slices.Contains(p.have, c.letter) && !strings.ContainsRune("m46vnxw", rune(c.letter)) ||
		c.letter == 'j' && slices.Contains(p.have, 'g') || c.letter == 'g' && slices.Contains(p.have, 'j') {
		return 0, faultf(col, "option \"-%c\" can only be used once", c.letter)
	}
	p.have = append(p.have, c.letter)
	var err error
	switch c.letter {
	case 's':
		p.head.NotSrc = not
		p.src, err = p.addresses(arg)
	case 'd':
		p.head.NotDst = not
		p.dst, err = p.addresses(arg)
	case 'p':
		err = p.protocol(arg, not)
	case 'i':
		p.head.NotIn = not
		p.head.In, err = iface(arg, not)
	case 'o':
		p.head.NotOut = not
		p.head.Out, err = iface(arg, not)
	case 'f':
		if p.fam == policy.V6 {
			return 0, faultf(col, "\"-f\" exists for IPv4 only; use \"-m frag\"")
		}
		p.head.Fragment = !not
		p.head.NotFragment = not
	case 'm':
		var ext *xt.MatchExt
		if ext, err = xt.FindMatch(p.fam, arg); err == nil {
			p.loadMatch(ext, col)
		} else {
			err = withHint(err, matchNames(p.fam))
		}
	case 'j':
		err = p.jumpTo(arg, col)
	case 'g':
		p.jump, p.jumpCol = arg, col
		if p.tab.chain(arg) == nil {
			err = fmt.Errorf("-g goes to a chain, and there is none named %q%s", arg, p.chainHint(arg))
		}
	case 'c':
		used, err = p.setCounters(args)
	case 't':
		p.cmd.table = arg
	case '4':
		p.otherFam = p.otherFam || p.fam == policy.V6
	case '6':
		p.otherFam = p.otherFam || p.fam == policy.V4
	}
	if err != nil {
		return 0, faultf(col, "%v", err)
	}
	return used, nil
}

func (p *parser) setCounters(args []string) (used int, err error) {
	packets, bytes, one := strings.Cut(args[0], ",")
	used = 1
	if !one {
		if len(args) < 2 || strings.HasPrefix(args[1], "-") || args[1] == "!" {
			return 0, errors.New("-c needs two numbers: packets and bytes")
		}
		bytes, used = args[1], 2
	}
	var err1, err2 error
	p.counters.Packets, err1 = strconv.ParseUint(packets, 10, 64)
	p.counters.Bytes, err2 = strconv.ParseUint(bytes, 10, 64)
	if err1 != nil || err2 != nil {
		return 0, errors.New("-c needs two numbers: packets and bytes")
	}
	return used, nil
}

func (p *parser) addresses(arg string) (list []addrMask, err error) {
	for s := range strings.SplitSeq(arg, ",") {
		a, m, err := xt.ParsePrefix(p.fam, s)
		if err != nil {
			return nil, err
		}
		if m.IsZero() {
			a = packet.Addr{} // a head that asks nothing is the zero head
		}
		list = append(list, addrMask{a, m})
	}
	return list, nil
}

func (p *parser) protocol(arg string, not bool) error {
	n, ok := xt.ParseProtocol(arg)
	if !ok {
		return fmt.Errorf("unknown protocol %q%s", arg, didYouMean(strings.ToLower(arg), xt.ProtocolNames()))
	}
	if n == 0 && not {
		return errors.New("a rule with \"! -p all\" never matches")
	}
	p.head.Proto, p.head.NotProto, p.head.ProtoSet = n, not, p.fam == policy.V6
	p.proto = strings.ToLower(arg)
	return nil
}

// iface checks the name of an interface; "+" alone is any, unless it is inverted.
func iface(name string, not bool) (string, error) {
	if name == "+" && !not {
		return "", nil
	}
	return name, xt.CheckIface(name)
}

func (p *parser) jumpTo(name string, col int) error {
	p.jump, p.jumpCol = name, col
	if name == "" {
		return errors.New("-j needs a target or a chain")
	}
	if p.tab.chain(name) != nil || slices.Contains(verdictNames, name) {
		return nil
	}
	ext, err := xt.FindTarget(p.fam, name)
	if err != nil {
		names := slices.Clone(verdictNames)
		for _, t := range xt.Targets {
			names = append(names, t.Name)
		}
		if nf := (*xt.NotFound)(nil); errors.As(err, &nf) && nf.Why == "" {
			return fmt.Errorf("no target and no chain is named %q%s", name, didYouMean(name, append(names, p.tab.chainNames()...)))
		}
		return err
	}
	t := ext.New()
	p.target = &instance{name: ext.Name, col: col, options: ext.Options, option: t.Option, target: t}
	p.loaded = append(p.loaded, p.target)
	return nil
}

func (p *parser) chainHint(name string) string { return didYouMean(name, p.tab.chainNames()) }

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
