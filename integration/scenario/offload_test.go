package scenario

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/moat-router/moat/stack/frag"
	"github.com/moat-router/moat/stack/packet"
)

// segments are what a sender without offload would have sent instead of what o makes of b.
func segments(t *testing.T, b []byte, o Offload) (all [][]byte) {
	t.Helper()
	data, beside, err := o.Of(b)
	if err != nil {
		t.Fatal(err)
	}
	p := packet.New()
	p.Load(data)
	p.Offload = beside
	if why := p.Parse(); why != packet.ReasonNone {
		t.Fatal(why)
	}
	if p.GSO == packet.GSONone {
		return [][]byte{b}
	}
	if err := frag.Segment(p, packet.New(), func(s *packet.Packet) error {
		all = append(all, bytes.Clone(s.Data))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// segmented is a Player that gets ordinary packets where the scenario has offloads.
type segmented struct {
	Player
	t *testing.T
}

func (s segmented) Ask(r *Request) (*Answer, error) {
	q := *r
	q.Interfaces, q.Hex, q.Offload = slices.Clone(r.Interfaces), nil, Offload{}
	for i := range q.Interfaces {
		q.Interfaces[i].Offload = false
	}
	for _, h := range r.Hex {
		b, err := decodeHex(h)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, x := range segments(s.t, b, r.Offload) {
			q.Hex = append(q.Hex, fmt.Sprintf("%x", x))
		}
	}
	return s.Player.Ask(&q)
}

// Flows go through conntrack, NAT and mangle once as super-segments, over links that take them and links that do not, and once
// as the segments that these stand for. What leaves is the same to the byte, and so is what conntrack knows of the flows,
// but for how often it counted.
func TestSuperSegmentsLeaveAsTheirSegments(t *testing.T) {
	t.Parallel()
	for _, s := range load(t, offloads) {
		switch strings.TrimSuffix(s.Name, "-cut") {
		case "O04-count", // what counts packets counts others
			"O07-reset-tee": // each segment is answered
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			s.Expected, s.Recorded = nil, nil
			var out [2][]string
			var entries [2][]string
			for i := range out {
				m := NewMachine(1)
				defer m.Close()
				var p Player = m
				if i == 1 {
					p = segmented{m, t}
				}
				run, err := Play(p, s)
				if err != nil {
					t.Fatal(err)
				}
				for n, o := range run.Steps {
					for _, x := range o.Out {
						for _, b := range segments(t, x.Data, Offload{GSO: x.GSO}) {
							out[i] = append(out[i], fmt.Sprintf("step %d %s: %s %x", n, x.If, packet.Text(b), b))
						}
					}
				}
				for _, e := range run.Steps[len(run.Steps)-1].Entries {
					delete(e.Orig, "packets")
					delete(e.Orig, "bytes")
					delete(e.Reply, "packets")
					delete(e.Reply, "bytes")
					entries[i] = append(entries[i], fmt.Sprint(e.Timeout, " ", e))
				}
				slices.Sort(entries[i])
			}
			if len(out[0]) == 0 || len(entries[0]) == 0 {
				t.Fatal("nothing left, or nothing is known")
			}
			for _, l := range append(diffLists(out[1], out[0]), diffLists(entries[1], entries[0])...) {
				t.Error(l)
			}
		})
	}
}
