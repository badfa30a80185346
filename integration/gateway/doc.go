// Package gateway tries a whole moat from outside, as its users do: the built binary between network namespaces of the
// kernel, real sockets and tools at both ends, signals, mistakes in what it is given, packets that nobody should send.
//
// # Overview
//
// There is nothing here but tests. Each of them makes a world of its own, so that they run side by side:
//
//	inside  192.168.1.10, fd00:1::10 ── lan  moat  wan ── 192.168.42.2, fd00:42::2  outside
//	                                 masquerade ──▶   ◀── 1.2.3.10 is 192.168.1.10
//
// # A worked example
//
//	w := newWorld(t, world{})                       // two namespaces and a moat between them
//	l := w.listen(w.inside, "tcp", "192.168.1.10:80")
//	c := w.dial(w.outside, "tcp", "1.2.3.10:80")    // arrives at l
//	                                                // when the test ends moat must have ended well, and left nothing
//
// # Invariants
//
// Each moat ends by SIGTERM with exit code 0 and no panic, and takes its devices, namespaces and sockets away: that is
// checked for every world, whatever its test is about. Under the race detector moat runs with it, too.
//
// # Limits
//
// Needs root (or the capabilities), /dev/net/tun and the go command; what is missing skips a test with a sentence, or fails
// it where MOAT_REQUIRE=kernel. Times on the wire are real, so nothing here measures speed.
package gateway
