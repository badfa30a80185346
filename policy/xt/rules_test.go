package xt

import (
	"os"
	"strings"
	"testing"

	"github.com/moat-router/moat/policy"
)

// parseRule reads the -m and -j parts of a rule line for tests of this package alone; -p goes into the head and the
// rest of the head is skipped. The reader that users meet is policy/iptables.
func parseRule(t *testing.T, s *Shared, fam policy.Family, table policy.TableID, line string) (save string, ms []policy.Match, tg policy.Target, err error) {
	t.Helper()
	words := splitLine(line)
	head := &policy.Head{}
	info := &RuleInfo{Family: fam, Table: table, Chain: "FORWARD", Head: head, Shared: s}
	rule := &policy.Rule{}
	var m MatchParser
	var tp TargetParser
	var name string
	finish := func() {
		if m == nil || err != nil {
			return
		}
		var c policy.Match
		if c, err = m.Done(info); err == nil {
			if h, ok := c.(HookChecker); ok {
				h.CheckHooks(table, 1<<policy.Forward)
			}
			ms = append(ms, c)
			save += " -m " + name + string(c.AppendSave(nil))
		}
		m = nil
	}
	not := false
	for i := 0; i < len(words) && err == nil; i++ {
		w := words[i]
		switch {
		case w == "!":
			not = true
			continue
		case w == "-p":
			i++
			head.Proto, _ = ParseProtocol(words[i])
			head.ProtoSet, head.NotProto = true, not
		case w == "-m":
			if finish(); err != nil {
				continue
			}
			i++
			name = words[i]
			ext, e := FindMatch(fam, name)
			if err = e; err == nil {
				m = ext.New()
			}
		case w == "-j":
			if finish(); err != nil {
				continue
			}
			i++
			name = words[i]
			ext, e := FindTarget(fam, name)
			if err = e; err == nil {
				tp = ext.New()
			}
		default:
			o := &Opt{Name: w, Not: not, Args: words[i+1:]}
			var ok bool
			switch {
			case tp != nil:
				ok, err = tp.Option(o)
			case m != nil:
				ok, err = m.Option(o)
			}
			if err == nil && !ok {
				t.Fatalf("%s: option %s is nobody's", line, w)
			}
			i += o.Used()
		}
		not = false
	}
	finish()
	if tp != nil && err == nil {
		if tg, err = tp.Done(info); err == nil {
			save += " -j " + tg.Name() + string(tg.AppendSave(nil))
			rule.Matches, rule.Target = ms, tg
			if c, ok := tg.(RuleChecker); ok {
				err = c.CheckRule(rule)
			}
		}
	}
	return strings.TrimSpace(save), ms, tg, err
}

// splitLine splits at blanks outside of double quotes.
func splitLine(s string) (words []string) {
	var w []byte
	in, quoted := false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quoted && i+1 < len(s):
			i++
			w = append(w, s[i])
		case c == '"':
			quoted, in = !quoted, true
		case c == ' ' && !quoted:
			if in {
				words = append(words, string(w))
			}
			w, in = nil, false
		default:
			w, in = append(w, c), true
		}
	}
	if in {
		words = append(words, string(w))
	}
	return words
}

// TestNormalFormIsIptables holds parsers and printers against what iptables made of the same words.
func TestNormalFormIsIptables(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/normal-form.txt")
	if err != nil {
		t.Fatal(err)
	}
	fam, table := policy.V4, policy.Filter
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		if head, ok := strings.CutPrefix(line, "== "); ok {
			fam, table = policy.V4, policy.Filter
			if strings.HasPrefix(head, "v6") {
				fam = policy.V6
			}
			if strings.HasSuffix(head, "mangle") {
				table = policy.Mangle
			}
			continue
		}
		rule, want, _ := strings.Cut(line, "\t")
		shared := NewShared()
		for _, c := range []string{"create foo hash:ip", "create six hash:ip family inet6", "create a1 hash:ip"} {
			if err := shared.SetCommand(c, 0); err != nil {
				t.Fatal(err)
			}
		}
		got, _, _, err := parseRule(t, shared, fam, table, rule)
		if err != nil {
			got = "FAIL"
		}
		if got != want {
			t.Errorf("%s %s %s\n got  %s (%v)\n want %s", fam, table, rule, got, err, want)
		}
	}
}
