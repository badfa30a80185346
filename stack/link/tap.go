package link

import "github.com/moat-router/moat/stack/packet"

// Dir tells which way a datagram crosses a link, seen from the router.
type Dir uint8

// The directions.
const (
	In  Dir = iota // it arrived
	Out            // it left
)

func (d Dir) String() string {
	if d == In {
		return "in"
	}
	return "out"
}

// Tap wraps l so that see gets every datagram that arrives, before the handler does, and every datagram that Send
// has taken. see must neither edit nor keep the packet, and is called from as many goroutines as use the link.
func Tap(l Link, see func(Dir, *packet.Packet)) Link { return &tapped{l, see} }

type tapped struct {
	Link
	see func(Dir, *packet.Packet)
}

func (t *tapped) Serve(q int, h func([]*packet.Packet)) error {
	return t.Link.Serve(q, func(batch []*packet.Packet) {
		for _, p := range batch {
			t.see(In, p)
		}
		h(batch)
	})
}

func (t *tapped) Send(q int, batch []*packet.Packet) (int, error) {
	n, err := t.Link.Send(q, batch)
	for _, p := range batch[:n] {
		t.see(Out, p)
	}
	return n, err
}

// Unwrap gives the link that is tapped.
func (t *tapped) Unwrap() Link { return t.Link }
