package sysctl

import (
	"fmt"
	"strings"
)

// suggest proposes the known name that is nearest to one that is not known.
func (v *Values) suggest(plain, dev string) string {
	best, bestDistance := "", 1<<30
	for i := range rows {
		d := Distance(plain, rows[i].name)
		// The last part alone counts too: people forget the path.
		if tail := rows[i].name[strings.LastIndex(rows[i].name, ".")+1:]; plain[strings.LastIndex(plain, ".")+1:] == tail {
			d = min(d, 2)
		}
		if d < bestDistance {
			best, bestDistance = rows[i].name, d
		}
	}
	if bestDistance > 8 || bestDistance > len(plain)/2 {
		return ": moat check lists all it knows, docs/sysctls.md explains them"
	}
	if dev == "" {
		dev = "all"
	}
	return fmt.Sprintf(": did you mean %s?", expand(best, dev))
}

// Distance is Levenshtein's: how many bytes have to be put in, left out or changed to make b of a. The configuration's
// suggestions use it, too.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(row[j]+1, row[j-1]+1, cost)
		}
	}
	return row[len(b)]
}
