package wire

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moat-router/moat/stack/packet"
)

// Fate is what became of a datagram on the wire.
type Fate uint8

// The fates.
const (
	Delivered   Fate = iota
	Lost             // as Options.Loss says
	Down             // the segment, or the receiver, was down
	QueueFull        // more than the rate carries, or than the receiver reads
	TooBig           // for the MTU
	NoNeighbour      // nobody has the address, and no route names a neighbour
	NotIP
)

func (f Fate) String() string {
	return [...]string{"delivered", "lost", "link down", "queue full", "too big", "no neighbour", "not IP"}[f]
}

// Sighting is one datagram on a segment.
type Sighting struct {
	At       packet.Time // when it arrived, or died
	Segment  string
	From, To *Port // To is nil where nobody was found
	Data     []byte
	Fate     Fate

	unsummed packet.Offload // the checksum of Data is to be completed, once somebody looks
}

// Text is the datagram in packet notation.
func (s *Sighting) Text() string { return packet.Text(s.Data) }

// String is a line of a timeline:
//
//	0.020  outside → fw  (interconnect)  ip4 198.51.100.9>1.2.3.10 / udp 4000>99 len=8
func (s *Sighting) String() string {
	to := "nobody"
	if s.To != nil {
		to = s.To.Name
	}
	line := fmt.Sprintf("%9.6f  %s → %s  (%s)  %s", time.Duration(s.At).Seconds(), s.From.Name, to, s.Segment, s.Text())
	if s.Fate != Delivered {
		line += "  — " + s.Fate.String()
	}
	return line
}

// sight reports a crossing. The datagram is copied.
func (s *Segment) sight(at packet.Time, from, to *Port, p *packet.Packet, fate Fate) {
	if !s.book.wanted() {
		return
	}
	s.book.Add(Sighting{At: at, Segment: s.Name, From: from, To: to, Data: slices.Clone(p.Data), Fate: fate, unsummed: p.Offload})
}

// keepBytes is how many bytes of datagrams a Book keeps: super-segments would fill the memory.
const keepBytes = 64 << 20

// Book keeps the latest sightings of a lab, within 64 MiB, and hands each on to those who watch.
type Book struct {
	Keep int // at most so many; 0 or less: none

	mu       sync.Mutex
	list     []Sighting
	first    int // in list: those before it are forgotten
	bytes    int
	watchers []*func(Sighting)
}

// wanted tells whether anybody wants sightings; if not, datagrams need not be copied.
func (b *Book) wanted() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Keep > 0 || len(b.watchers) > 0
}

// complete computes a checksum that was left to the link: those who look want to see the datagram that would be on a wire.
func (s *Sighting) complete() {
	s.unsummed.CompleteChecksum(s.Data)
	s.unsummed = packet.Offload{}
}

// Add is what a Segment calls.
func (b *Book) Add(s Sighting) {
	b.mu.Lock()
	if len(b.watchers) > 0 {
		s.complete()
	}
	if b.Keep > 0 {
		b.list = append(b.list, s)
		b.bytes += len(s.Data)
		b.forget()
	}
	watchers := b.watchers // Watch makes a new slice for each change
	b.mu.Unlock()
	for _, w := range watchers {
		(*w)(s)
	}
}

// forget lets go of the oldest sightings beyond what is to be kept. b.mu is held.
func (b *Book) forget() {
	for len(b.list)-b.first > b.Keep || b.bytes > keepBytes {
		b.bytes -= len(b.list[b.first].Data)
		b.list[b.first] = Sighting{}
		b.first++
	}
	if b.first > len(b.list)/2 {
		b.list = slices.Delete(b.list, 0, b.first)
		b.first = 0
	}
}

// Watch hands every sighting from now on to see, until stop is called.
func (b *Book) Watch(see func(Sighting)) (stop func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watchers = append(slices.Clip(b.watchers), &see)
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.watchers = slices.DeleteFunc(slices.Clone(b.watchers), func(w *func(Sighting)) bool { return w == &see })
	}
}

// Sightings are those that are kept, in order of time. (A kernel may answer a datagram before its sender has noted it.)
func (b *Book) Sightings() []Sighting {
	b.mu.Lock()
	for i := b.first; i < len(b.list); i++ {
		b.list[i].complete()
	}
	list := slices.Clone(b.list[b.first:])
	b.mu.Unlock()
	slices.SortStableFunc(list, func(a, b Sighting) int { return cmp.Compare(a.At, b.At) })
	return list
}

// Timeline is one line for each.
func (b *Book) Timeline() string {
	var out strings.Builder
	for _, s := range b.Sightings() {
		out.WriteString(s.String() + "\n")
	}
	return out.String()
}
