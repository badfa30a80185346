package host

import "github.com/moat-router/moat/stack/packet"

// Listens tells whether a socket waits at a local address and port for whoever may come.
func (s *Stack) Listens(v6 bool, proto uint8, a packet.Addr, port uint16) bool {
	return s.find(v6, proto, a, port, packet.Addr{}, 0)
}
