package router

import (
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/moat-router/moat/stack/packet"
)

// heard is the segment that our sockets got last. A reset that answers it reflects its TOS without ECN, as the resets that
// the router makes itself do (tcp_v4_send_reset, tcp_v6_send_response); gVisor's has none.
type heard struct {
	mu           sync.Mutex
	src, dst     packet.Addr
	sport, dport uint16
	tos          uint8
	acks         bool
}

// note remembers a TCP segment (parsed).
func (h *heard) note(p *packet.Packet) {
	t, ok := p.TCP()
	if !ok {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	p.Ends(&h.src, &h.dst)
	h.sport, h.dport = t.SourcePort(), t.DestinationPort()
	h.tos, h.acks = p.TOS(), t.Flags()&header.TCPFlagAck != 0
}

// reflect gives p (parsed), if it is a reset that answers what was heard, the TOS of that. A reset has an ACK if what it
// answers has none (RFC 9293 3.10.7.1): one that a socket sends of its own accord is told by that.
func (h *heard) reflect(p *packet.Packet) {
	t, ok := p.TCP()
	if !ok || t.Flags()&header.TCPFlagRst == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if p.Src() == h.dst && p.Dst() == h.src && t.SourcePort() == h.dport && t.DestinationPort() == h.sport && h.acks != (t.Flags()&header.TCPFlagAck != 0) {
		p.SetTOS(h.tos &^ 3)
	}
}
