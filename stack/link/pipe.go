package link

import (
	"errors"
	"sync"

	"github.com/moat-router/moat/stack/packet"
)

// ErrTooBig is returned by Send for a datagram (or a segment of a super-segment) that is larger than the MTU.
var ErrTooBig = errors.New("datagram is larger than the link's MTU")

// Defaults of a pipe.
const (
	DefaultMTU   = 1500
	DefaultSlots = 1000 // as the transmit queue of a TUN holds (txqueuelen 500) and a reader that is late by as much
	serveBatch   = 16
)

// PipeOptions says how a pipe behaves; both ends are alike. The zero value is an ordinary cable: MTU 1500, 1000
// slots, no offloads.
type PipeOptions struct {
	MTU      int      // bytes; 0: DefaultMTU
	Slots    int      // datagrams that wait in each direction, within 4 MiB; 0: DefaultSlots
	Offloads Offloads // what Send takes as it is
}

// Pipe gives the two ends of an in-memory cable: what is sent into one is read from the other.
func Pipe(nameA, nameB string, o PipeOptions) (a, b *End) {
	if o.MTU == 0 {
		o.MTU = DefaultMTU
	}
	if o.Slots == 0 {
		o.Slots = DefaultSlots
	}
	c := &cable{mtu: o.MTU, offloads: o.Offloads}
	c.wake.L = &c.mu
	a, b = &End{name: nameA, c: c}, &End{name: nameB, c: c}
	a.in.most, b.in.most = o.Slots, o.Slots
	a.peer, b.peer = b, a
	a.up, b.up = true, true
	return a, b
}

// cable is what both ends share. One lock for both: a pipe is for labs and tests, and one lock cannot be taken in the
// wrong order.
type cable struct {
	mu       sync.Mutex
	wake     sync.Cond
	mtu      int
	offloads Offloads
	closed   bool
}

// End is one end of a Pipe.
type End struct {
	name    string
	c       *cable
	peer    *End
	in      ring // what the peer sent and nobody has read yet
	up      bool
	batch   []*packet.Packet
	reading bool
}

// Name is what Pipe was told.
func (e *End) Name() string { return e.name }

// MTU in bytes.
func (e *End) MTU() int {
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	return e.c.mtu
}

// SetMTU changes the MTU of both directions; what waits already still arrives.
func (e *End) SetMTU(mtu int) {
	e.c.mu.Lock()
	e.c.mtu = mtu
	e.c.mu.Unlock()
}

// Queues is 1.
func (e *End) Queues() int { return 1 }

// Offloads is what PipeOptions said.
func (e *End) Offloads() Offloads { return e.c.offloads }

// SetUp takes this end up or down. The pipe carries datagrams while both ends are up.
func (e *End) SetUp(up bool) {
	e.c.mu.Lock()
	e.up = up
	e.c.mu.Unlock()
}

// Up tells whether this end is up; the other may be down.
func (e *End) Up() bool {
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	return e.up
}

// Waiting is how many datagrams wait to be read here.
func (e *End) Waiting() int {
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	return e.in.n
}

// Send puts the batch into the other end's ring.
func (e *End) Send(_ int, batch []*packet.Packet) (int, error) {
	c := e.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, p := range batch {
		switch {
		case c.closed:
			return i, ErrClosed
		case !e.up || !e.peer.up:
			return i, ErrDown
		case wireLen(p) > c.mtu:
			return i, ErrTooBig
		case !e.peer.in.put(p):
			return i, ErrFull
		}
		if e.peer.in.n == 1 {
			c.wake.Broadcast()
		}
	}
	return len(batch), nil
}

// wireLen is the size of the largest datagram that p becomes on a wire.
func wireLen(p *packet.Packet) int {
	if p.GSO != packet.GSONone {
		return min(len(p.Data), int(p.HdrLen)+int(p.GSOSize))
	}
	return len(p.Data)
}

// Serve hands over what arrives until the pipe is closed, and then returns ErrClosed.
func (e *End) Serve(_ int, h func([]*packet.Packet)) error {
	for {
		e.c.mu.Lock()
		for e.in.n == 0 && !e.c.closed {
			e.c.wake.Wait()
		}
		if e.c.closed {
			e.c.mu.Unlock()
			return ErrClosed
		}
		batch := e.takeLocked(serveBatch)
		e.c.mu.Unlock()
		if len(batch) > 0 {
			h(batch)
		}
		e.doneReading(batch)
	}
}

// Pump hands over, one by one and in the caller's goroutine, the datagrams that wait here now, and tells how many
// they were. What the handler sends back into this end waits for the next Pump. Labs on virtual time call it until
// nothing waits anywhere.
func (e *End) Pump(h func([]*packet.Packet)) int {
	handed := 0
	for left := e.Waiting(); left > 0; left-- {
		e.c.mu.Lock()
		batch := e.takeLocked(1)
		e.c.mu.Unlock()
		if len(batch) == 0 {
			break
		}
		h(batch)
		e.doneReading(batch)
		handed++
	}
	return handed
}

// takeLocked moves up to most datagrams into packets that belong to this end.
func (e *End) takeLocked(most int) []*packet.Packet {
	if e.reading {
		panic("link: Serve or Pump entered twice on " + e.name)
	}
	n := min(most, e.in.n)
	for len(e.batch) < n {
		e.batch = append(e.batch, packet.New())
	}
	for _, p := range e.batch[:n] {
		e.in.take(p)
	}
	e.reading = n > 0
	return e.batch[:n]
}

func (e *End) doneReading(batch []*packet.Packet) {
	if len(batch) == 0 {
		return
	}
	e.c.mu.Lock()
	e.reading = false
	e.c.mu.Unlock()
}

// Close closes both ends: a cable has no half.
func (e *End) Close() error {
	e.c.mu.Lock()
	e.c.closed = true
	e.c.wake.Broadcast()
	e.c.mu.Unlock()
	return nil
}
