package story

import (
	"fmt"
	"io"
	"strings"

	"github.com/moat-router/moat/integration/lab"
	"github.com/moat-router/moat/integration/lab/wire"
)

// Print tells a story to people.
func Print(w io.Writer, s Story, r *Result) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", s.Name, s.Question)
	// Cases are grouped by their rules, in the order in which those occur.
	var headings []string
	groups := map[string][]*Case{}
	for i := range r.Cases {
		c := &r.Cases[i]
		if groups[c.heading] == nil {
			headings = append(headings, c.heading)
		}
		groups[c.heading] = append(groups[c.heading], c)
	}
	for _, h := range headings {
		fmt.Fprintf(&b, "\n  %s\n", h)
		for _, c := range groups[h] {
			c.print(&b)
		}
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}

func (c *Case) print(b *strings.Builder) {
	fmt.Fprintf(b, "\n    %s\n", c.Name)
	lines(b, "outside sent", c.Sent)
	if c.Delivered != nil {
		lines(b, "X received", c.Server)
	}
	lines(b, "outside received", c.Received)
	if c.remark != "" {
		fmt.Fprintf(b, "      %-17s %s\n", "", c.remark)
	}
	if c.OuterSource == "" || c.Delivered != nil {
		return
	}
	judgement := "tells nothing that the outside host did not know"
	if c.Leak {
		judgement = "LEAK: an address that the outside host never used"
	}
	fmt.Fprintf(b, "      %-17s outer source %s, quoted destination %s: %s\n", "", c.OuterSource, c.QuotedDestination, judgement)
}

func lines(b *strings.Builder, who, text string) {
	if text == "" {
		text = "nothing"
	}
	for line := range strings.SplitSeq(text, "\n") {
		fmt.Fprintf(b, "      %-17s %s\n", who, line)
		who = ""
	}
}

// saw tells which hosts other than the outside one received anything.
func saw(l *lab.Lab, r *record) string {
	var silent []string
	for _, h := range l.Hosts() {
		if h.Name != "outside" && len(r.received(h.Name)) == 0 {
			silent = append(silent, h.Name)
		}
	}
	if len(silent) == 0 {
		return ""
	}
	return strings.Join(silent, " and ") + " saw nothing"
}

func texts(list []wire.Sighting) string {
	var t []string
	for i := range list {
		t = append(t, list[i].Text())
	}
	return strings.Join(t, "\n")
}
