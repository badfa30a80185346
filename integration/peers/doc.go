// Package peers has moat used by those who have to live with NATs: ICE agents (pion/ice) that punch holes through each pair
// of NATs, QUIC (quic-go) that lives through a rebinding, and WireGuard that roams. It is a module of its own, so that nobody who imports
// moat gets these dependencies.
//
// # Overview
//
// World is an internet in this process: sites, each a moat router with hosts behind it, and public hosts. Its hosts have
// UDP sockets (Socket) and no more; time is real, because the peers' timers are. Net hands a host to pion.
//
// # A worked example
//
//	w := peers.NewWorld()
//	s, err := w.Site("203.0.113.1", "full-cone")
//	c, err := s.Host("192.168.1.10").Listen(0)
//	c.WriteTo([]byte("hello"), server)
//
// # Invariants
//
// A datagram is carried to its end before the call that sent it returns; what a socket's buffer cannot take is lost.
//
// # Concurrency
//
// Everything is safe from any goroutine; one datagram is on its way at a time.
//
// # Limits
//
// UDP over IPv4. No fragments, no delay, no loss.
//
// # References
//
// RFC 8445 (ICE), RFC 8489 (STUN), RFC 9000 section 9 (QUIC connection migration), RFC 4787.
package peers
