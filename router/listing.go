package router

import (
	"fmt"
	"strings"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/iptables"
)

// listing is an iptables command line that asks and changes nothing: -L or -S, with the options that go with them.
type listing struct {
	iptables.ListOptions
	spec bool // -S: as commands
}

// parseListing reads it; ok is false for every other command line.
func parseListing(args []string) (l listing, ok bool, err error) {
	l.Table = policy.Filter
	for i := 0; i < len(args); i++ {
		a := args[i]
		value := func() (string, error) {
			if i+1 >= len(args) {
				return "", fmt.Errorf("%s needs a value", a)
			}
			i++
			return args[i], nil
		}
		switch {
		case a == "-t" || a == "--table":
			name, err := value()
			if err != nil {
				return l, ok, err
			}
			if l.Table, err = tableByName(name); err != nil {
				return l, ok, err
			}
		case a == "--line-numbers":
			l.LineNumbers = true
		case a == "--list":
			ok = true
		case a == "--list-rules":
			ok, l.spec = true, true
		case a == "--numeric":
			l.Numeric = true
		case a == "--verbose":
			l.Verbose = true
		case a == "--exact":
			l.Exact = true
		case strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--") && strings.Trim(a[1:], "LSnvx") == "" && len(a) > 1:
			ok = ok || strings.ContainsAny(a, "LS")
			l.spec = l.spec || strings.Contains(a, "S")
			l.Numeric = l.Numeric || strings.Contains(a, "n")
			l.Verbose = l.Verbose || strings.Contains(a, "v")
			l.Exact = l.Exact || strings.Contains(a, "x")
		case !strings.HasPrefix(a, "-") && ok && l.Chain == "":
			l.Chain = a
		default:
			if !ok {
				return l, false, nil
			}
			return l, ok, fmt.Errorf("%q does not go with a listing: -t TABLE, a chain, -n, -v, -x and --line-numbers do", a)
		}
	}
	return l, ok, nil
}

func tableByName(name string) (policy.TableID, error) {
	for id := range policy.NumTables {
		if id.String() == name {
			return id, nil
		}
	}
	return 0, fmt.Errorf("there is no table %q: raw, mangle, nat, filter and security are those that exist", name)
}

// print answers it.
func (l *listing) print(rs *policy.Ruleset, f policy.Family) (string, error) {
	if !l.spec {
		b, err := iptables.List(rs, f, l.ListOptions)
		return string(b), err
	}
	var out strings.Builder
	for line := range strings.Lines(string(iptables.SaveTable(rs, f, l.Table, l.Verbose))) {
		line = strings.TrimSuffix(line, "\n")
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case strings.HasPrefix(line, ":"):
			name := word[1:]
			verdict, _, _ := strings.Cut(rest, " ")
			if l.Chain != "" && name != l.Chain {
				continue
			}
			if verdict == "-" {
				fmt.Fprintf(&out, "-N %s\n", name)
			} else {
				fmt.Fprintf(&out, "-P %s %s\n", name, verdict)
			}
		case word == "-A", strings.HasPrefix(word, "["):
			_, spec, _ := strings.Cut(line, "-A ")
			if name, _, _ := strings.Cut(spec, " "); l.Chain != "" && name != l.Chain {
				continue
			}
			out.WriteString(line + "\n")
		}
	}
	if out.Len() == 0 && l.Chain != "" {
		return "", fmt.Errorf("table %v has no chain %q", l.Table, l.Chain)
	}
	return out.String(), nil
}
