package difftest

import (
	"slices"
	"strings"

	"github.com/moat-router/moat/integration/scenario"
)

// Shrink leaves out steps, rules, sysctls and routes of a failing scenario for as long as it fails, and plays at most
// budget scenarios on each side to find out. It returns the smallest that failed.
func Shrink(ref, ours scenario.Player, r *Result, budget int) *Result {
	best := r
	try := func(s *scenario.Scenario) bool {
		if budget--; budget < 0 {
			return false
		}
		s.Name = r.Scenario.Name
		next := Again(ref, ours, s)
		if !next.Failed() || (next.Err == nil) != (r.Err == nil) {
			return false
		}
		best = next
		return true
	}
	for again := true; again && budget > 0; {
		again = false
		again = shrinkList(best.Scenario.Steps, func(l []scenario.Step) bool {
			c := *best.Scenario
			c.Steps = l
			return try(&c)
		}) || again
		for _, v6 := range []bool{false, true} {
			again = shrinkRules(func() *scenario.Scenario { return best.Scenario }, v6, try) || again
		}
		again = shrinkList(best.Scenario.Sysctls, func(l []scenario.Sysctl) bool {
			c := *best.Scenario
			c.Sysctls = l
			return try(&c)
		}) || again
		again = shrinkList(best.Scenario.Routes, func(l []string) bool {
			c := *best.Scenario
			c.Routes = l
			return try(&c)
		}) || again
	}
	return best
}

// shrinkList drops ever smaller stretches of a list while ok says that what is left still fails. It tells whether it
// dropped anything.
func shrinkList[T any](list []T, ok func([]T) bool) (dropped bool) {
	for size := (len(list) + 1) / 2; size > 0; size /= 2 {
		for at := len(list) - size; at >= 0; at -= size {
			c := slices.Delete(slices.Clone(list), at, at+size)
			if ok(c) {
				list, dropped = c, true
			}
		}
	}
	return dropped
}

// shrinkRules drops rules of the initial ruleset, and tables that have none left.
func shrinkRules(current func() *scenario.Scenario, v6 bool, try func(*scenario.Scenario) bool) bool {
	text := func(s *scenario.Scenario) *string {
		if v6 {
			return &s.Rules.V6
		}
		return &s.Rules.V4
	}
	var rules []string
	all := strings.Split(strings.TrimSpace(*text(current())), "\n")
	for _, l := range all {
		if strings.HasPrefix(l, "-A ") {
			rules = append(rules, l)
		}
	}
	// Rules may be equal, so they are named by their place.
	places := make([]int, len(rules))
	for i := range places {
		places[i] = i
	}
	return shrinkList(places, func(left []int) bool {
		var keep []string
		i := 0
		for _, l := range all {
			if strings.HasPrefix(l, "-A ") {
				i++
				if !slices.Contains(left, i-1) {
					continue
				}
			}
			keep = append(keep, l)
		}
		c := *current()
		*text(&c) = dropEmptyTables(keep)
		return try(&c)
	})
}

func dropEmptyTables(lines []string) string {
	var out, table []string
	for _, l := range lines {
		if strings.HasPrefix(l, "*") {
			table = nil
		}
		table = append(table, l)
		if l != "COMMIT" {
			continue
		}
		if slices.ContainsFunc(table, func(l string) bool { return strings.HasPrefix(l, "-A ") || strings.Contains(l, " DROP [") }) {
			out = append(out, table...)
		}
	}
	if len(out) == 0 {
		return ""
	}
	return strings.Join(out, "\n") + "\n"
}
