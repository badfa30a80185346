package host

import (
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/moat-router/moat/stack/packet"
)

// The service Silent stands for a listening socket of Linux that nobody accepts from. What can be seen of it goes
// further than lookLikeLinux, for its conversations are compared byte by byte with recorded ones:
//
//   - a SYN that comes again before the handshake is complete gets the same SYN/ACK again (gVisor: an ACK), on virtual time
//     once in half a second (tcp_invalid_ratelimit);
//   - SYN with FIN is ignored;
//   - a SYN that offers ECN is accepted so, for tcp_ecn is 2 (RFC 3168 6.1.1; no data will ever follow);
//   - since nobody reads, the right edge of the window stays where the SYN/ACK put it;
//   - a FIN in its turn is acknowledged 40 ms later, or with what comes before that (TCP_DELACK_MIN; on virtual time
//     only: nobody compares a live listener).
//
// Measured on kernel 6.18 with a backlog of 8.
const silentBacklog = 8

// The flags of RFC 3168.
const (
	tcpECE = 0x40
	tcpCWR = 0x80
)

// maxGreetings bounds the memory of silent listeners; the oldest conversations lose their looks first.
const maxGreetings = 1024

type silent struct {
	mu     sync.Mutex
	ports  map[uint16]int // listeners by local port
	greets map[flow]*greeting
	order  []flow
	ecn    map[flow]bool // a SYN with ECE and CWR has come and is not answered yet
}

// flow names a conversation from the listener's side.
type flow struct {
	local, remote         packet.Addr
	localPort, remotePort uint16
}

// greeting is the SYN/ACK of a conversation.
type greeting struct {
	synAck []byte
	irs    uint32 // sequence number of the SYN that it answers
	window uint32 // as announced, not scaled
	scale  uint8
	again  packet.Time // the SYN/ACK was sent again then, if ever
	fin    bool        // the last segment that arrived had FIN,
	finEnd uint32      // and ended at this sequence number
	acked  bool        // a FIN was acknowledged, or will be:
	held   []byte      // the acknowledgement that waits
}

// invalidRateLimit is how often the same is answered again (net.ipv4.tcp_invalid_ratelimit).
const invalidRateLimit = 500 * time.Millisecond

// delayedACK is how long it waits.
const delayedACK = 40 * time.Millisecond

// open registers a silent listener; the result ends it.
func (s *silent) open(port uint16) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ports == nil {
		s.ports, s.greets, s.ecn = map[uint16]int{}, map[flow]*greeting{}, map[flow]bool{}
	}
	s.ports[port]++
	var once sync.Once
	return func() {
		once.Do(func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.ports[port]--; s.ports[port] == 0 {
				delete(s.ports, port)
			}
		})
	}
}

// arrives looks at a segment before gVisor does; waiting tells whether gVisor has a half-open connection for it. If it
// returns true, gVisor does not get the segment; again, if any, is the answer. now is 0 live.
func (s *silent) arrives(p *packet.Packet, now packet.Time, waiting func() bool) (again []byte, taken bool) {
	t, ok := p.TCP()
	if !ok {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ports[t.DestinationPort()] == 0 {
		return nil, false
	}
	k := flow{p.Dst(), p.Src(), t.DestinationPort(), t.SourcePort()}
	g := s.greets[k]
	if t.Flags()&(header.TCPFlagSyn|header.TCPFlagAck|header.TCPFlagRst) != header.TCPFlagSyn {
		if g != nil {
			again = g.follow(t, len(p.Payload()))
		}
		return again, false
	}
	if g != nil && t.SequenceNumber() == g.irs && waiting() {
		if now != 0 && g.again != 0 && now.Sub(g.again) < invalidRateLimit {
			return nil, true
		}
		g.again = now
		return g.synAck, true
	}
	if f := t.Flags(); f&tcpECE != 0 && f&tcpCWR != 0 && p.TOS()&3 == 0 && len(s.ecn) < maxGreetings {
		s.ecn[k] = true
	}
	return nil, g == nil && t.Flags()&header.TCPFlagFin != 0
}

// follow notes a later segment, and gives the acknowledgement that it sets free. One that carries something is answered
// by gVisor anyway, and after a reset there is nothing to say.
func (g *greeting) follow(t header.TCP, payload int) (free []byte) {
	g.fin = t.Flags()&header.TCPFlagFin != 0
	g.finEnd = t.SequenceNumber() + uint32(payload) + 1
	if !g.fin && payload == 0 && t.Flags()&header.TCPFlagRst == 0 {
		free = g.held
	}
	g.held = nil
	return free
}

// leaves looks at what gVisor sends: it remembers greetings, and gives later segments their window. An
// acknowledgement that has to wait is handed to hold, and leaves returns true; hold gets it back by calling release.
// waiting tells whether the handshake of a conversation is not complete.
func (s *silent) leaves(p *packet.Packet, hold func(release func() []byte), waiting func(flow) bool) (held bool) {
	b := p.Data
	at := tcpAt(b)
	if at == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := header.TCP(b[at:])
	if s.ports[t.SourcePort()] == 0 {
		return false
	}
	p.CompleteChecksum() // the looks are edits, and what is held loses its metadata
	k := flow{localPort: t.SourcePort(), remotePort: t.DestinationPort()}
	k.local, k.remote = endsOf(b)
	g := s.greets[k]
	switch f := t.Flags(); {
	case f&header.TCPFlagRst != 0:
		if g != nil && !waiting(k) { // a wrong acknowledgement is refused and ends no handshake
			delete(s.greets, k)
		}
	case f&header.TCPFlagSyn != 0:
		s.greet(k, b, t)
	case g != nil:
		got := t.AckNumber() - g.irs - 1
		left := g.window - min(got, g.window)
		if left&(1<<g.scale-1) != 0 && !waiting(k) {
			left += 1 << g.scale // a socket rounds up, a request that is not a socket yet does not
		}
		left >>= g.scale
		old := t.WindowSize()
		t.SetWindowSize(uint16(left))
		packet.FixSum16(t[header.TCPChecksumOffset:header.TCPChecksumOffset+2], old, uint16(left))
		if hold == nil || !g.fin || g.acked || f != header.TCPFlagAck || t.AckNumber() != g.finEnd {
			return false
		}
		g.acked, g.held = true, append([]byte(nil), b...)
		hold(func() []byte {
			s.mu.Lock()
			defer s.mu.Unlock()
			b := g.held
			g.held = nil
			return b
		})
		return true
	}
	return false
}

func (s *silent) greet(k flow, b []byte, t header.TCP) {
	if s.ecn[k] {
		delete(s.ecn, k)
		old := t[header.TCPDataOffset : header.TCPDataOffset+2]
		was := uint16(old[0])<<8 | uint16(old[1])
		old[1] |= tcpECE
		packet.FixSum16(t[header.TCPChecksumOffset:header.TCPChecksumOffset+2], was, was|tcpECE)
	}
	o := header.ParseSynOptions(t.Options(), true)
	g := &greeting{synAck: append([]byte(nil), b...), irs: t.AckNumber() - 1, window: uint32(t.WindowSize())}
	if o.WS > 0 {
		g.scale = uint8(o.WS)
	}
	if old := s.greets[k]; old == nil {
		s.order = append(s.order, k)
	} else if old.irs == g.irs {
		g.again = old.again
	}
	s.greets[k] = g
	for len(s.order) > maxGreetings {
		delete(s.greets, s.order[0])
		s.order = s.order[1:]
	}
}
