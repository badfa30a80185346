package check

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// TAP writes outcomes in the Test Anything Protocol, version 13.
func TAP(w io.Writer, outcomes []Outcome) error {
	var b strings.Builder
	fmt.Fprintf(&b, "TAP version 13\n1..%d\n", len(outcomes))
	for i, o := range outcomes {
		word := "ok"
		if !o.OK() {
			word = "not ok"
		}
		fmt.Fprintf(&b, "%s %d - %s\n", word, i+1, strings.NewReplacer("#", `\#`, "\n", " ").Replace(o.Name))
		if o.OK() {
			continue
		}
		b.WriteString("  ---\n")
		if o.Position != "" {
			fmt.Fprintf(&b, "  at: %q\n", o.Position)
		}
		b.WriteString("  message: |\n")
		for line := range strings.SplitSeq(strings.TrimSuffix(o.Why, "\n"), "\n") {
			b.WriteString("    " + line + "\n")
		}
		b.WriteString("  ...\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitFailure `xml:"failure"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// JUnit writes outcomes as the XML that CI systems read. Times are those of the lab.
func JUnit(w io.Writer, suite string, outcomes []Outcome) error {
	s := junitSuite{Name: suite, Tests: len(outcomes)}
	for _, o := range outcomes {
		c := junitCase{Name: o.Name, Class: suite, Time: fmt.Sprintf("%.3f", o.Took.Seconds())}
		if !o.OK() {
			s.Failures++
			message, _, _ := strings.Cut(o.Why, "\n")
			c.Failure = &junitFailure{message, strings.TrimSpace(o.Position + "\n" + o.Why)}
		}
		s.Cases = append(s.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(&s); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
