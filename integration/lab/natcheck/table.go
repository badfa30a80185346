package natcheck

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/moat-router/moat/policy/nat"
)

// Report is a measured NAT beside others.
type Report struct {
	Plain  []Finding // the NAT as people write it
	Strict []Finding // moat with everything set that the RFCs ask for; nil if that does not apply
	Linux  []Finding // the kernel's masquerading; nil if it was not measured
}

// Count is how many rows have a verdict.
func (r *Report) Count(v Verdict) (n int) {
	for i := range Rows {
		if Judge(i, r.Plain, r.Strict) == v {
			n++
		}
	}
	return n
}

// Print writes the table for a terminal.
func (r *Report) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	head := []string{"REQUIREMENT", "", "REQUIRED", "VERDICT", "MEASURED"}
	if r.Strict != nil {
		head = append(head, "WITH EVERYTHING SET")
	}
	if r.Linux != nil {
		head = append(head, "LINUX")
	}
	fmt.Fprintln(t, strings.Join(head, "\t"))
	for i := range Rows {
		row := &Rows[i]
		v := Judge(i, r.Plain, r.Strict)
		line := []string{row.Name(), string(row.Level), row.Required, string(v)}
		if v == NotMeasured {
			fmt.Fprintln(t, strings.Join(line, "\t")+"\t"+strings.ReplaceAll(row.Why, "`", ""))
			continue
		}
		line = append(line, r.Plain[i].Measured)
		if r.Strict != nil {
			line = append(line, r.Strict[i].Measured)
		}
		if r.Linux != nil {
			line = append(line, r.Linux[i].Measured)
		}
		fmt.Fprintln(t, strings.Join(line, "\t"))
	}
	fmt.Fprintf(t, "\nmet %d, configurable %d, deviates %d, not measured %d\n", r.Count(Met), r.Count(Configurable), r.Count(Deviates), r.Count(NotMeasured))
	return t.Flush()
}

var titles = map[int]string{
	4787: "RFC 4787: unicast UDP", 5382: "RFC 5382: TCP", 5508: "RFC 5508: ICMP",
}

// Markdown is the report as docs/rfc.md has it.
func (r *Report) Markdown() string {
	var b strings.Builder
	b.WriteString(`# What the RFCs on NAT ask for, and what moat does

This page is measured, not written: ` + "`moat lab nat-check --markdown`" + ` makes it, and a test checks that it is current.
Hosts on both sides of the NAT exchange real packets (STUN as in RFC 5780, TCP segments, ICMP) and look at what comes out.

- **plain** is ` + "`-j MASQUERADE`" + ` and nothing else: moat behaves as Linux does.
- **set** is moat with what it takes: ` + "`" + strings.TrimSpace("-j MASQUERADE"+Strict().Options) + "`" + `,
  the timers of ` + "`profile: rfc4787`" + `, and two filter rules (new connections from outside to the router itself are
  dropped, and so is what is INVALID).
- **Linux** is the kernel's masquerading, kernel 6.18, in a network namespace; its timers are read from conntrack.

Verdicts: **met** plain; **configurable**: met when set; **deviates**: not met. A number like 3a is a clause of its requirement.

`)
	fmt.Fprintf(&b, "Met: %d; configurable: %d; deviates: %d; not measured: %d.\n", r.Count(Met), r.Count(Configurable), r.Count(Deviates), r.Count(NotMeasured))
	rfc := 0
	var unmeasured []*Row
	for i := range Rows {
		row := &Rows[i]
		if row.measure == nil {
			unmeasured = append(unmeasured, row)
			continue
		}
		if row.RFC != rfc {
			rfc = row.RFC
			fmt.Fprintf(&b, "\n## %s\n\n| REQ | | required | verdict | plain | set | Linux |\n|---|---|---|---|---|---|---|\n", titles[rfc])
		}
		linux := ""
		if r.Linux != nil {
			linux = r.Linux[i].Measured
		}
		set := r.Strict[i].Measured
		if set == r.Plain[i].Measured {
			set = "the same"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", row.Req, row.Level, row.Required, bold(Judge(i, r.Plain, r.Strict)), r.Plain[i].Measured, set, linux)
	}
	b.WriteString("\n## Not measured\n\n| | | required | why |\n|---|---|---|---|\n")
	for _, row := range unmeasured {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", row.Name(), row.Level, row.Required, row.Why)
	}
	fmt.Fprintf(&b, notes, shorthands())
	return b.String()
}

func bold(v Verdict) string {
	if v == Deviates {
		return "**deviates**"
	}
	return string(v)
}

// notes say what the table cannot.
const notes = `
## Where moat deviates, and why

- RFC 5508 REQ-3a: the checksum of a quoted IP header is not asked for, as in Linux. Routers on the way have changed that
  header, and some leave its checksum behind; dropping the error would hide a broken path from the host. What is
  translated keeps the checksum as right or wrong as it came.

## Words for behaviours

` + "`moat lab`" + ` topologies and rules use the RFCs' words; the old names of RFC 3489 are shorthands for them.

| shorthand | rule options |
|---|---|
` + "%s" + `
Linux (a rule without these options) reuses a source's mapping while it is free at the destination, lets in only what
belongs to a connection, and preserves ports.
`

func shorthands() string {
	var b strings.Builder
	for _, n := range nat.Shorthands {
		fmt.Fprintf(&b, "| `%s` | `%s` |\n", n.Name, strings.TrimSpace(string(n.Behaviour.AppendSave(nil))))
	}
	return b.String()
}
