package control

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/moat-router/moat/policy/conntrack"
)

// createFlow is -I, which minds that there is such a flow, and -A, which does not.
func (s *Server) createFlow(q *Query, a *answer) error {
	n := 1
	err := s.backend.CreateFlow(q.New)
	switch {
	case q.Command == 'A' && errors.Is(err, conntrack.ErrExists):
		n = 0
	case errors.Is(err, conntrack.ErrExists):
		return fmt.Errorf("%w: -U changes it", err)
	case err != nil:
		return err
	}
	if q.quiet {
		return nil
	}
	a.errorf("moat: %d flow entries have been %s.\n", n, map[byte]string{'I': "created", 'A': "added"}[q.Command])
	return nil
}

// updateFlows is -U; flows that are already as they shall be do not count.
func (s *Server) updateFlows(q *Query, a *answer) {
	p := &printer{q: q, a: a}
	s.backend.UpdateFlows(q.Filter.Match, q.Change, p.flow)
	p.end("flow entries have been updated")
	if p.n == 0 {
		a.code = 1
	}
}

// loadFlows is -R: command lines, one each, which are all read before the first is run.
func (s *Server) loadFlows(ctx context.Context, r *Request, a *answer) error {
	var queries []*Query
	n := 0
	for line := range strings.Lines(r.In) {
		n++
		args := strings.Fields(line)
		if len(args) == 0 || strings.HasPrefix(args[0], "#") {
			continue
		}
		if args[0] == "conntrack" {
			args = args[1:]
		}
		q, err := ParseQuery(args)
		if err == nil && strings.IndexByte("IAUDF", q.Command) < 0 {
			err = fmt.Errorf("-%c cannot stand in a file: -I, -A, -U, -D and -F can", q.Command)
		}
		if err != nil {
			return usage("%s:%d: %v", r.Name, n, err)
		}
		q.quiet = true
		queries = append(queries, q)
	}
	for _, q := range queries {
		if err := s.ask(ctx, q, a); err != nil {
			return err
		}
	}
	return nil
}
