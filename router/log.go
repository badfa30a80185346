package router

import (
	"sync"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/policy/nflog"
	"github.com/moat-router/moat/stack/packet"
)

// logSink takes the lines that rules and conntrack log. Lines are as rare as their rules let them be, so one lock will
// do.
type logSink struct {
	to func(now packet.Time, level uint8, line []byte)

	mu    sync.Mutex
	lines []LogLine
}

func (l *logSink) line(now packet.Time, level uint8, line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to != nil {
		l.to(now, level, line)
		return
	}
	l.lines = append(l.lines, LogLine{level, string(line)})
}

func (l *logSink) drain() []LogLine {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.lines
	l.lines = nil
	return out
}

// logContext is what a log line tells of p beside its bytes.
func logContext(p *policy.Packet) nflog.Context {
	c := nflog.Context{Mark: p.Mark}
	if p.In != nil {
		c.In = p.In.Name
	}
	if p.Out != nil {
		c.Out = p.Out.Name
	}
	return c
}

// logInvalid writes why conntrack found a packet INVALID (nf_conntrack_log_invalid).
func (r *Router) logInvalid(p *packet.Packet, h conntrack.HookInfo, proto uint8, msg string) {
	c := nflog.Context{In: *h.Dev, Mark: h.Mark}
	if h.Local {
		c.In, c.Out = "", *h.Dev
	}
	line := nflog.AppendInvalid(nil, proto, msg, p, c)
	r.log.line(r.Time(), nflog.LevelInvalid, line)
}

// logDropped writes why a helper dropped p (nf_ct_helper_log, which names no interfaces).
func (w *worker) logDropped(p *passage, says string) {
	line := nflog.Append(w.line[:0], says, p.Packet.Packet, nflog.Context{Mark: p.Mark, Flags: nflog.Default})
	w.line = line
	w.Log(nflog.LevelInvalid, line)
}
