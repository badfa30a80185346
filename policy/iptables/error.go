package iptables

import (
	"fmt"
	"strings"
)

// Error is what is wrong with a rule text, and where.
type Error struct {
	File string // "" where there is no file (Apply)
	Line int    // from 1; 0 without a file
	Col  int    // from 1, in bytes; 0 if the whole line is meant
	Msg  string
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		b.WriteByte(':')
	}
	if e.Line > 0 {
		fmt.Fprintf(&b, "%d:", e.Line)
		if e.Col > 0 {
			fmt.Fprintf(&b, "%d:", e.Col)
		}
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	b.WriteString(e.Msg)
	return b.String()
}

// fault is an Error that does not know its file and line yet.
type fault struct {
	col int
	msg string
}

func (f *fault) Error() string { return f.msg }

func faultf(col int, format string, args ...any) *fault {
	return &fault{col, fmt.Sprintf(format, args...)}
}

// didYouMean gives "; did you mean X?" for the candidate nearest to word, or nothing if none is near.
func didYouMean(word string, candidates []string) string {
	best, bestDist := "", max(1, len(word)/3)+1
	for _, c := range candidates {
		if strings.EqualFold(c, word) {
			return fmt.Sprintf("; did you mean %q?", c)
		}
		if d := distance(word, c, bestDist); d < bestDist {
			best, bestDist = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is the edit distance of two words with swapped neighbours counting as one edit, or limit if it is not
// less.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[0] {
		rows[0][j] = j
	}
	before, above, row := rows[2], rows[0], rows[1]
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return min(above[len(b)], limit)
}
