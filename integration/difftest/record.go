package difftest

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/moat-router/moat/integration/scenario"
	"github.com/moat-router/moat/stack/packet"
)

// Record turns runs of the reference into the expectations of s. A field in which two runs differ is masked by name,
// and so are the ids that a router makes up. What cannot be masked so is a problem: the scenario asks for something
// that the reference does not do twice in the same way.
func Record(s *scenario.Scenario, runs ...*scenario.Run) (problems []string) {
	first := runs[0]
	s.Expected = make([]scenario.Expected, len(first.Steps))
	ids := map[[2]int]bool{} // {family, id} of what was injected so far
	for i := range first.Steps {
		e, o := &s.Expected[i], &first.Steps[i]
		for _, b := range o.Sent {
			e.InjectHex = append(e.InjectHex, hex.EncodeToString(b))
			noteIDs(ids, b)
		}
		others := runs[1:]
		for _, r := range runs[1:] {
			if i >= len(r.Steps) || !slices.EqualFunc(r.Steps[i].Out, o.Out, func(a, b scenario.Sent) bool { return a.If == b.If && a.GSO == b.GSO }) {
				problems = append(problems, fmt.Sprintf("step %d: other packets leave each time", i))
				others = nil
			}
		}
		for j, out := range o.Out {
			mask := ownIDs(ids, out.Data)
			for _, r := range others {
				fields, ok := packet.Diff(out.Data, r.Steps[i].Out[j].Data)
				if !ok {
					problems = append(problems, fmt.Sprintf("step %d: packet %d differs outside of named fields", i, j))
				}
				mask = append(mask, fields...)
			}
			slices.Sort(mask)
			mask = withoutImplied(slices.Compact(mask))
			w := packet.Walk(out.Data)
			e.Out = append(e.Out, scenario.ExpectedPacket{If: out.If, Text: w.Text, GSO: out.GSO, Mask: mask, Sums: sums(w),
				Hex: hex.EncodeToString(packet.Canon(out.Data, mask))})
		}
		e.CT = named(o.Entries, first.Vars)
		want := entryTexts(e.CT)
		for _, r := range runs[1:] {
			if i < len(r.Steps) && !slices.Equal(want, entryTexts(named(r.Steps[i].Entries, r.Vars))) {
				problems = append(problems, fmt.Sprintf("step %d: other conntrack entries each time", i))
			}
		}
		e.Expect = o.Expect
		if s.Events {
			e.Events = append([]scenario.Event{}, o.Events...)
			for _, r := range runs[1:] {
				if i < len(r.Steps) && eventTexts(e.Events) != eventTexts(r.Steps[i].Events) {
					problems = append(problems, fmt.Sprintf("step %d: other events each time", i))
				}
			}
		}
		if s.Log {
			e.Log = append([]scenario.LogLine{}, o.Log...)
			for _, r := range runs[1:] {
				if i < len(r.Steps) && logTexts(e.Log) != logTexts(r.Steps[i].Log) {
					problems = append(problems, fmt.Sprintf("step %d: other log lines each time", i))
				}
			}
		}
	}
	s.Recorded = &scenario.Recorded{Kernel: "live", Counters: first.Counters}
	for _, r := range runs[1:] {
		if !maps.EqualFunc(first.Counters, r.Counters, func(a, b map[string][]string) bool {
			return maps.EqualFunc(a, b, slices.Equal[[]string])
		}) {
			problems = append(problems, "other counters each time")
		}
	}
	return problems
}

// noteIDs remembers the identification of a packet that was injected: forwarded packets keep it.
func noteIDs(ids map[[2]int]bool, b []byte) {
	if len(b) >= 20 && b[0]>>4 == 4 {
		ids[[2]int{4, int(binary.BigEndian.Uint16(b[4:]))}] = true
	}
	if id, err := packet.Get(b, "frag6.id"); err == nil {
		ids[[2]int{6, int(id)}] = true
	}
}

// ownIDs names the identifications in b that the router chose.
func ownIDs(ids map[[2]int]bool, b []byte) (mask []string) {
	for _, f := range [...]struct {
		name   string
		family int
	}{{"ip.id", 4}, {"inner.ip.id", 4}, {"frag6.id", 6}, {"inner.frag6.id", 6}} {
		if v, err := packet.Get(b, f.name); err == nil && !ids[[2]int{f.family, int(v)}] {
			mask = append(mask, f.name)
		}
	}
	return mask
}

// withoutImplied leaves out the checksums that Canon zeroes anyway, because a field that they cover is masked: whether
// they are right is still compared.
func withoutImplied(mask []string) []string {
	implied := map[string]bool{}
	for _, m := range mask {
		if strings.HasSuffix(m, "csum") {
			continue
		}
		inner, layer := "", m
		if l, ok := strings.CutPrefix(m, "inner."); ok {
			inner, layer = "inner.", l
			implied["icmp.csum"] = true
		}
		layer, _, _ = strings.Cut(layer, ".")
		implied[inner+layer+".csum"] = true
	}
	return slices.DeleteFunc(mask, func(m string) bool { return implied[m] })
}

func sums(a packet.Anatomy) map[string]*bool {
	m := map[string]*bool{}
	for _, s := range a.Sums {
		m[s.Name] = nil
		if s.State != packet.SumUnknown {
			good := s.State == packet.SumGood
			m[s.Name] = &good
		}
	}
	return m
}

// named puts "$p" where a bound value stands in a reply tuple, as Compare does with what it is given.
func named(entries []scenario.Entry, vars map[string]uint64) []scenario.Entry {
	names := slices.Sorted(maps.Keys(vars))
	out := make([]scenario.Entry, len(entries))
	for i, e := range entries {
		e.Reply = maps.Clone(e.Reply)
		for _, k := range []string{"dport", "id"} {
			v, ok := e.Reply[k]
			if !ok {
				continue
			}
			for _, name := range names {
				if v == strconv.FormatUint(vars[name], 10) {
					e.Reply[k] = "$" + name
				}
			}
		}
		out[i] = e
	}
	return out
}

// eventTexts is what is compared of events: everything but their timeouts.
func eventTexts(l []scenario.Event) string {
	var b strings.Builder
	for _, e := range l {
		e.Timeout = 0
		j, _ := json.Marshal(e)
		b.Write(append(j, '\n'))
	}
	return b.String()
}

// madeUp are numbers in a log line that a kernel may draw anew each time: the identification of a packet of its own.
var madeUp = regexp.MustCompile(` ID=\d+`)

func logTexts(l []scenario.LogLine) string {
	var b strings.Builder
	for _, x := range l {
		fmt.Fprintf(&b, "<%d>%s\n", x.Level, madeUp.ReplaceAllString(x.Msg, ""))
	}
	return b.String()
}

func entryTexts(l []scenario.Entry) []string {
	out := make([]string, len(l))
	for i, e := range l {
		out[i] = e.String()
	}
	slices.Sort(out)
	return out
}
