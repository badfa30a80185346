package check

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/moat-router/moat/integration/lab"
	"github.com/moat-router/moat/integration/lab/topology"
)

// Outcome is what became of one check.
type Outcome struct {
	Name     string
	Position string        // file and line
	Why      string        // "" if the claim holds
	Took     time.Duration // of the lab's time
}

// OK tells whether the claim holds.
func (o *Outcome) OK() bool { return o.Why == "" }

// Run holds the checks against the lab, in order; "never" is decided after all others. The error is for a check that
// makes no sense, and for a lab that broke.
func Run(l *lab.Lab, checks []topology.Check) ([]Outcome, error) {
	outcomes := make([]Outcome, len(checks))
	watches := make([]*lab.Never, len(checks))
	for i := range checks {
		c := &checks[i]
		outcomes[i] = Outcome{Name: cmp.Or(c.Name, describe(c)), Position: c.Position}
		if c.Never == nil {
			continue
		}
		n, err := l.Never(c.Never.Network, c.Never.Match)
		if err != nil {
			return nil, at(c, err)
		}
		watches[i] = n
		defer n.Stop()
	}
	for i := range checks {
		c := &checks[i]
		if c.Never != nil {
			continue
		}
		start := l.Time()
		why, err := run(l, c)
		if err != nil {
			return nil, at(c, err)
		}
		outcomes[i].Why, outcomes[i].Took = why, l.Time().Sub(start)
	}
	for i, n := range watches {
		if n != nil {
			outcomes[i].Why = n.Verdict()
		}
	}
	return outcomes, l.Err()
}

func at(c *topology.Check, err error) error {
	return &topology.Mistake{Position: c.Position, Err: err}
}

// describe is the name of a check that has none.
func describe(c *topology.Check) string {
	var b strings.Builder
	if c.From != "" {
		fmt.Fprintf(&b, "%s: ", c.From)
	}
	switch c.Kind() {
	case "ping":
		b.WriteString("ping " + c.Ping)
	case "connect":
		b.WriteString("connect " + c.Connect)
	case "http":
		b.WriteString("get " + c.HTTP)
	case "traceroute":
		b.WriteString("traceroute " + c.Traceroute)
	case "send":
		b.WriteString("send " + c.Send)
	case "never":
		fmt.Fprintf(&b, "never on %s: %s", cmp.Or(c.Never.Network, "any network"), c.Never.Match)
		return b.String()
	case "conntrack":
		fmt.Fprintf(&b, "conntrack of %s: %s", c.Conntrack.Router, c.Conntrack.Match)
		if c.Conntrack.Absent {
			b.WriteString(" is absent")
		}
	case "ip":
		fmt.Fprintf(&b, "ip at %s: %s", cmp.Or(c.IP.Router, c.IP.Host), c.IP.Run)
	case "link":
		b.WriteString(cable(c.Link))
	case "resolve":
		fmt.Fprintf(&b, "resolve %s %s", c.Resolve, c.Type)
		if len(c.Answer) > 0 {
			b.WriteString(" → " + strings.Join(c.Answer, ", "))
		}
	case "advance":
		b.WriteString("advance " + time.Duration(c.Advance).String())
	}
	if c.Size != 0 {
		fmt.Fprintf(&b, " with %d bytes", c.Size)
	}
	if c.Receive != nil {
		fmt.Fprintf(&b, " → %s receives %s", c.Receive.Host, c.Receive.Match)
		if c.Receive.Contains != "" {
			fmt.Fprintf(&b, " with %q", c.Receive.Contains)
		}
	}
	if c.Error != "" {
		b.WriteString(" → " + c.Error)
		if c.ErrorBy != "" {
			b.WriteString(" from " + c.ErrorBy)
		}
	} else if c.Fails {
		b.WriteString(" fails")
	}
	return b.String()
}
