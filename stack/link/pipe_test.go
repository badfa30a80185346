package link

import (
	"bytes"
	"errors"
	"testing"

	"github.com/moat-router/moat/stack/packet"
)

func datagram(b ...byte) *packet.Packet {
	p := packet.New()
	p.Load(b)
	return p
}

func drain(e *End) (got [][]byte) {
	e.Pump(func(batch []*packet.Packet) {
		for _, p := range batch {
			got = append(got, bytes.Clone(p.Data))
		}
	})
	return got
}

func TestPipeKeepsOrderAndCopies(t *testing.T) {
	t.Parallel()
	a, b := Pipe("a", "b", PipeOptions{})
	p := datagram(1)
	for i := byte(1); i <= 3; i++ {
		p.Load([]byte{i})
		if n, err := a.Send(0, []*packet.Packet{p}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	if got := drain(b); len(got) != 3 || got[0][0] != 1 || got[1][0] != 2 || got[2][0] != 3 {
		t.Fatalf("got %v, want 1 2 3 although the sender reused its packet", got)
	}
	if got := drain(a); len(got) != 0 {
		t.Fatalf("the sender's own end received %v", got)
	}
}

func TestPipeCarriesOffload(t *testing.T) {
	t.Parallel()
	a, b := Pipe("a", "b", PipeOptions{MTU: 100})
	p := datagram(make([]byte, 300)...)
	p.Offload = packet.Offload{GSO: packet.GSOTCPv4, GSOSize: 60, HdrLen: 40, NeedsCsum: true, CsumStart: 20, CsumOff: 16}
	if _, err := a.Send(0, []*packet.Packet{p}); err != nil {
		t.Fatalf("a super-segment counts by its segments: %v", err)
	}
	b.Pump(func(batch []*packet.Packet) {
		if batch[0].Offload != p.Offload {
			t.Errorf("offload %+v, want %+v", batch[0].Offload, p.Offload)
		}
	})
	p.GSOSize = 61
	if _, err := a.Send(0, []*packet.Packet{p}); !errors.Is(err, ErrTooBig) {
		t.Errorf("segments of 101 bytes over MTU 100: %v, want ErrTooBig", err)
	}
}

func TestPipeRefusals(t *testing.T) {
	t.Parallel()
	a, b := Pipe("a", "b", PipeOptions{Slots: 2})
	three := []*packet.Packet{datagram(1), datagram(2), datagram(3)}
	if n, err := a.Send(0, three); n != 2 || !errors.Is(err, ErrFull) {
		t.Errorf("3 into 2 slots: %d, %v; want 2, ErrFull", n, err)
	}
	b.SetUp(false)
	if n, err := a.Send(0, three); n != 0 || !errors.Is(err, ErrDown) {
		t.Errorf("far end down: %d, %v; want 0, ErrDown", n, err)
	}
	b.SetUp(true)
	if got := drain(b); len(got) != 2 {
		t.Errorf("what waited before the link went down: %d, want 2", len(got))
	}
	a.Close()
	if n, err := b.Send(0, three); n != 0 || !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %d, %v; want 0, ErrClosed", n, err)
	}
	if err := b.Serve(0, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Serve of a closed pipe: %v", err)
	}
}

func TestPumpLeavesWhatTheHandlerCausesForTheNextPump(t *testing.T) {
	t.Parallel()
	a, b := Pipe("a", "b", PipeOptions{})
	echo := func(e *End) func([]*packet.Packet) {
		return func(batch []*packet.Packet) { e.Send(0, batch) }
	}
	a.Send(0, []*packet.Packet{datagram(7)})
	for range 3 {
		if n := b.Pump(echo(b)); n != 1 {
			t.Fatalf("b handled %d, want 1", n)
		}
		if n := a.Pump(echo(a)); n != 1 {
			t.Fatalf("a handled %d, want 1", n)
		}
	}
}

func TestServeRunsUntilClose(t *testing.T) {
	t.Parallel()
	a, b := Pipe("a", "b", PipeOptions{})
	got, done := make(chan byte), make(chan error)
	go func() {
		done <- b.Serve(0, func(batch []*packet.Packet) {
			for _, p := range batch {
				got <- p.Data[0]
			}
		})
	}()
	for i := range byte(100) {
		a.Send(0, []*packet.Packet{datagram(i)})
		if g := <-got; g != i {
			t.Fatalf("got %d, want %d", g, i)
		}
	}
	b.Close()
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

func TestWarmPipeDoesNotAllocate(t *testing.T) {
	a, b := Pipe("a", "b", PipeOptions{Slots: 4})
	batch := []*packet.Packet{datagram(make([]byte, 1400)...)}
	h := func([]*packet.Packet) {}
	round := func() { a.Send(0, batch); b.Pump(h) }
	for range 8 {
		round()
	}
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%v allocations per datagram", n)
	}
}

func TestTapSeesBothDirections(t *testing.T) {
	t.Parallel()
	a, b := Pipe("a", "b", PipeOptions{Slots: 1})
	seen := make(chan Dir, 4)
	l := Tap(b, func(d Dir, p *packet.Packet) { seen <- d })
	if n, _ := l.Send(0, []*packet.Packet{datagram(1), datagram(2)}); n != 1 || len(seen) != 1 || <-seen != Out {
		t.Errorf("Send of which 1 of 2 fit: %d sent, %d seen", n, len(seen))
	}
	a.Send(0, []*packet.Packet{datagram(3)})
	go l.Serve(0, func([]*packet.Packet) {})
	if d := <-seen; d != In {
		t.Errorf("direction %v, want in", d)
	}
	l.Close()
}
