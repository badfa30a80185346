package host

import (
	"net"
	"net/netip"
	"sync"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
)

// listeners knows which TCP ports are listened on. gVisor lets a port be bound again while connections of an earlier
// listener linger (SO_REUSEADDR), which a service that restarts needs, but then does not notice that two listeners
// overlap, as Linux does.
type listeners struct {
	mu    sync.Mutex
	ports map[uint16][]netip.Addr
}

// claim takes a port; release gives it back, and may be called twice.
func (l *listeners) claim(at netip.Addr, port uint16) (release func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, other := range l.ports[port] {
		if overlap(at, other) {
			return nil, syscall.EADDRINUSE
		}
	}
	if l.ports == nil {
		l.ports = map[uint16][]netip.Addr{}
	}
	l.ports[port] = append(l.ports[port], at)
	var once sync.Once
	return func() { once.Do(func() { l.drop(at, port) }) }, nil
}

func (l *listeners) drop(at netip.Addr, port uint16) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.ports[port]
	for i, a := range all {
		if a == at {
			l.ports[port] = append(all[:i:i], all[i+1:]...)
			break
		}
	}
	if len(l.ports[port]) == 0 {
		delete(l.ports, port)
	}
}

// overlap tells whether a packet could be for both: "::", and no address at all, cover both families.
func overlap(a, b netip.Addr) bool {
	all := func(x netip.Addr) bool { return !x.IsValid() || x == netip.IPv6Unspecified() }
	switch {
	case all(a) || all(b) || a == b:
		return true
	case a.IsUnspecified():
		return b.Is4()
	case b.IsUnspecified():
		return a.Is4()
	}
	return false
}

// listen makes a bound TCP socket a listener. The result frees the port; the caller closes the socket.
func (s *Stack) listen(ep tcpip.Endpoint, at netip.AddrPort, backlog int) (release func(), err error) {
	local, e := ep.GetLocalAddress()
	if e == nil {
		release, err = s.listening.claim(at.Addr(), local.Port)
		if err != nil {
			return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(at), Err: err}
		}
		e = ep.Listen(backlog)
	}
	if e != nil {
		if release != nil {
			release()
		}
		return nil, opError("listen", "tcp", at, e)
	}
	return release, nil
}

// tcpListener is gVisor's, and gives its port back.
type tcpListener struct {
	*gonet.TCPListener
	release func()
}

func (l *tcpListener) Close() error {
	l.release()
	return l.TCPListener.Close()
}
