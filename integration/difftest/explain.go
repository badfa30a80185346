package difftest

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/moat-router/moat/integration/scenario"
)

// ip4TCP reads a TCP segment in a line of a difference: interface and source, destination, options of either header.
var ip4TCP = regexp.MustCompile(`^([-+]) (\w+: ip4 )([0-9.]+)(>.*?)( opts=[0-9a-f]+)?( / tcp )([0-9]+)(>.*)$`)

var sequence = regexp.MustCompile(` seq=[0-9]+`)

// echoedOptions tells whether all that is different are segments of listeners of the router that have IPv4 options there
// and none here.
func echoedOptions(s *scenario.Scenario, diffs []scenario.Diff) bool {
	listens := map[string]bool{}
	for _, st := range s.Steps {
		if st.Op == "listen" && st.Proto == "tcp" {
			listens[fmt.Sprintf("%s %d", st.Addr, st.Port)] = true
		}
	}
	for _, d := range diffs {
		if d.Kind != scenario.KindOut {
			return false
		}
		var there []string // as the kernel sent it, without its options
		for _, l := range d.Lines {
			m := ip4TCP.FindStringSubmatch(l)
			switch {
			case strings.HasPrefix(l, "  ("):
				continue
			case m == nil, !listens[m[3]+" "+m[7]], (m[1] == "-") == (m[5] == ""):
				return false
			}
			bare := sequence.ReplaceAllString(m[2]+m[3]+m[4]+m[6]+m[7]+m[8], "")
			if m[1] == "-" {
				there = append(there, bare)
				continue
			}
			if len(there) == 0 || there[0] != bare {
				return false
			}
			there = there[1:]
		}
		if len(there) > 0 {
			return false
		}
	}
	return true
}
