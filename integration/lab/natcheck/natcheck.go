package natcheck

import (
	"fmt"
	"strconv"

	"github.com/moat-router/moat/integration/scenario"
	"github.com/moat-router/moat/policy/nat"
	"github.com/moat-router/moat/router/sysctl"
)

// Config is how a NAT is configured for a measurement.
type Config struct {
	Options string      // behind -j MASQUERADE or SNAT
	Rules   string      // iptables-save text of tables other than nat
	Sysctls [][2]string // name and value
}

// Plain is what people write: -j MASQUERADE, and nothing else.
func Plain() *Config { return &Config{} }

// Strict is moat with everything set that the RFCs ask for.
func Strict() *Config {
	how := nat.Behaviour{Assignment: nat.ContiguousPort}
	c := Behaving(&how)
	c.Rules = "*filter\n-A INPUT -i wan -m conntrack --ctstate NEW -j DROP\n-A FORWARD -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n"
	settings, err := sysctl.Profile("rfc4787")
	if err == nil {
		for _, s := range settings {
			c.Sysctls = append(c.Sysctls, [2]string{s.Name, s.Value})
		}
	}
	return c
}

// Behaving is moat with a behaviour, and nothing else.
func Behaving(how *nat.Behaviour) *Config { return &Config{Options: string(how.AppendSave(nil))} }

// Finding is what was measured.
type Finding struct {
	Met      bool   `json:"met"`
	Measured string `json:"measured"`
}

// Moat measures moat in this process, on virtual time.
func Moat(c *Config) ([]Finding, error) {
	m := scenario.NewMachine(1)
	defer m.Close()
	return Measure(m, true, c)
}

// Measure measures a NAT row by row; rows that are not measured have a zero Finding. virtual says that "sleep" costs no
// time; where it does, timers are read from conntrack and not waited for.
func Measure(p scenario.Player, virtual bool, c *Config) ([]Finding, error) {
	out := make([]Finding, len(Rows))
	for i := range Rows {
		r := &Rows[i]
		if r.measure == nil {
			continue
		}
		b := &bench{player: p, virtual: virtual}
		out[i] = r.measure(b, c)
		if b.err != nil {
			return nil, fmt.Errorf("RFC %d REQ-%s: %w", r.RFC, r.Req, b.err)
		}
	}
	return out, nil
}

// Verdict is what a row comes to, for a NAT that was measured plain and strict.
type Verdict string

// The verdicts.
const (
	Met          Verdict = "met"
	Configurable Verdict = "configurable"
	Deviates     Verdict = "deviates"
	NotMeasured  Verdict = "not measured"
)

// Judge gives the verdict of row i.
func Judge(i int, plain, strict []Finding) Verdict {
	switch {
	case Rows[i].measure == nil:
		return NotMeasured
	case plain[i].Met:
		return Met
	case strict != nil && strict[i].Met:
		return Configurable
	}
	return Deviates
}

// Name is what a row is called: "RFC 4787 REQ-5", or "RFC 4787 4.2.3" for a section that requires nothing.
func (r *Row) Name() string {
	if r.Level == Classified {
		return "RFC " + strconv.Itoa(r.RFC) + " " + r.Req
	}
	return "RFC " + strconv.Itoa(r.RFC) + " REQ-" + r.Req
}
