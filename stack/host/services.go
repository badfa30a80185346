package host

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"
)

// Service is what a built-in server does with those who talk to it.
type Service uint8

// The services.
const (
	Silent  Service = iota // TCP: completes handshakes, and nobody ever accepts; UDP: swallows
	Echo                   // RFC 862
	Discard                // RFC 863
	Hello                  // TCP: one small HTTP/1.0 answer per connection
)

var serviceNames = map[string]Service{"silent": Silent, "echo": Echo, "discard": Discard, "http": Hello}

// ParseService reads "echo", "discard", "http" or "silent".
func ParseService(name string) (Service, error) {
	s, ok := serviceNames[strings.ToLower(name)]
	if !ok {
		return 0, fmt.Errorf("%q is no service: want echo, discard, http or silent", name)
	}
	return s, nil
}

const helloAnswer = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 16\r\nConnection: close\r\n\r\nhello from moat\n"

// backlog is how many connections may wait to be accepted.
const backlog = 128

// Serve starts a service on "tcp" or "udp". An unspecified address listens on all addresses of its family; "::" on
// those of IPv4 too. The returned function ends it; connections that are open go on.
func (s *Stack) Serve(what Service, network string, at netip.AddrPort) (stop func(), err error) {
	return s.serve(&server{what: what, reply: replies[what]}, network, at)
}

func (s *Stack) serve(srv *server, network string, at netip.AddrPort) (stop func(), err error) {
	ep, wq, err := s.bind(network, at)
	if err != nil {
		return nil, err
	}
	srv.s, srv.l, srv.ep, srv.wq, srv.udp = s, s.conns, ep, wq, network == "udp"
	if srv.udp {
		srv.l.watch(wq, srv.run)
		return ep.Close, nil
	}
	queue := backlog
	silent := srv.what == Silent && srv.reply == nil
	if silent {
		queue = silentBacklog
	}
	release, err := s.listen(ep, at, queue)
	if err != nil {
		ep.Close()
		return nil, err
	}
	if silent {
		local, _ := ep.GetLocalAddress()
		forget := s.silent.open(local.Port)
		return func() { forget(); release(); ep.Close() }, nil
	}
	srv.l.watch(wq, srv.run)
	return func() { release(); ep.Close() }, nil
}

// Reply answers what a client has said: a datagram, or what has come of a stream so far. It gives the answer, nil for none,
// and of how many bytes of the stream it is; 0: more is needed.
type Reply func(said []byte) (answer []byte, used int)

// ServeReply starts a server of messages on "tcp" or "udp"; at as in Serve. The returned function ends it.
func (s *Stack) ServeReply(network string, at netip.AddrPort, reply Reply) (stop func(), err error) {
	return s.serve(&server{reply: reply}, network, at)
}

// loop runs services: sockets announce that they are ready, and one goroutine (live) or Settle (virtual time) calls
// them. Nothing in it blocks, so "nothing is ready" means "nothing is left to do".
type loop struct {
	live    bool
	mu      sync.Mutex
	ready   []*task
	running bool // live: a goroutine is at it
	closed  bool
}

// task is one socket with what is to be done when it is ready.
type task struct {
	run    func()
	queued bool
}

// watch has run called once now and whenever the queue announces anything.
func (l *loop) watch(wq *waiter.Queue, run func()) {
	t := &task{run: run}
	e := waiter.NewFunctionEntry(waiter.ReadableEvents|waiter.WritableEvents|waiter.EventHUp|waiter.EventErr,
		func(waiter.EventMask) { l.add(t) })
	wq.EventRegister(&e)
	l.add(t)
}

// add is called from inside gVisor, with its locks held: it only takes a note.
func (l *loop) add(t *task) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.queued || l.closed {
		return
	}
	t.queued = true
	l.ready = append(l.ready, t)
	if l.live && !l.running {
		l.running = true
		go l.runReady()
	}
}

// runReady calls what is ready, and what becomes ready meanwhile, until nothing is.
func (l *loop) runReady() (ran int) {
	for {
		l.mu.Lock()
		if len(l.ready) == 0 || l.closed {
			l.running = false
			l.mu.Unlock()
			return ran
		}
		t := l.ready[0]
		l.ready = l.ready[1:]
		t.queued = false // before it runs: what is announced meanwhile may come too late for it
		l.mu.Unlock()
		t.run()
		ran++
	}
}

func (l *loop) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
}

// server is a listener, or a UDP socket.
type server struct {
	s     *Stack
	l     *loop
	what  Service
	reply Reply // nil: nothing is answered
	ep    tcpip.Endpoint
	wq    *waiter.Queue
	udp   bool
}

func (srv *server) run() {
	if srv.udp {
		srv.answerDatagrams()
		return
	}
	for {
		ep, wq, err := srv.ep.Accept(nil)
		if err != nil {
			return
		}
		c := &served{what: srv.what, reply: srv.reply, ep: ep}
		srv.l.watch(wq, c.run)
	}
}

func (srv *server) answerDatagrams() {
	var b bytes.Buffer
	for {
		b.Reset()
		res, err := srv.ep.Read(&b, tcpip.ReadOptions{NeedRemoteAddr: true, NeedLinkPacketInfo: true})
		if err != nil {
			return
		}
		if srv.reply == nil {
			continue
		}
		if answer, _ := srv.reply(b.Bytes()); answer != nil {
			srv.s.toward(srv.ep, &res.RemoteAddr) // without a route nothing leaves
			srv.ep.Write(bytes.NewReader(answer), tcpip.WriteOptions{To: &res.RemoteAddr})
		}
	}
}

// served is one accepted connection.
type served struct {
	what  Service
	reply Reply
	ep    tcpip.Endpoint
	said  []byte // read and not yet answered
	out   []byte // not yet written
	eof   bool
	over  bool
}

func (c *served) run() {
	for !c.over {
		if len(c.out) > 0 {
			n, err := c.ep.Write(bytes.NewReader(c.out), tcpip.WriteOptions{})
			c.out = c.out[n:]
			if _, full := err.(*tcpip.ErrWouldBlock); full {
				return
			}
			if err != nil {
				c.end()
			}
			continue
		}
		if c.eof {
			c.end()
			return
		}
		buf := make([]byte, 32<<10)
		w := tcpip.SliceWriter(buf)
		res, err := c.ep.Read(&w, tcpip.ReadOptions{})
		switch err.(type) {
		case nil:
			c.got(buf[:res.Count])
		case *tcpip.ErrWouldBlock:
			return
		case *tcpip.ErrClosedForReceive:
			c.eof = true
		default:
			c.end()
		}
	}
}

func (c *served) got(b []byte) {
	if c.reply == nil {
		return
	}
	c.said = append(c.said, b...)
	rest := c.said
	for len(rest) > 0 {
		answer, used := c.reply(rest)
		if used == 0 {
			break
		}
		c.out = append(c.out, answer...)
		rest = rest[used:]
		c.eof = c.eof || c.what == Hello
	}
	c.said = append(c.said[:0], rest...)
}

// replies are those of the built-in services; what has none swallows.
var replies = map[Service]Reply{
	Echo: func(b []byte) ([]byte, int) { return b, len(b) },
	Hello: func(b []byte) ([]byte, int) {
		if bytes.IndexByte(b, '\n') < 0 {
			return nil, 0
		}
		return []byte(helloAnswer), len(b)
	},
}

func (c *served) end() {
	c.over = true
	c.ep.Close()
}
