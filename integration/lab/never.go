package lab

import (
	"fmt"
	"strings"
	"sync"

	"github.com/moat-router/moat/integration/lab/pattern"
	"github.com/moat-router/moat/integration/lab/wire"
)

// Never watches for a datagram that must not be on a network.
type Never struct {
	network string
	pattern *pattern.Pattern
	stop    func()

	mu    sync.Mutex
	first string
	count int
}

// Never begins to watch a network ("" is all of them) for datagrams that match a pattern. Lost ones count: they were sent.
func (l *Lab) Never(network, match string) (*Never, error) {
	if network != "" && l.Network(network) == nil {
		return nil, fmt.Errorf("never: there is no network %q", network)
	}
	p, err := pattern.Parse(match)
	if err != nil {
		return nil, err
	}
	n := &Never{network: network, pattern: p}
	n.stop = l.Watch(n.see)
	return n, nil
}

// Stop ends watching.
func (n *Never) Stop() { n.stop() }

func (n *Never) see(s wire.Sighting) {
	if n.network != "" && n.network != s.Segment || !n.pattern.Match(s.Data) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.count++; n.count == 1 {
		n.first = s.String()
	}
}

// Verdict says what happened against expectation, "" for nothing.
func (n *Never) Verdict() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.count == 0 {
		return ""
	}
	return fmt.Sprintf("it happened %d times, first: %s", n.count, strings.TrimSpace(n.first))
}
