package link

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/moat-router/moat/stack/packet"
)

func TestRingGivesBackWhatWasPutIn(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	r := ring{most: 50}
	var model [][]byte
	p := packet.New()
	for step := range 20000 {
		if rnd.IntN(100) < 40+20*(step/1000%2) { // fills and empties by turns
			b := make([]byte, 1+rnd.IntN(3000))
			for i := range b {
				b[i] = byte(rnd.Uint32())
			}
			p.Load(b)
			p.GSOSize = uint16(len(b))
			if ok := r.put(p); ok != (len(model) < 50) {
				t.Fatalf("step %d: put with %d of 50 waiting: %v", step, len(model), ok)
			} else if ok {
				model = append(model, b)
			}
		} else if len(model) > 0 {
			r.take(p)
			if !bytes.Equal(p.Data, model[0]) || int(p.GSOSize) != len(model[0]) {
				t.Fatalf("step %d: another datagram of %d bytes than the one of %d that was first", step, len(p.Data), len(model[0]))
			}
			model = model[1:]
		}
		if r.n != len(model) {
			t.Fatalf("step %d: %d wait, want %d", step, r.n, len(model))
		}
	}
}

func TestRingIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	a, b := Pipe("a", "b", PipeOptions{MTU: 65535})
	p := packet.New()
	p.Load(make([]byte, 65535))
	sent := 0
	for sent < DefaultSlots {
		if n, _ := a.Send(0, []*packet.Packet{p}); n == 0 {
			break
		}
		sent++
	}
	if want := maxWaiting / 65535; sent != want {
		t.Errorf("%d datagrams of 64 KiB wait, want %d", sent, want)
	}
	if got := drain(b); len(got) != sent {
		t.Errorf("%d of %d came out", len(got), sent)
	}
}
