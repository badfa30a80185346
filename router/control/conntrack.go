package control

import (
	"context"
	"sync/atomic"

	"github.com/moat-router/moat/router/control/ctfmt"
)

// conntrack answers conntrack(8). Counts go to standard error, as there.
func (s *Server) conntrack(ctx context.Context, r *Request, a *answer) error {
	q, err := ParseQuery(r.Args)
	if err != nil {
		return err
	}
	if q.Command == 'R' {
		return s.loadFlows(ctx, r, a)
	}
	return s.ask(ctx, q, a)
}

// ask runs one command.
func (s *Server) ask(ctx context.Context, q *Query, a *answer) error {
	if q.Table == "bindings" {
		return s.bindings(q, a)
	}
	expect := q.Table == "expect"
	switch q.Command {
	case 'L':
		if expect {
			return s.listExpectations(q, a)
		}
		return s.listFlows(q, a)
	case 'G':
		return s.getFlow(q, a)
	case 'D':
		return s.deleteFlows(q, a)
	case 'I', 'A':
		return s.createFlow(q, a)
	case 'U':
		s.updateFlows(q, a)
	case 'E':
		return s.streamEvents(ctx, q, a)
	case 'F':
		if expect {
			s.backend.FlushExpectations()
			a.errorf("moat: expectation table has been emptied.\n")
		} else {
			s.backend.FlushFlows()
			a.errorf("moat: connection tracking table has been emptied.\n")
		}
	case 'C':
		flows, expectations := s.backend.Count()
		if expect {
			flows = expectations
		}
		a.printf("%d\n", flows)
	case 'S':
		s.conntrackStats(expect, a)
	}
	return nil
}

// printer writes flows in the format that was asked for.
type printer struct {
	q   *Query
	a   *answer
	n   int
	buf []byte
}

func (p *printer) flow(f *ctfmt.Flow) {
	p.n++
	p.buf = p.buf[:0]
	switch p.q.Format {
	case FormatXML:
		if p.n == 1 && p.document() {
			p.buf = append(p.buf, ctfmt.XMLHeader...)
		}
		p.buf = ctfmt.AppendFlowXML(p.buf, f, p.q.Output)
	case FormatJSON:
		p.buf = ctfmt.AppendFlowJSON(p.buf, f)
	case FormatProc:
		p.buf = ctfmt.AppendProc(p.buf, f)
	case FormatIPConntrack:
		p.buf = ctfmt.AppendIPConntrack(p.buf, f)
	case FormatSave:
		p.buf = ctfmt.AppendSave(p.buf, f, p.verb())
	default:
		p.buf = ctfmt.AppendFlow(p.buf, f, p.q.Output)
	}
	p.a.write(append(p.buf, '\n'))
}

// document tells whether XML stands in a document: what changes flows prints them alone, as conntrack-tools does.
func (p *printer) document() bool { return p.q.Command == 'L' || p.q.Command == 'G' }

// verb is the command with which -o save begins.
func (p *printer) verb() string {
	if p.q.Command == 'D' {
		return "-D"
	}
	return "-A"
}

func (p *printer) end(what string) {
	if p.q.Format == FormatXML && p.n > 0 && p.document() {
		p.a.printf(ctfmt.XMLFooter)
	}
	if p.q.quiet {
		return
	}
	p.a.errorf("moat: %d %s.\n", p.n, what)
}

func (s *Server) listFlows(q *Query, a *answer) error {
	p := &printer{q: q, a: a}
	switch {
	case q.Table != "conntrack":
	case q.Zero:
		s.backend.ZeroFlows(q.Filter.Match, p.flow)
	default:
		s.backend.Flows(func(f *ctfmt.Flow) bool {
			if q.Filter.Match(f) {
				p.flow(f)
			}
			return a.err == nil
		})
	}
	p.end("flow entries have been shown")
	return nil
}

func (s *Server) getFlow(q *Query, a *answer) error {
	p := &printer{q: q, a: a}
	s.backend.Flows(func(f *ctfmt.Flow) bool {
		if q.Filter.Match(f) {
			p.flow(f)
		}
		return p.n == 0
	})
	if p.n == 0 {
		return errNoFlow
	}
	p.end("flow entries have been shown")
	return nil
}

func (s *Server) deleteFlows(q *Query, a *answer) error {
	if q.Table != "conntrack" {
		return usage("-D deletes flows; expectations go with -F expect or with their master")
	}
	p := &printer{q: q, a: a}
	s.backend.DeleteFlows(func(f *ctfmt.Flow) bool {
		if !q.Filter.Match(f) {
			return false
		}
		p.flow(f)
		return true
	})
	p.end("flow entries have been deleted")
	if p.n == 0 {
		a.code = 1
	}
	return nil
}

func (s *Server) listExpectations(q *Query, a *answer) error {
	p := &printer{q: q, a: a}
	s.backend.Expectations(func(e *ctfmt.Expectation) bool {
		if f := (ctfmt.Flow{Orig: e.Tuple}); q.Filter.HasProto && !q.Filter.Match(&f) {
			return true
		}
		p.n++
		if q.Format == FormatJSON {
			p.buf = ctfmt.AppendExpectationJSON(p.buf[:0], e)
		} else {
			p.buf = ctfmt.AppendExpectation(p.buf[:0], e, q.Output)
		}
		a.write(append(p.buf, '\n'))
		return a.err == nil
	})
	a.errorf("moat: %d expectations have been shown.\n", p.n)
	return nil
}

// eventQueue is how many printed events wait for a slow reader before the next are lost.
const eventQueue = 4096

// streamEvents prints until the client goes. Events are printed where they happen, since they do not live longer, and
// wait in a bounded queue for the connection.
func (s *Server) streamEvents(ctx context.Context, q *Query, a *answer) error {
	lines := make(chan []byte, eventQueue)
	var lost atomic.Int64
	cancel := s.backend.Subscribe(func(e *ctfmt.Event) {
		if b := q.event(e); b != nil {
			select {
			case lines <- b:
			default:
				lost.Add(1)
			}
		}
	})
	defer cancel()
	if q.Format == FormatXML {
		a.printf(ctfmt.XMLHeader)
	}
	n := 0
	for {
		if len(lines) == 0 {
			if a.flush() != nil {
				return nil
			}
		}
		select {
		case b := <-lines:
			a.write(b)
			n++
		case <-ctx.Done():
			if q.Format == FormatXML {
				a.printf(ctfmt.XMLFooter)
			}
			a.errorf("moat: %d flow events have been shown.\n", n)
			return nil
		}
		if l := lost.Swap(0); l > 0 {
			a.errorf("moat: %d events lost: this reader is too slow.\n", l)
		}
	}
}

// event prints e, or gives nil where the query does not want it.
func (q *Query) event(e *ctfmt.Event) []byte {
	if !q.Events[e.Kind] || (e.Expectation != nil) != (q.Table == "expect") || e.Flow != nil && !q.Filter.Match(e.Flow) {
		return nil
	}
	var b []byte
	switch q.Format {
	case FormatXML:
		b = ctfmt.AppendEventXML(b, e, q.Output)
	case FormatJSON:
		b = ctfmt.AppendEventJSON(b, e)
	case FormatSave:
		if e.Flow == nil {
			return nil
		}
		b = ctfmt.AppendSave(b, e.Flow, [...]string{"-A", "-U", "-D"}[e.Kind])
	default:
		b = ctfmt.AppendEvent(b, e, q.Output)
	}
	return append(b, '\n')
}

func (s *Server) conntrackStats(expect bool, a *answer) {
	for i, c := range s.backend.ConntrackStats() {
		if expect {
			a.printf("cpu=%-4d\texpect_new=%d expect_create=%d expect_delete=%d \n", i, c.ExpectNew, c.ExpectCreate, c.ExpectDelete)
			continue
		}
		a.printf("cpu=%-4d\tfound=%d invalid=%d insert=%d insert_failed=%d drop=%d early_drop=%d error=%d search_restart=%d clash_resolve=%d chaintoolong=%d \n",
			i, c.Found, c.Invalid, c.Insert, c.InsertFailed, c.Drop, c.EarlyDrop, c.Error, c.SearchRestart, c.ClashResolve, c.ChainTooLong)
	}
}
