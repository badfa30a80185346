package xt

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/nflog"
)

// logTarget is -j LOG (xt_LOG.c): a line of text about the packet, which goes on.
type logTarget struct {
	level  uint8
	prefix string
	flags  nflog.Flags
}

const (
	logPrefixMax   = 29 // what fits into struct xt_log_info; iptables cuts the rest
	nflogPrefixMax = 63
	logLevel       = 4 // warning, not printed
)

// logLevels are the names that --log-level understands; a level may have several.
var logLevels = [...]struct {
	name  string
	level uint8
}{
	{"alert", 1}, {"crit", 2}, {"debug", 7}, {"emerg", 0}, {"error", 3}, {"info", 6}, {"notice", 5}, {"panic", 0},
	{"warning", 4},
}

// listedLevels are the names of 0 to 7 in a listing, which are not quite those that a rule takes.
var listedLevels = [...]string{"emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"}

var logFlags = [...]struct {
	option string
	flag   nflog.Flags
}{
	{"--log-tcp-sequence", nflog.TCPSeq}, {"--log-tcp-options", nflog.TCPOpt}, {"--log-ip-options", nflog.IPOpt},
	{"--log-uid", nflog.UID}, {"--log-macdecode", nflog.MACDecode},
}

type logArgs struct {
	t   logTarget
	set bool
}

func (a *logArgs) Option(o *Opt) (bool, error) {
	if err := o.NoNot(); err != nil {
		return true, err
	}
	for _, f := range logFlags {
		if f.option == o.Name {
			a.t.flags |= f.flag
			return true, nil
		}
	}
	s, err := o.Arg()
	if err != nil {
		return true, err
	}
	if o.Name == "--log-prefix" {
		a.t.prefix, err = logPrefix(o, s, logPrefixMax)
		return true, err
	}
	a.t.level, err = parseLogLevel(s)
	a.set = true
	return true, err
}

func logPrefix(o *Opt, s string, max int) (string, error) {
	if s == "" || strings.Contains(s, "\n") {
		return "", fmt.Errorf("%s must not be empty nor hold a newline", o.Name)
	}
	return s[:min(len(s), max)], nil
}

func parseLogLevel(s string) (uint8, error) {
	if v, ok := ParseUint(s, 0, 7); ok {
		return uint8(v), nil
	}
	for _, l := range logLevels {
		if l.name == s {
			return l.level, nil
		}
	}
	return 0, fmt.Errorf("unknown log level %q: 0 to 7 or emerg, alert, crit, error, warning, notice, info, debug", s)
}

func (a *logArgs) Done(*RuleInfo) (policy.Target, error) {
	t := a.t
	if !a.set {
		t.level = logLevel
	}
	return &t, nil
}

func (t *logTarget) Name() string { return "LOG" }

func (t *logTarget) Exec(p *policy.Packet) policy.Verdict {
	p.W.Env.Log(t.level, logLine(p, t.prefix, t.flags))
	return policy.Continue
}

// logLine writes a line into the worker's memory.
func logLine(p *policy.Packet, prefix string, flags nflog.Flags) []byte {
	if p.W.Line == nil {
		p.W.Line = make([]byte, 0, nflog.BufferSize)
	}
	c := nflog.Context{Mark: p.Mark, Flags: flags}
	if p.In != nil {
		c.In = p.In.Name
	}
	if p.Out != nil {
		c.Out = p.Out.Name
	}
	return nflog.Append(p.W.Line[:0], prefix, p.Packet, c)
}

func (t *logTarget) AppendSave(b []byte) []byte {
	if t.prefix != "" {
		b = AppendQuoted(append(b, " --log-prefix "...), t.prefix)
	}
	if t.level != logLevel {
		b = strconv.AppendUint(append(b, " --log-level "...), uint64(t.level), 10)
	}
	for _, f := range logFlags {
		if t.flags&f.flag != 0 {
			b = append(append(b, ' '), f.option...)
		}
	}
	return b
}

func (t *logTarget) AppendList(b []byte, numeric bool) []byte {
	b = append(b, " LOG"...)
	if numeric {
		b = fmt.Appendf(b, " flags %d level %d", t.flags, t.level)
	} else {
		b = append(append(b, " level "...), listedLevels[t.level]...)
		for _, f := range logFlags {
			if t.flags&f.flag != 0 {
				b = append(append(b, ' '), strings.TrimPrefix(f.option, "--log-")...)
			}
		}
	}
	if t.prefix != "" {
		b = append(append(append(b, ` prefix "`...), t.prefix...), '"')
	}
	return b
}
