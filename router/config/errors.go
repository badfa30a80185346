package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one mistake in a configuration file.
type Error struct {
	File string
	Line int    // 0: of the file as a whole
	Key  string // path to the mistake: interfaces[1].mtu; may be ""
	What string // what is wrong, and how to mend it
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.What)
	return b.String()
}

// Errors are all mistakes of a file, in order of lines; one sentence a line.
type Errors []*Error

func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// ExitCode is that of a mistake of the caller's.
func (es Errors) ExitCode() int { return 2 }

// ExitCode is that of a mistake of the caller's.
func (e *Error) ExitCode() int { return 2 }

func (es Errors) sort() {
	slices.SortStableFunc(es, func(a, b *Error) int { return cmp.Compare(a.Line, b.Line) })
}
