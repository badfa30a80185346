package defrag

import (
	"testing"
	"time"

	"github.com/moat-router/moat/stack/packet"
)

// FuzzAdd offers arbitrary datagrams, each a length byte and that many times four bytes, some of them cut from one.
func FuzzAdd(f *testing.F) {
	for _, v6 := range []bool{false, true} {
		s := udp(v6, 64)
		var all []byte
		for _, b := range [][]byte{s.cut(0, 32, true), s.cut(32, 64, false), s.cut(8, 16, true), s.cut(0, 64, false)} {
			for len(b)%4 != 0 {
				b = append(b, 0)
			}
			all = append(append(all, byte(len(b)/4)), b...)
		}
		f.Add(all)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		d := New(DefaultOptions())
		p := packet.New()
		var now packet.Time
		for len(in) > 0 {
			n := min(int(in[0])*4, len(in)-1)
			p.Load(in[1 : 1+n])
			in = in[1+n:]
			if len(p.Data) >= 20 && p.Data[0]>>4 == 4 && int(p.Data[0]&15)*4 <= len(p.Data) && p.Data[0]&15 >= 5 {
				sum4(p.Data) // or hardly anything gets in
			}
			if p.Parse() != packet.ReasonNone {
				continue
			}
			for _, user := range []uint32{UserConntrackIn(0), UserLocal} {
				w, r := d.Add(now, p, 1, user)
				ParamProblem(p)
				if w == nil {
					continue
				}
				// A whole IPv6 datagram may have another fragment header inside.
				if r != packet.ReasonNone || !w.V6 && (w.FragOff != 0 || w.MF) || len(w.Pieces) == 0 {
					t.Fatalf("whole with reason %d: %x", r, w.Data[:min(len(w.Data), 100)])
				}
				last := w.Pieces[len(w.Pieces)-1]
				if head := len(w.Data) - int(last.Off) - int(last.Len); head < 20 {
					t.Fatalf("pieces %v of %d bytes", w.Pieces, len(w.Data))
				}
				d.Done(w)
			}
			now = now.Add(time.Second)
		}
		d.Expire(now.Add(time.Hour), func(Expired) {})
		if s := d.Stats(); s.Queues != 0 || s.Memory != [3]int{} || s.Refused != 0 {
			t.Fatalf("left behind: %+v", s)
		}
	})
}
