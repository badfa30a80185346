package xt

import (
	"slices"
	"strings"
	"testing"

	"github.com/moat-router/moat/policy"
)

// TestEveryOptionOfTheTablesBelongsToItsExtension: the tables say which words an extension knows, and the extension
// must know them all, or the reader would offer a word that nobody takes.
func TestEveryOptionOfTheTablesBelongsToItsExtension(t *testing.T) {
	t.Parallel()
	ask := func(name, option string, take func(*Opt) (bool, error)) {
		o := &Opt{Name: option, Args: []string{"1", "1"}}
		if ok, err := take(o); !ok && err == nil {
			t.Errorf("%s does not know its own option %s", name, option)
		}
		if !strings.HasPrefix(option, "--") {
			t.Errorf("%s: option %q has no dashes", name, option)
		}
	}
	for _, m := range Matches {
		for _, option := range m.Options {
			ask(m.Name, option, m.New().Option)
		}
	}
	for _, x := range Targets {
		for _, option := range x.Options {
			ask(x.Name, option, x.New().Option)
		}
	}
}

func TestTablesAreSortedAndNameNothingTwice(t *testing.T) {
	t.Parallel()
	var names []string
	for _, m := range Matches {
		names = append(names, m.Name+string('0'+rune(m.Families)))
	}
	if !slices.IsSorted(names) || len(slices.Compact(names)) != len(Matches) {
		t.Errorf("matches: %v", names)
	}
	names = nil
	for _, x := range Targets {
		names = append(names, x.Name)
	}
	if !slices.IsSorted(names) || len(slices.Compact(names)) != len(Targets) {
		t.Errorf("targets: %v", names)
	}
}

func TestWhatIsLeftOutIsRefusedWithAReason(t *testing.T) {
	t.Parallel()
	for _, l := range leftOutMatches {
		if _, err := FindMatch(policy.V4, l.name); err == nil || !strings.Contains(err.Error(), "not supported: "+l.why) {
			t.Errorf("match %s: %v", l.name, err)
		}
	}
	for _, l := range leftOutTargets {
		if _, err := FindTarget(policy.V6, l.name); err == nil || !strings.Contains(err.Error(), "not supported: "+l.why) {
			t.Errorf("target %s: %v", l.name, err)
		}
	}
	if _, err := FindMatch(policy.V6, "ttl"); err == nil || !strings.Contains(err.Error(), "other family") {
		t.Errorf("ttl in IPv6: %v", err)
	}
}

// TestNumbersAreReadAsStrtoulReadsThem: base 0, the whole word, no sign but plus.
func TestNumbersAreReadAsStrtoulReadsThem(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int64{
		"0": 0, "7": 7, "0x1f": 31, "0XFF": 255, "010": 8, "+5": 5, " 5": 5, "65535": 65535,
		"": -1, "-1": -1, "08": -1, "5x": -1, "0x": -1, "65536": -1, "1e3": -1, "99999999999999999999999": -1, "5 ": -1,
	} {
		v, ok := ParseUint(s, 0, 65535)
		if ok != (want >= 0) || ok && int64(v) != want {
			t.Errorf("%q: %d %v, want %d", s, v, ok, want)
		}
	}
}
