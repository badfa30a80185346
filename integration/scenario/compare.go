package scenario

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/moat-router/moat/stack/packet"
)

// Kinds is a set of the kinds of difference.
type Kinds uint16

// The kinds.
const (
	KindOut      Kinds = 1 << iota // packets
	KindCT                         // conntrack entries
	KindTimers                     // their timeouts
	KindExpect                     // expectations
	KindEvents                     // conntrack events
	KindLog                        // log lines
	KindCounters                   // of rules
)

var kindNames = []string{"out", "ct", "timers", "expect", "events", "log", "counters"}

func (k Kinds) String() string {
	var names []string
	for i, n := range kindNames {
		if k&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return strings.Join(names, ",")
}

// ParseKinds reads a comma-separated list of names.
func ParseKinds(text string) (Kinds, error) {
	var k Kinds
next:
	for _, w := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
		for i, n := range kindNames {
			if n == w {
				k |= 1 << i
				continue next
			}
		}
		return 0, fmt.Errorf("%q is not a kind of difference: choose from %s", w, strings.Join(kindNames, ", "))
	}
	return k, nil
}

// timerSlack is how far a timeout may be off, in seconds: a recording took real time.
const timerSlack = 2

// Diff is one kind of difference in one step.
type Diff struct {
	Step  int // -1: the whole scenario
	Kind  Kinds
	Lines []string // "- " is what the kernel did, "+ " what happened instead
}

func (d Diff) String() string {
	where := ""
	if d.Step >= 0 {
		where = fmt.Sprintf("step %d ", d.Step)
	}
	return where + d.Kind.String() + ": " + strings.Join(d.Lines, "\n    ")
}

// Compare lays a run beside the recording. Kinds in skip are left out; an empty result means that both agree.
func Compare(s *Scenario, run *Run, skip Kinds) []Diff {
	var diffs []Diff
	add := func(step int, k Kinds, lines []string) {
		if len(lines) > 0 && skip&k == 0 {
			diffs = append(diffs, Diff{step, k, lines})
		}
	}
	for i := range s.Expected {
		if i >= len(run.Steps) {
			add(i, KindOut, []string{"the run ended before this step"})
			break
		}
		want, got := &s.Expected[i], &run.Steps[i]
		add(i, KindOut, diffPackets(want.Out, got.Out))
		add(i, KindOut, diffBound(s.Steps[i].Bind, run.Vars))
		entries, timers := diffEntries(want.CT, got.Entries, run.Vars)
		add(i, KindCT, entries)
		add(i, KindTimers, timers)
		add(i, KindExpect, diffLists(expectations(want.Expect), expectations(got.Expect)))
		if want.Events != nil {
			add(i, KindEvents, diffLists(eventTexts(want.Events), eventTexts(got.Events)))
		}
		if want.Log != nil {
			add(i, KindLog, diffLists(s.logTexts(want.Log), s.logTexts(got.Log)))
		}
	}
	if s.Recorded != nil {
		add(-1, KindCounters, diffCounters(s.Recorded.Counters, run.Counters))
	}
	return diffs
}

func diffPackets(want []ExpectedPacket, got []Sent) []string {
	if len(want) != len(got) {
		var w, g []string
		for _, x := range want {
			w = append(w, x.If+": "+x.Text)
		}
		for _, x := range got {
			g = append(g, x.If+": "+packet.Text(x.Data))
		}
		return append([]string{fmt.Sprintf("%d packets out, expected %d", len(got), len(want))}, diffLists(w, g)...)
	}
	var lines []string
	for i := range want {
		lines = append(lines, diffPacket(&want[i], got[i])...)
	}
	return lines
}

func diffPacket(want *ExpectedPacket, got Sent) []string {
	w, err := decodeHex(want.Hex)
	if err != nil {
		return []string{"the recording is broken: " + err.Error()}
	}
	c := packet.Canon(got.Data, want.Mask)
	if !bytes.Equal(w, c) || want.If != got.If {
		lines := []string{"- " + want.If + ": " + want.Text, "+ " + got.If + ": " + packet.Text(got.Data)}
		if !bytes.Equal(w, c) {
			lines = append(lines, "  ("+whereBytesDiffer(w, c)+")")
		}
		return lines
	}
	if want.GSO != got.GSO {
		return []string{fmt.Sprintf("segments of %d bytes, expected %d (0: no super-segment) in %s: %s", got.GSO, want.GSO, got.If, packet.Text(got.Data))}
	}
	if g := sumsOf(got.Data); sumsText(g) != sumsText(want.Sums) {
		return []string{fmt.Sprintf("checksums are %s, expected %s in %s: %s", sumsText(g), sumsText(want.Sums), got.If, packet.Text(got.Data))}
	}
	return nil
}

func whereBytesDiffer(want, got []byte) string {
	if len(want) != len(got) {
		return fmt.Sprintf("length %d, expected %d", len(got), len(want))
	}
	if names, ok := packet.Diff(want, got); ok {
		return "fields " + strings.Join(names, " ")
	}
	var l []string
	for i := range want {
		if want[i] != got[i] {
			if len(l) == 12 {
				l = append(l, "...")
				break
			}
			l = append(l, fmt.Sprintf("%d:%02x/%02x", i, got[i], want[i]))
		}
	}
	return "bytes " + strings.Join(l, " ")
}

func sumsText(m map[string]*bool) string {
	words := make([]string, 0, len(m))
	for name, ok := range m {
		switch {
		case ok == nil:
			words = append(words, name+"=unknown")
		case *ok:
			words = append(words, name+"=good")
		default:
			words = append(words, name+"=BAD")
		}
	}
	sort.Strings(words)
	return strings.Join(words, " ")
}

func diffBound(binds map[string]Bind, vars map[string]uint64) []string {
	var lines []string
	for name, b := range binds {
		if v, ok := vars[name]; ok && (v < b.Range[0] || v > b.Range[1]) {
			lines = append(lines, fmt.Sprintf("$%s (%s) = %d, allowed %d to %d", name, b.Field, v, b.Range[0], b.Range[1]))
		}
	}
	sort.Strings(lines)
	return lines
}

// diffEntries compares as sets, and where these agree the timeouts.
func diffEntries(want, got []Entry, vars map[string]uint64) (entries, timers []string) {
	named := make([]Entry, len(got))
	for i, e := range got {
		named[i] = e.withNames(vars)
	}
	w, g := sortEntries(want), sortEntries(named)
	if d := diffLists(entryTexts(w), entryTexts(g)); d != nil {
		return d, nil
	}
	for i := range w {
		if d := g[i].Timeout - w[i].Timeout; d > timerSlack || d < -timerSlack {
			timers = append(timers, fmt.Sprintf("timeout %d, expected %d: %s", g[i].Timeout, w[i].Timeout, w[i]))
		}
	}
	return nil, timers
}

func sortEntries(l []Entry) []Entry {
	l = append([]Entry(nil), l...)
	sort.Slice(l, func(i, j int) bool {
		if a, b := l[i].String(), l[j].String(); a != b {
			return a < b
		}
		return l[i].Timeout < l[j].Timeout
	})
	return l
}

func entryTexts(l []Entry) []string {
	out := make([]string, len(l))
	for i, e := range l {
		out[i] = e.String()
	}
	return out
}

// expectations are compared without their timeouts, which stand first in a line, and in any order.
func expectations(l []string) []string {
	out := make([]string, len(l))
	for i, line := range l {
		w := strings.Fields(line)
		if len(w) > 0 && strings.Trim(w[0], "0123456789") == "" {
			w = w[1:]
		}
		for k, x := range w {
			if name, v, ok := strings.Cut(x, "="); ok && !strings.HasSuffix(v, ",") {
				w[k] = name + "=" + canonical(v)
			}
		}
		out[i] = strings.Join(w, " ")
	}
	sort.Strings(out)
	return out
}

func eventTexts(l []Event) []string {
	out := make([]string, len(l))
	for i, e := range l {
		e.Timeout = 0
		e.Orig, e.Reply = canonicalTuple(e.Orig), canonicalTuple(e.Reply)
		b, err := json.Marshal(e)
		if err != nil {
			panic("scenario: an Event holds plain values only: " + err.Error())
		}
		out[i] = strings.ReplaceAll(string(b), `"`, "")
	}
	return out
}

func canonicalTuple(t *EventTuple) *EventTuple {
	if t == nil {
		return nil
	}
	c := *t
	c.Src, c.Dst = canonical(c.Src), canonical(c.Dst)
	return &c
}

// ownID are numbers that nobody can predict in a log line about a packet that the router made itself.
var ownID = regexp.MustCompile(` (ID|UID|GID)=\d+((?: OPT \([0-9A-F]*\))? PROTO)`)

// logTexts are the lines as they are compared. Only lines about packets with one of the router's addresses as source
// lose their numbers: others keep the identification that their sender gave them.
func (s *Scenario) logTexts(l []LogLine) []string {
	out := make([]string, len(l))
	for i, x := range l {
		msg := x.Msg
		if s.isOwn(source.FindString(msg)) {
			msg = ownID.ReplaceAllString(msg, " $1=*$2")
		}
		out[i] = fmt.Sprintf("<%d>%s", x.Level, msg)
	}
	return out
}

var source = regexp.MustCompile(`SRC=[0-9a-f.:]+`)

// isOwn tells whether "SRC=address" names an address that the router has had from the beginning.
func (s *Scenario) isOwn(src string) bool {
	for _, f := range s.Interfaces {
		for _, a := range f.Addrs {
			own, _, _ := strings.Cut(a.Local, "/")
			if src == "SRC="+own {
				return true
			}
		}
	}
	return false
}

// diffCounters compares numbers only: how a rule is spelled is for the reader.
func diffCounters(want, got map[string]map[string][]string) []string {
	var lines []string
	for _, family := range slices.Sorted(maps.Keys(want)) {
		for _, table := range slices.Sorted(maps.Keys(want[family])) {
			w, g := want[family][table], got[family][table]
			if family == SetsFamily {
				for _, l := range diffLists(w, g) {
					lines = append(lines, "set "+table+": "+l)
				}
				continue
			}
			if len(w) != len(g) {
				lines = append(lines, fmt.Sprintf("%s %s: %d rules, expected %d", family, table, len(g), len(w)))
			}
			for i := 0; i < len(w) && i < len(g); i++ {
				if number(w[i]) != number(g[i]) {
					lines = append(lines, fmt.Sprintf("%s %s: %s, expected %s", family, table, number(g[i]), w[i]))
				}
			}
		}
	}
	return lines
}

func number(rule string) string {
	n, _, _ := strings.Cut(rule, "]")
	return n + "]"
}

// diffLists gives "- " for what is missing and "+ " for what is too much; nil if both are equal, in order.
func diffLists(want, got []string) []string {
	if slices.Equal(want, got) {
		return nil
	}
	left := map[string]int{}
	for _, x := range got {
		left[x]++
	}
	var lines []string
	for _, x := range want {
		if left[x]--; left[x] < 0 {
			lines = append(lines, "- "+x)
		}
	}
	for _, x := range want {
		if left[x] < 0 {
			left[x]++
		}
	}
	for _, x := range got {
		if left[x] > 0 {
			left[x]--
			lines = append(lines, "+ "+x)
		}
	}
	if lines == nil {
		lines = append(lines, "the same items in another order:")
		for _, x := range want {
			lines = append(lines, "- "+x)
		}
		for _, x := range got {
			lines = append(lines, "+ "+x)
		}
	}
	return lines
}
