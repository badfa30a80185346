package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// maxRequest bounds a request line; a ruleset of a hundred thousand rules fits.
const maxRequest = 64 << 20

// requestTime is how long a client may take to say what it wants.
const requestTime = 10 * time.Second

// Server answers requests with what a Backend knows.
type Server struct {
	backend Backend
	version string

	wg sync.WaitGroup
}

// NewServer makes a server; version is what the "version" request prints.
func NewServer(b Backend, version string) *Server { return &Server{backend: b, version: version} }

// Serve accepts connections until l is closed or ctx ends, then waits for those that are open to end.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer func() { cancel(); s.wg.Wait() }()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			s.serve(ctx, c)
		}()
	}
}

func (s *Server) serve(ctx context.Context, c net.Conn) {
	defer c.Close()
	// When moat ends, a client that does not read must not hold it up.
	defer context.AfterFunc(ctx, func() { c.SetWriteDeadline(time.Now().Add(time.Second)) })()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.SetReadDeadline(time.Now().Add(requestTime))
	r := bufio.NewReader(io.LimitReader(c, maxRequest))
	line, err := r.ReadBytes('\n')
	if err != nil && len(line) == 0 {
		return
	}
	c.SetReadDeadline(time.Time{})
	go func() { // a client that goes away, or says that it is done, ends its stream; a listing goes on to its end
		io.Copy(io.Discard, c)
		cancel()
	}()
	a := newAnswer(c)
	var q Request
	if err := json.Unmarshal(line, &q); err != nil {
		a.end(usage("a request is one JSON line: %v", err))
		return
	}
	a.end(s.do(ctx, &q, a))
}

func (s *Server) do(ctx context.Context, r *Request, a *answer) error {
	switch r.Do {
	case "conntrack":
		return s.conntrack(ctx, r, a)
	case "rules":
		return s.rules(r, a)
	case "route":
		return s.route(r.Args, a)
	case "link":
		return s.link(ctx, r.Args, a)
	case "metrics":
		return s.metrics(ctx, r.Args, a)
	case "version":
		a.printf("%s\n", s.version)
		return nil
	}
	return usage("%q is not a request: this moat knows conntrack, rules, route, link, metrics and version", r.Do)
}

// answer writes frames. Text is gathered until there is a worthwhile piece of it.
type answer struct {
	w    *bufio.Writer
	enc  *json.Encoder
	out  []byte
	code int
	err  error
}

func newAnswer(w io.Writer) *answer {
	b := bufio.NewWriter(w)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	return &answer{w: b, enc: e}
}

// frameSize is how much text is gathered for one frame, in bytes.
const frameSize = 32 << 10

func (a *answer) printf(format string, args ...any) { a.write(fmt.Appendf(nil, format, args...)) }

func (a *answer) write(b []byte) {
	if a.out = append(a.out, b...); len(a.out) >= frameSize {
		a.flushOut()
	}
}

func (a *answer) flushOut() {
	if len(a.out) > 0 {
		a.send(Frame{Out: string(a.out)})
		a.out = a.out[:0]
	}
}

// flush sends what there is: a stream calls it when it pauses.
func (a *answer) flush() error {
	a.flushOut()
	if err := a.w.Flush(); a.err == nil {
		a.err = err
	}
	return a.err
}

func (a *answer) errorf(format string, args ...any) {
	a.flushOut()
	a.send(Frame{Err: fmt.Sprintf(format, args...)})
}

func (a *answer) send(f Frame) {
	if err := a.enc.Encode(f); a.err == nil {
		a.err = err
	}
}

// end sends the exit code: 0, 2 for a UsageError, 1 for any other error.
func (a *answer) end(err error) {
	code := a.code
	if err != nil {
		code = 1
		var u *UsageError
		if errors.As(err, &u) {
			code = 2
		}
		a.errorf("moat: %v\n", err)
	}
	a.flushOut()
	a.send(Frame{Exit: &code})
	a.w.Flush()
}
