package scenario

import (
	"regexp"
	"slices"
	"strings"
)

// SetsFamily is the key under which the elements of ipset's sets stand beside the counters of rules: by set, as "ipset save"
// prints them, in order of their text, without the time that is left of them.
const SetsFamily = "sets"

var timeLeft = regexp.MustCompile(` timeout \d+`)

// SetElements reads what "ipset save" prints.
func SetElements(save string) map[string][]string {
	sets := map[string][]string{}
	for _, l := range strings.Split(save, "\n") {
		word, rest, _ := strings.Cut(l, " ")
		name, elem, _ := strings.Cut(rest, " ")
		switch word {
		case "create":
			sets[name] = []string{}
		case "add":
			sets[name] = append(sets[name], timeLeft.ReplaceAllString(elem, ""))
		}
	}
	for _, l := range sets {
		slices.Sort(l)
	}
	return sets
}

// SetCommand is a line of a scenario's setup or host steps that is for ipset, without that word.
func SetCommand(line string) (command string, ok bool) {
	return strings.CutPrefix(strings.TrimSpace(line), "ipset ")
}
