package difftest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
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

// oneMoment tells whether all that is different is the order of packets that leave while time passes.
func oneMoment(s *scenario.Scenario, diffs []scenario.Diff) bool {
	for _, d := range diffs {
		if d.Kind != scenario.KindOut || d.Step < 0 || s.Steps[d.Step].Op != "sleep" {
			return false
		}
		var there, here []string
		for _, l := range d.Lines {
			switch {
			case strings.HasPrefix(l, "  ("):
			case strings.HasPrefix(l, "- "):
				there = append(there, withoutFirstID(l[2:]))
			case strings.HasPrefix(l, "+ "):
				here = append(here, withoutFirstID(l[2:]))
			default:
				return false
			}
		}
		slices.Sort(there)
		slices.Sort(here)
		if !slices.Equal(there, here) {
			return false
		}
	}
	return true
}

// withoutFirstID leaves out the identification of a packet, which is chosen by chance, and not that of what it quotes.
func withoutFirstID(line string) string {
	if at := withoutID.FindStringIndex(line); at != nil && !strings.Contains(line[:at[0]], "[") {
		return line[:at[0]] + line[at[1]:]
	}
	return line
}

// quotedPartial tells whether all that is different are errors that quote a reset of REJECT, whose checksum Linux leaves to
// the device: there it is that of the pseudo-header, here it is right.
func quotedPartial(_ *scenario.Scenario, diffs []scenario.Diff) bool {
	for _, d := range diffs {
		if d.Kind != scenario.KindOut {
			return false
		}
		there := ""
		for _, l := range d.Lines {
			switch m := quotedReset.FindStringSubmatch(l); {
			case l == "  (fields inner.tcp.csum)":
			case m == nil:
				return false
			case m[1] == "-" && m[4] != "" && there == "":
				there = withoutID.ReplaceAllString(m[2]+m[3], "")
			case m[1] == "+" && m[4] == "" && there == withoutID.ReplaceAllString(m[2]+m[3], ""):
				there = ""
			default:
				return false
			}
		}
		if there != "" {
			return false
		}
	}
	return true
}

// quotedReset reads a line about an ICMP error that quotes a reset as REJECT makes them.
var quotedReset = regexp.MustCompile(`^([-+]) (\w+: ip4 .* / icmp .* / \[)(ip4 [^ ]+ ttl=\d+ id=0x0 df / tcp \d+>\d+ A?R .*win=0 len=0)( sum=BAD)?\]$`)

var withoutID = regexp.MustCompile(` id=0x[0-9a-f]+`)

// adjustedErrors tells whether all that is different are ICMP errors in which Linux has moved TCP's numbers: the second word of
// the header, the words that stand where a sequence number, its acknowledgement and a checksum would, and nothing else.
func adjustedErrors(s *scenario.Scenario, diffs []scenario.Diff) bool {
	if !strings.Contains(s.Rules.V4+s.Rules.V6, "--helper") && !slices.ContainsFunc(s.Sysctls, func(x scenario.Sysctl) bool {
		return x.Name == "net.netfilter.nf_conntrack_helper"
	}) {
		return false
	}
	for _, d := range diffs {
		if d.Kind != scenario.KindOut || len(d.Lines)%3 != 0 {
			return false
		}
		for i := 0; i < len(d.Lines); i += 3 {
			there, here := icmpError.FindStringSubmatch(d.Lines[i]), icmpError.FindStringSubmatch(d.Lines[i+1])
			if there == nil || here == nil || there[1] != "-" || here[1] != "+" || there[2] != here[2] || there[4] != here[4] {
				return false
			}
			header := map[string]int{"4": 20, "6": 40}[here[3]]
			if !strings.HasPrefix(d.Lines[i+2], "  (bytes ") {
				return false
			}
			for _, b := range differentByte.FindAllStringSubmatch(d.Lines[i+2], -1) {
				switch at, _ := strconv.Atoi(b[1]); at - header {
				case 4, 5, 6, 7, 8, 9, 10, 11, 16, 17:
				default:
					return false
				}
			}
		}
	}
	return true
}

// icmpError reads a line about an ICMP error without options: its sign, interface, family, type and code.
var icmpError = regexp.MustCompile(`^([-+]) (\w+): ip([46]) [^/]* / icmp6? (\d+/\d+) `)

var differentByte = regexp.MustCompile(` (\d+):[0-9a-f]{2}/[0-9a-f]{2}`)
