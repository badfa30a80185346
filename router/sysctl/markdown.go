package sysctl

import (
	"fmt"
	"strings"
)

//go:generate go test -run TestDocumentationIsCurrent -update .

// Markdown is docs/sysctls.md: every sysctl with its default in Linux, its start in "moat run" and in recorded scenarios.
func Markdown() string {
	var b strings.Builder
	b.WriteString(`# Sysctls

Made from the table in router/sysctl by ` + "`go generate ./router/sysctl`" + `; do not edit.

moat takes these names in ` + "`sysctls:`" + ` of its configuration, in dots or slashes. *Linux* is what kernel 6.18 has in a fresh
network namespace; *moat run* is where ` + "`moat run` and `moat lab`" + ` start (a careful gateway: it forwards, neither sends nor takes
redirects, refuses source routes, drops IPv4 sources that no route leads to); *lockstep* is where recorded scenarios start (no rate limits, nothing that would differ
from one recording to the next). A value in bold differs from Linux. For ` + "`conf.*`" + ` the value is that of "default", which every interface
starts with, and after a slash that of "all" where it differs. An entry marked *no effect* is accepted, kept and shown, so that a
file written for Linux loads; moat has nothing that it could change.

| name | Linux | moat run | lockstep | values | |
|---|---|---|---|---|---|
`)
	linux, gateway, lockstep := Linux(), Gateway(), Lockstep()
	for i := range rows {
		r := &rows[i]
		def := linux.cell(r)
		bold := func(s string) string {
			if s != def {
				return "**" + s + "**"
			}
			return s
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", strings.TrimPrefix(r.name, "net."), def, bold(gateway.cell(r)), bold(lockstep.cell(r)), r.values(),
			strings.Replace(r.note, "no effect", "*no effect*", 1))
	}
	b.WriteString("\nAll names begin with `net.`.\n\n## Profiles\n\n`profile:` in the configuration sets several of them at once, before `sysctls:`.\n\n| name |")
	for _, p := range Profiles {
		b.WriteString(" " + p + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(Profiles)) + "\n")
	for i := range rows {
		var cells []string
		set := false
		for _, p := range Profiles {
			cell := linux.cell(&rows[i])
			for _, s := range profiles[p] {
				if s.Name == rows[i].name {
					cell, set = s.Value, true
				}
			}
			cells = append(cells, cell)
		}
		if set {
			fmt.Fprintf(&b, "| `%s` | %s |\n", strings.TrimPrefix(rows[i].name, "net."), strings.Join(cells, " | "))
		}
	}
	return b.String()
}

// cell is the value, for conf.* that of default and that of all if it differs.
func (v *Values) cell(r *row) string {
	if !strings.Contains(r.name, "*") {
		return strings.ReplaceAll(v.text(r, ""), "\t", " ")
	}
	def, all := v.text(r, "default"), v.text(r, "all")
	if def != all {
		return def + " / " + all
	}
	return def
}

// values says what may be written.
func (r *row) values() string {
	switch {
	case r.readOnly:
		return "read only"
	case r.unit == ports:
		return "two ports"
	case r.unit == bitmap:
		return "list of types"
	case r.unit == logger:
		return "logger or NONE"
	case r.min == intMin && r.max == intMax:
		return "any integer"
	}
	s := fmt.Sprintf("%d–%d", r.min, r.max)
	switch {
	case r.max == intMax:
		s = fmt.Sprintf("%d or more", r.min)
	case r.unit == seconds:
		s = ""
	}
	switch r.unit {
	case seconds:
		s = strings.TrimSpace(s + " s")
	case millis:
		s += " ms"
	}
	return s
}
