package iptables

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/xt"
)

// maxLine is how long a line of rules may be, in bytes.
const maxLine = 64 << 10

// Options say how rules are read.
type Options struct {
	// Base is what the text changes; nil is an empty Set. Tables that the text does not name stay as they are.
	Base *Set
	// NoFlush is iptables-restore's -n: the text adds to the tables that it names instead of replacing them.
	NoFlush bool
	// Counters is iptables-restore's -c: counters in the text are taken over. Without it all start at 0.
	Counters bool
	// Shared is what extensions keep beyond a Ruleset: the router's. nil is an empty one, for checking a file.
	Shared *xt.Shared
}

func (o Options) shared() *xt.Shared {
	if o.Shared == nil {
		return xt.NewShared()
	}
	return o.Shared
}

// Parse reads a file as iptables-restore (ip6tables-restore for V6) does and gives the Set that results, or an
// *Error with the place of the first mistake. It is all or nothing: o.Base is not changed. name is the file's name
// in errors.
func Parse(fam policy.Family, name string, text []byte, o Options) (*Set, error) {
	o.Shared = o.shared()
	r := &reader{file: name, o: o, fresh: map[*table]bool{}}
	r.set = NewSet(fam)
	if o.Base != nil {
		if o.Base.family != fam {
			return nil, fmt.Errorf("the rules to change are for %v, not for %v", o.Base.family, fam)
		}
		*r.set = *o.Base
	}
	if err := r.read(text); err != nil {
		return nil, err
	}
	return r.set, nil
}

// OnlyTable empties the lines that belong to other tables, as iptables-restore -T passes over them.
func OnlyTable(text string, id policy.TableID) string {
	var out strings.Builder
	in := false
	for line := range strings.Lines(text) {
		bare := strings.TrimSpace(line)
		if strings.HasPrefix(line, "*") {
			in = bare == "*"+id.String()
		}
		if in {
			out.WriteString(line)
		} else {
			out.WriteByte('\n')
		}
		in = in && bare != "COMMIT"
	}
	return out.String()
}

// reader reads one file.
type reader struct {
	file  string
	o     Options
	set   *Set
	fresh map[*table]bool
	tab   *table // nil between tables
	start int    // the line where tab began
	line  int
	named []string // chains declared since tab began
}

func (r *reader) read(text []byte) error {
	if i := bytes.IndexByte(text, 0); i >= 0 {
		line := 1 + bytes.Count(text[:i], []byte("\n"))
		return &Error{r.file, line, i - bytes.LastIndexByte(text[:i], '\n'), "NUL byte: this is not a text of rules"}
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		text = rest
		r.line++
		if len(line) > maxLine {
			return &Error{r.file, r.line, maxLine, fmt.Sprintf("line of %d bytes: the limit is %d", len(line), maxLine)}
		}
		if f := r.one(strings.TrimSuffix(string(line), "\r")); f != nil {
			return &Error{r.file, r.line, f.col, f.msg}
		}
	}
	if r.tab != nil {
		return &Error{r.file, r.line, 0, fmt.Sprintf("COMMIT is missing: table %s, which begins in line %d, never ends", r.tab.id, r.start)}
	}
	for _, t := range r.set.tables {
		if t != nil && r.fresh[t] {
			if err := t.check(r.file); err != nil {
				return err
			}
		}
	}
	return nil
}

// one reads one line.
func (r *reader) one(line string) *fault {
	switch {
	case line == "" || line[0] == '#':
		return nil
	case strings.TrimSpace(line) == "":
		return nil
	case r.tab == nil:
		return r.begin(line)
	case strings.TrimRight(line, " \t") == "COMMIT":
		r.tab = nil
		return nil
	case line[0] == '*':
		return faultf(1, "table %s, which begins in line %d, has no COMMIT before the next table", r.tab.id, r.start)
	case line[0] == ':':
		return r.declare(line)
	}
	return r.rule(line)
}

// begin reads "*table".
func (r *reader) begin(line string) *fault {
	if line[0] != '*' {
		return faultf(1, "%s", r.outside(line))
	}
	fields := strings.Fields(line[1:])
	if len(fields) == 0 {
		return faultf(1, "the table has no name")
	}
	id, err := TableByName(fields[0])
	if err != nil {
		return faultf(2, "%v", err)
	}
	r.start, r.named = r.line, nil
	r.tab = r.set.edit(id, r.fresh)
	if !r.o.NoFlush {
		// Built-in chains keep their policy until a ":" line sets it, as in the kernel.
		clear(r.tab.user)
		r.tab.each("", func(c *chain) { c.rules = nil })
	}
	return nil
}

// outside explains a line that stands in no table.
func (r *reader) outside(line string) string {
	words := strings.Fields(line)
	switch {
	case len(words) > 1 && (words[0] == "table" || words[0] == "add" || words[0] == "flush" || words[0] == "define" || words[0] == "include"),
		strings.HasPrefix(line, "nft "), strings.HasPrefix(line, "#!/usr/sbin/nft"):
		return "this is nft's language: export the rules with iptables-save (iptables-nft-save where nft holds them), " +
			"or write them in iptables' words; iptables-translate shows how the two correspond"
	case words[0] == "iptables" || words[0] == "ip6tables":
		return "this is a shell command: load it once and export the rules with iptables-save"
	case line[0] == ':' || line[0] == '-' || line[0] == '[':
		return "this line stands outside of any table: a line such as \"*filter\" comes first"
	case words[0] == "COMMIT":
		return "COMMIT without a table"
	case words[0] == "Chain" || words[0] == "target":
		return "this is the listing of iptables -L, which cannot be read back: use iptables-save"
	}
	return fmt.Sprintf("unexpected %q: a table begins with \"*\" and its name, as in \"*filter\"", words[0])
}

// declare reads ":CHAIN POLICY [packets:bytes]".
func (r *reader) declare(line string) *fault {
	words, f := split(line[1:], 2)
	if f != nil {
		return f
	}
	if len(words) < 2 {
		return faultf(1, "a chain is declared as \":CHAIN POLICY [packets:bytes]\", with \"-\" for a chain that has no policy")
	}
	name, pol := words[0].text, words[1].text
	if slices.Contains(r.named, name) {
		return faultf(words[0].col, "chain %q is declared twice", name)
	}
	r.named = append(r.named, name)
	var count policy.Count
	if len(words) > 2 {
		var ok bool
		if count, ok = parseCount(words[2].text); !ok {
			return faultf(words[2].col, "bad counters %q: [packets:bytes] is wanted", words[2].text)
		}
	}
	if !r.o.Counters {
		count = policy.Count{}
	}
	c := r.tab.own(name)
	switch {
	case c == nil:
		if err := r.tab.create(name); err != nil {
			hint := ""
			if pol != "-" {
				hint = didYouMean(name, r.tab.chainNames())
			}
			return faultf(words[0].col, "%v%s", err, hint)
		}
		c = r.tab.own(name)
		if pol != "-" {
			return faultf(words[1].col, "%s is not a built-in chain of table %s and has no policy: \"-\" is wanted%s",
				name, r.tab.id, didYouMean(name, baseNames(r.tab)))
		}
	case !c.builtin: // --noflush: a chain that is declared again starts empty
		c.rules = nil
	}
	if !c.builtin || pol == "-" {
		return nil
	}
	if err := r.tab.setPolicy(name, pol, count); err != nil {
		return faultf(words[1].col, "%v", err)
	}
	return nil
}

func baseNames(t *table) (names []string) {
	for _, c := range t.base {
		names = append(names, c.name)
	}
	return names
}

// rule reads "[packets:bytes] -A ..." and the other commands.
func (r *reader) rule(line string) *fault {
	var count policy.Count
	col := 1
	if line[0] == '[' {
		word, _, found := strings.Cut(line, "]")
		var ok bool
		if count, ok = parseCount(word + "]"); !ok || !found {
			return faultf(1, "bad counters: [packets:bytes] is wanted before the rule")
		}
		col += len(word) + 1
		line = line[len(word)+1:]
	}
	words, f := split(line, col)
	if f != nil {
		return f
	}
	if len(words) == 0 {
		return faultf(col, "a rule is missing behind the counters")
	}
	if w := words[0].text; w[:min(1, len(w))] != "-" && w != "!" {
		return faultf(words[0].col, "unexpected %q: a rule begins with -A, and a table ends with COMMIT", w)
	}
	p := &parser{fam: r.set.family, tab: r.tab, line: r.line, shared: r.o.Shared}
	if r.o.Counters {
		p.counters = count
	}
	c, f := p.parseCommand(words)
	if f != nil {
		return f
	}
	if c.table != "" {
		return faultf(1, "\"-t\" cannot be used here: the table is %s", r.tab.id)
	}
	if err := r.tab.run(c, r.set.family); err != nil {
		return faultf(words[0].col, "%v", err)
	}
	return nil
}

// parseCount reads "[packets:bytes]".
func parseCount(s string) (n policy.Count, ok bool) {
	s, ok1 := strings.CutPrefix(s, "[")
	s, ok2 := strings.CutSuffix(s, "]")
	packets, bytes, ok3 := strings.Cut(s, ":")
	var err1, err2 error
	n.Packets, err1 = strconv.ParseUint(packets, 10, 64)
	n.Bytes, err2 = strconv.ParseUint(bytes, 10, 64)
	return n, ok1 && ok2 && ok3 && err1 == nil && err2 == nil
}

// Apply edits as one iptables command does and gives the Set that results; s is not changed. args are the words
// behind "iptables": "-t nat -A POSTROUTING -j MASQUERADE"; without -t the table is filter.
func (s *Set) Apply(args []string, o Options) (*Set, error) {
	words := make([]word, len(args))
	for i, a := range args {
		words[i] = word{a, i + 1}
	}
	if len(args) == 0 {
		return nil, &Error{Msg: "a command is missing: -A, -I, -D, -R, -N, -X, -P, -F, -Z or -E"}
	}
	id, err := tableArg(args)
	if err != nil {
		return nil, err
	}
	next := *s
	tab := next.edit(id, map[*table]bool{})
	p := &parser{fam: s.family, tab: tab, shared: o.shared()}
	c, f := p.parseCommand(words)
	if f != nil {
		return nil, &Error{Msg: f.msg}
	}
	if err := tab.run(c, s.family); err != nil {
		return nil, &Error{Msg: err.Error()}
	}
	if c.op == 'C' || c.op == 0 {
		return s, nil
	}
	if err := tab.check(""); err != nil {
		return nil, err
	}
	return &next, nil
}

// tableArg finds the table that a command names.
func tableArg(args []string) (policy.TableID, error) {
	name := "filter"
	for i, a := range args {
		if value, ok := strings.CutPrefix(a, "--table="); ok {
			name = value
		} else if (a == "-t" || a == "--table") && i+1 < len(args) {
			name = args[i+1]
		} else if strings.HasPrefix(a, "-t") {
			name = a[2:]
		}
	}
	id, err := TableByName(name)
	if err != nil {
		return 0, &Error{Msg: err.Error()}
	}
	return id, nil
}
