package nat_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/policy/nat"
	"github.com/moat-router/moat/policy/nat/walktest"
	"github.com/moat-router/moat/stack/packet"
)

// Two workers meet the first two datagrams of one flow and give them different ports. Both leave; the later entry only
// answers to its own port, for a second, and the flow goes on with the first one's.
func TestClashWithDifferentPortsLetsBothAnswersIn(t *testing.T) {
	t.Parallel()
	tab := conntrack.New(conntrack.Options{Seed: 1})
	rng := rand.New(rand.NewPCG(1, 1))
	r := walktest.Range("1.2.3.1")
	r.Flags |= nat.RandomFully
	var refs [2]conntrack.Ref
	var packets [2]*packet.Packet
	for i := range refs {
		packets[i] = parsed(t, udp(10, 5000, "198.51.100.9"))
		if why := tab.In(0, packets[i], &refs[i], conntrack.HookInfo{}, rng); why != packet.ReasonNone {
			t.Fatal(why)
		}
		nat.NullBinding(tab, 0, refs[i].Conn, nat.ManipDst, rng)
		nat.Setup(tab, 0, refs[i].Conn, r, nat.ManipSrc, rng)
	}
	if refs[0].Conn.Tuple(conntrack.Reply) == refs[1].Conn.Tuple(conntrack.Reply) {
		t.Fatal("both were given the same port")
	}
	var replies [2]conntrack.Tuple
	for i := range refs {
		if why := tab.Confirm(0, packets[i], &refs[i], rng); why != packet.ReasonNone {
			t.Fatalf("packet %d: %v", i, why)
		}
		replies[i] = *refs[i].Conn.Tuple(conntrack.Reply)
	}
	for i, k := range replies {
		ref, ok := tab.Find(0, k)
		if !ok || ref.Conn != refs[i].Conn {
			t.Errorf("the answer to packet %d does not find its connection", i)
		}
		tab.Release(&ref)
	}
	if ref, _ := tab.Find(0, *refs[1].Conn.Tuple(conntrack.Original)); ref.Conn != refs[0].Conn {
		t.Error("the flow does not go on with the first connection")
	} else {
		tab.Release(&ref)
	}
	if n := len(tab.ProcLines(0)); n != 1 {
		t.Errorf("%d connections are listed, want 1", n)
	}
	for i := range refs {
		tab.Release(&refs[i])
	}
	tab.Advance(packet.Time(2 * time.Second))
	if _, ok := tab.Find(packet.Time(2*time.Second), replies[1]); ok || tab.Count() != 1 {
		t.Errorf("the second entry outlives its second: %d connections", tab.Count())
	}
}
