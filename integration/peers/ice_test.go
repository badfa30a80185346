package peers

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"

	"github.com/moat-router/moat/integration/lab/natcheck"
)

// stunServer answers at port 3478 of a public host.
func stunServer(t *testing.T, w *World, addr string) {
	t.Helper()
	s, err := w.Host(addr).Listen(3478)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := s.ReadFromUDP(b)
			if err != nil {
				return
			}
			if m, err := natcheck.ParseMessage(b[:n]); err == nil && !m.Response {
				m = natcheck.Message{Response: true, Transaction: m.Transaction, Mapped: from.AddrPort()}
				s.WriteToUDP(m.Append(nil), from)
			}
		}
	}()
}

func agent(t *testing.T, h *Host) *ice.Agent {
	t.Helper()
	a, err := ice.NewAgentWithOptions(
		ice.WithNet(&Net{h}),
		ice.WithUrls([]*stun.URI{{Scheme: stun.SchemeTypeSTUN, Host: "198.51.100.1", Port: 3478, Proto: stun.ProtoTypeUDP}}),
		ice.WithNetworkTypes([]ice.NetworkType{ice.NetworkTypeUDP4}),
		ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeHost, ice.CandidateTypeServerReflexive}),
		ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled),
		ice.WithCheckInterval(50*time.Millisecond),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// gather waits for all candidates of an agent.
func gather(t *testing.T, a *ice.Agent) []ice.Candidate {
	t.Helper()
	done := make(chan struct{})
	if err := a.OnCandidate(func(c ice.Candidate) {
		if c == nil {
			close(done)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := a.GatherCandidates(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("candidates are still being gathered after 30 s")
	}
	all, err := a.GetLocalCandidates()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// punch has two ICE agents look for a way to each other and send a word over it. timeout is when they give up.
func punch(t *testing.T, a, b *Host, timeout time.Duration) error {
	t.Helper()
	one, two := agent(t, a), agent(t, b)
	for _, c := range gather(t, one) {
		if err := two.AddRemoteCandidate(c); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range gather(t, two) {
		if err := one.AddRemoteCandidate(c); err != nil {
			t.Fatal(err)
		}
	}
	user1, pass1, err := one.GetLocalUserCredentials()
	if err != nil {
		t.Fatal(err)
	}
	user2, pass2, err := two.GetLocalUserCredentials()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	type result struct {
		conn net.Conn
		err  error
	}
	accepted := make(chan result, 1)
	go func() {
		c, err := two.Accept(ctx, user1, pass1)
		accepted <- result{c, err}
	}()
	c, err := one.Dial(ctx, user2, pass2)
	other := <-accepted
	if err != nil || other.err != nil {
		return fmt.Errorf("dial: %v; accept: %v", err, other.err)
	}
	if _, err := c.Write([]byte("through")); err != nil {
		return err
	}
	buf := make([]byte, 100)
	if err := other.conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	n, err := other.conn.Read(buf)
	if err != nil || string(buf[:n]) != "through" {
		return fmt.Errorf("%q arrives: %v", buf[:n], err)
	}
	return nil
}

// Theory says that a hole can be punched unless a symmetric NAT meets one that asks for the port: whoever is behind the
// other NAT cannot know which port the symmetric one will take towards it (RFC 5128 3.3). Linux filters as a
// port-restricted cone does.
func TestHolePunchingSucceedsAsTheorySays(t *testing.T) {
	t.Parallel()
	kinds := []string{"full-cone", "restricted", "port-restricted", "symmetric", "cgnat", "linux"}
	asksForPort := map[string]bool{"port-restricted": true, "symmetric": true, "linux": true}
	for i, a := range kinds {
		for _, b := range kinds[i:] {
			works := !(a == "symmetric" && asksForPort[b] || b == "symmetric" && asksForPort[a])
			t.Run(a+" and "+b, func(t *testing.T) {
				t.Parallel()
				w := NewWorld()
				t.Cleanup(w.Close)
				stunServer(t, w, "198.51.100.1")
				one, err := w.Site("203.0.113.1", a)
				if err != nil {
					t.Fatal(err)
				}
				two, err := w.Site("203.0.113.2", b)
				if err != nil {
					t.Fatal(err)
				}
				patience := 30 * time.Second
				if !works {
					patience = 5 * time.Second
				}
				// Different host addresses: else each agent would take the other's for a way to itself.
				if err := punch(t, one.Host("192.168.1.10"), two.Host("192.168.1.20"), patience); (err == nil) != works {
					t.Errorf("works: %v, want %v (%v)", err == nil, works, err)
				}
			})
		}
	}
}

// Behind the same NAT the shortest way is direct, and it is there whatever the NAT does.
func TestNeighboursMeetDirectly(t *testing.T) {
	t.Parallel()
	w := NewWorld()
	t.Cleanup(w.Close)
	stunServer(t, w, "198.51.100.1")
	s, err := w.Site("203.0.113.1", "full-cone")
	if err != nil {
		t.Fatal(err)
	}
	if err := punch(t, s.Host("192.168.1.10"), s.Host("192.168.1.20"), 30*time.Second); err != nil {
		t.Error(err)
	}
}
