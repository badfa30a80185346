package defrag

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/moat-router/moat/stack/packet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// shape is a datagram to be cut. opts are IPv4 options or, for IPv6, a whole extension header whose first byte is
// left to the builder, with its number.
type shape struct {
	v6      bool
	src     byte
	id      uint32
	proto   uint8
	tos     uint8
	opts    []byte
	ext     uint8
	payload []byte
}

// whole builds the datagram as it was before it was cut.
func (s shape) whole() []byte {
	if s.v6 {
		b := make([]byte, 40, 40+len(s.opts)+len(s.payload))
		b[0], b[1] = 0x60|s.tos>>4, s.tos<<4
		binary.BigEndian.PutUint16(b[4:], uint16(len(s.opts)+len(s.payload)))
		b[6], b[7] = s.proto, 64
		b[8], b[23], b[24], b[39] = 0xfd, s.src, 0xfd, 9
		if len(s.opts) > 0 {
			b[6] = s.ext
			b = append(b, s.opts...)
			b[40] = s.proto
		}
		return append(b, s.payload...)
	}
	b := make([]byte, 20, 20+len(s.opts)+len(s.payload))
	b[0], b[1] = byte(0x45+len(s.opts)/4), s.tos
	binary.BigEndian.PutUint16(b[2:], uint16(cap(b)))
	binary.BigEndian.PutUint16(b[4:], uint16(s.id))
	b[8], b[9] = 64, s.proto
	copy(b[12:], []byte{10, 0, 0, s.src, 10, 0, 1, 9})
	b = append(b, s.opts...)
	sum4(b)
	return append(b, s.payload...)
}

func sum4(b []byte) {
	h := header.IPv4(b)
	h.SetChecksum(0)
	h.SetChecksum(^h.CalculateChecksum())
}

// cut builds the fragment that carries payload[off:end]; change edits it before its checksum is made.
func (s shape) cut(off, end int, more bool, change ...func(b []byte)) []byte {
	c := s
	c.payload = s.payload[off:end]
	b := c.whole()
	m := uint16(0)
	if more {
		m = 1
	}
	if s.v6 {
		n := 40 + len(s.opts)
		f := make([]byte, 8)
		f[0] = s.proto
		binary.BigEndian.PutUint16(f[2:], uint16(off)|m)
		binary.BigEndian.PutUint32(f[4:], s.id)
		b = append(b[:n:n], append(f, c.payload...)...)
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
		if n > 40 {
			b[40] = nhFragment
		} else {
			b[6] = nhFragment
		}
	} else {
		binary.BigEndian.PutUint16(b[6:], uint16(off/8)|m<<13)
	}
	for _, f := range change {
		f(b)
	}
	if !s.v6 {
		sum4(b)
	}
	return b
}

func df(b []byte)               { b[6] |= 0x40 }
func ecn(v byte) func(b []byte) { return func(b []byte) { b[1] = b[1]&^3 | v } }

// add parses and offers one fragment.
func add(t testing.TB, d *Defrag, now packet.Time, b []byte, in int) (*packet.Packet, packet.Reason) {
	t.Helper()
	p := packet.New()
	p.Load(b)
	if r := p.Parse(); r != packet.ReasonNone {
		t.Fatalf("not accepted: reason %d: %x", r, b[:min(len(b), 60)])
	}
	return d.Add(now, p, in, UserConntrackIn(0))
}

func udp(v6 bool, n int) shape {
	s := shape{v6: v6, src: 1, id: 0x1234, proto: 17, payload: make([]byte, n)}
	for i := range s.payload {
		s.payload[i] = byte(i * 7)
	}
	return s
}

func TestRandomCutsInRandomOrderGiveTheOriginal(t *testing.T) {
	t.Parallel()
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 1))
		d := New(DefaultOptions())
		s := udp(seed%2 == 1, 8+r.IntN(3000))
		if seed%10 == 0 {
			s.payload = make([]byte, 60000)
		}
		for i := range s.payload {
			s.payload[i] = byte(r.Uint32())
		}
		switch r.IntN(3) {
		case 0:
			if s.v6 {
				s.opts, s.ext = []byte{0, 0, 1, 4, 0, 0, 0, 0}, nhHopByHop
			} else {
				s.opts = []byte{1, 1, 1, 0}
			}
		case 1:
			s.proto = []uint8{1, 2, 6, 50, 58, 132, 253}[r.IntN(7)]
		}
		var frags [][]byte
		for off := 0; off < len(s.payload); {
			end := min(len(s.payload), off+8*(1+r.IntN(1+len(s.payload)/16)))
			if off == 0 {
				end = min(len(s.payload), max(end, 24))
			}
			b := s.cut(off, end, end < len(s.payload))
			frags = append(frags, b)
			if r.IntN(5) == 0 && end < len(s.payload) {
				frags = append(frags, b)
			}
			off = end
		}
		if !s.v6 && len(frags) == 1 {
			continue
		}
		r.Shuffle(len(frags), func(i, j int) { frags[i], frags[j] = frags[j], frags[i] })
		var got *packet.Packet
		for _, b := range frags {
			if got != nil {
				break
			}
			got, _ = add(t, d, 0, b, 1)
		}
		if got == nil {
			t.Fatalf("seed %d: %d fragments of %d bytes are not whole: %+v", seed, len(frags), len(s.payload), d.Stats())
		}
		if want := s.whole(); !bytes.Equal(got.Data, want) {
			t.Fatalf("seed %d:\n got %x\nwant %x", seed, got.Data[:60], want[:min(60, len(want))])
		}
		if got.FragID != s.id || got.Proto != s.proto {
			t.Fatalf("seed %d: id %#x proto %d", seed, got.FragID, got.Proto)
		}
		for off, i := 0, 0; i < len(got.Pieces); i++ {
			if int(got.Pieces[i].Off) != off {
				t.Fatalf("seed %d: pieces %v", seed, got.Pieces)
			}
			off += int(got.Pieces[i].Len)
		}
		d.Done(got)
	}
}

// Each line is a sequence of fragments "[first,end) and + for more", what becomes of each, and for whom. Expected
// from ip_fragment.c, nf_conntrack_reasm.c and scenarios G03, G04.
func TestOddSequencesEndAsInLinux(t *testing.T) {
	t.Parallel()
	const (
		queued, dup, overlap = packet.ReasonFragQueued, packet.ReasonFragDuplicate, packet.ReasonFragOverlap
		bad, whole           = packet.ReasonFragMalformed, packet.ReasonNone
	)
	type frag struct {
		off, end int
		more     bool
		want     packet.Reason
	}
	tests := []struct {
		name   string
		v4, v6 bool
		frags  []frag
	}{
		{"contained in a run", true, true, []frag{{0, 32, true, queued}, {8, 16, true, dup}, {32, 40, false, whole}}},
		{"contained in a run of two", true, true, []frag{{0, 16, true, queued}, {16, 32, true, queued}, {8, 24, true, dup}, {32, 40, false, whole}}},
		{"across two runs", true, true, []frag{{16, 32, true, queued}, {0, 16, true, queued}, {8, 24, true, overlap}, {32, 40, false, queued}}},
		{"tail overlap", true, true, []frag{{0, 32, true, queued}, {24, 48, true, overlap}, {48, 64, false, queued}}},
		{"head overlaps the last", true, true, []frag{{32, 64, false, queued}, {0, 40, true, overlap}}},
		{"covers the only one", true, true, []frag{{8, 16, true, queued}, {0, 24, true, overlap}}},
		{"the same twice, then whole", true, true, []frag{{0, 32, true, queued}, {0, 32, true, dup}, {32, 64, false, whole}, {32, 64, false, queued}}},
		{"beyond the end, IPv4", true, false, []frag{{32, 64, false, queued}, {64, 80, true, bad}, {0, 32, true, queued}, {32, 64, false, whole}}},
		{"beyond the end, IPv6", false, true, []frag{{32, 64, false, queued}, {64, 80, true, bad}, {0, 32, true, whole}}},
		{"two ends, IPv4", true, false, []frag{{32, 64, false, queued}, {40, 72, false, bad}, {0, 32, true, queued}}},
		{"two ends, IPv6", false, true, []frag{{32, 64, false, queued}, {40, 72, false, bad}, {0, 32, true, whole}}},
		{"no payload, IPv4", true, false, []frag{{0, 32, true, queued}, {32, 32, true, bad}, {32, 64, false, queued}}},
		{"no payload, IPv6", false, true, []frag{{0, 32, true, queued}, {32, 32, true, bad}, {32, 64, false, whole}}},
		{"odd length, IPv4", true, false, []frag{{0, 37, true, queued}, {32, 64, false, whole}}},
		{"odd length, IPv6", false, true, []frag{{0, 37, true, packet.ReasonNone}, {0, 32, true, queued}, {32, 64, false, whole}}},
		{"odd length in a queue, IPv6", false, true, []frag{{0, 32, true, queued}, {32, 37, true, packet.ReasonNone}, {32, 64, false, queued}}},
		{"atomic", false, true, []frag{{0, 64, false, whole}}},
		{"atomic in a queue", false, true, []frag{{0, 32, true, queued}, {0, 64, false, overlap}}},
	}
	for _, tt := range tests {
		for _, v6 := range []bool{false, true} {
			if v6 && !tt.v6 || !v6 && !tt.v4 {
				continue
			}
			t.Run(fmt.Sprintf("%s v6=%t", tt.name, v6), func(t *testing.T) {
				d := New(DefaultOptions())
				s := udp(v6, 128)
				for i, f := range tt.frags {
					w, r := add(t, d, 0, s.cut(f.off, f.end, f.more), 1)
					if r != f.want {
						t.Fatalf("fragment %d [%d,%d): reason %d, want %d", i, f.off, f.end, r, f.want)
					}
					odd := v6 && f.more && (f.end-f.off)%8 != 0
					if whole := r == packet.ReasonNone && !odd; whole != (w != nil) {
						t.Fatalf("fragment %d: whole %v, reason %d", i, w != nil, r)
					}
					if w != nil && !bytes.Equal(w.Data[w.L4:], s.payload[:len(w.Data)-w.L4]) {
						t.Fatalf("fragment %d: payload differs", i)
					}
				}
			})
		}
	}
}

func TestECNOfTheWhole(t *testing.T) {
	t.Parallel()
	const notECT, ect1, ect0, ce = 0, 1, 2, 3
	tests := []struct {
		a, b byte
		want int // -1: dropped (RFC 3168 5.3)
	}{
		{notECT, notECT, notECT}, {ect0, ect0, ect0}, {ect1, ect1, ect1}, {ce, ce, ce}, {ect0, ce, ce}, {ce, ect0, ce}, {ect1, ce, ce},
		{ect0, ect1, ect0}, {notECT, ce, -1}, {notECT, ect0, -1}, {ect1, notECT, -1},
	}
	for _, tt := range tests {
		d, s := New(DefaultOptions()), udp(false, 64)
		add(t, d, 0, s.cut(0, 32, true, ecn(tt.a)), 1)
		w, r := add(t, d, 0, s.cut(32, 64, false, ecn(tt.b)), 1)
		switch {
		case tt.want < 0:
			if w != nil || r != packet.ReasonFragMalformed {
				t.Errorf("%d+%d: whole %v, reason %d", tt.a, tt.b, w != nil, r)
			}
		case w == nil || int(w.Data[1]&3) != tt.want || int(w.FragECN) != tt.want:
			t.Errorf("%d+%d: not whole with %d", tt.a, tt.b, tt.want)
		}
	}
}

func TestDFStaysIfTheLargestFragmentHadIt(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		first, second func([]byte)
		want          bool
	}{
		{df, df, true}, {df, func([]byte) {}, true}, {func([]byte) {}, df, false},
	} {
		d, s := New(DefaultOptions()), udp(false, 100)
		add(t, d, 0, s.cut(0, 64, true, tt.first), 1)
		w, _ := add(t, d, 0, s.cut(64, 100, false, tt.second), 1)
		if w == nil || w.Data[6] != map[bool]byte{true: 0x40}[tt.want] || !w.FragDF || w.FragMax != 84 {
			t.Errorf("DF is not %t on the whole, or FragDF, FragMax are wrong", tt.want)
		}
	}
}

func TestPingOfDeathDiesWhenItIsComplete(t *testing.T) {
	t.Parallel()
	d := New(DefaultOptions())
	s := udp(false, 65600)
	var r packet.Reason
	var w *packet.Packet
	for off := 0; off < len(s.payload); off += 1480 {
		end := min(off+1480, len(s.payload))
		if w, r = add(t, d, 0, s.cut(off, end, end < len(s.payload)), 1); w != nil {
			t.Fatal("whole")
		}
	}
	if r != packet.ReasonFragMalformed || d.Stats().Queues != 0 {
		t.Fatalf("reason %d, %+v", r, d.Stats())
	}
}

// Expected from the kernel: 6.18 forwards such a fragment as it is where conntrack reassembles.
func TestFirstFragmentWithoutAllHeadersPassesConntrackAndDiesLocally(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		proto uint8
		chain []byte // extension header that begins the payload
		n     int
		cut   bool
	}{
		{6, nil, 16, true}, {6, nil, 24, false}, {17, nil, 8, false}, {58, nil, 8, false},
		{nhDestOpts, []byte{17, 0}, 8, true},          // 8 bytes of options and nothing behind them
		{nhDestOpts, []byte{17, 1}, 8, true},          // 8 of 16 bytes of options
		{nhDestOpts, []byte{nhDestOpts, 1}, 8, false}, // the chain leaves the fragment: not judged
	} {
		d, s := New(DefaultOptions()), udp(true, 64)
		s.proto = tt.proto
		copy(s.payload, tt.chain)
		b := s.cut(0, tt.n, true)
		want := map[bool]packet.Reason{true: packet.ReasonNone, false: packet.ReasonFragQueued}[tt.cut]
		if w, r := add(t, d, 0, b, 1); r != want || w != nil {
			t.Errorf("proto %d with %d bytes: reason %d, want %d", tt.proto, tt.n, r, want)
		}
		p := packet.New()
		p.Load(b)
		p.Parse()
		_, r := d.Add(0, p, 1, UserLocal)
		code, ptr, ok := ParamProblem(p)
		if ok != tt.cut || ok && (code != 3 || ptr != 0) || (r == packet.ReasonFragMalformed) != tt.cut {
			t.Errorf("local, proto %d with %d bytes: reason %d, %d/%d %t", tt.proto, tt.n, r, code, ptr, ok)
		}
	}
}

// Each line is what the kernel did with fragments of protocol 253 to its own address and no conntrack: an answer 4/1
// shows that the datagram became whole.
func TestLocalDeliveryOfIPv6IsStricter(t *testing.T) {
	t.Parallel()
	type frag struct {
		off, end int
		more     bool
	}
	a, b := frag{0, 32, true}, frag{32, 64, false}
	tests := []struct {
		name  string
		frags []frag
		whole bool
		ptr   uint32 // of the 4/0 for the fragment in the middle; 0: none
	}{
		{"plain", []frag{a, b}, true, 0},
		{"odd length", []frag{a, {32, 37, true}, b}, true, 4},
		{"beyond 65535", []frag{a, {65528, 65544, false}, b}, true, 42},
		{"two ends", []frag{b, {40, 72, false}, a}, false, 0},
		{"no payload", []frag{a, {32, 32, true}, b}, false, 0},
		{"beyond the end", []frag{b, {64, 80, true}, a}, false, 0},
		{"duplicate", []frag{a, a, b}, true, 0},
		{"atomic with the same id", []frag{a, {0, 16, false}, b}, true, 0},
	}
	for _, tt := range tests {
		d, s := New(DefaultOptions()), udp(true, 66000)
		s.proto = 253
		whole := false
		for i, f := range tt.frags {
			p := packet.New()
			p.Load(s.cut(f.off, f.end, f.more))
			p.Parse()
			w, _ := d.Add(0, p, 1, UserLocal)
			whole = w != nil
			if _, ptr, _ := ParamProblem(p); i == 1 && ptr != tt.ptr {
				t.Errorf("%s: pointer %d, want %d", tt.name, ptr, tt.ptr)
			}
		}
		if whole != tt.whole {
			t.Errorf("%s: whole %t, want %t", tt.name, whole, tt.whole)
		}
	}
}

func TestInterfacesMeetUnlessTheDestinationIsOfOneLink(t *testing.T) {
	t.Parallel()
	multicast := func(b []byte) { b[24] = 0xff }
	for _, tt := range []struct {
		v6     bool
		change func([]byte)
		want   bool
	}{
		{false, func([]byte) {}, true}, {true, func([]byte) {}, true}, {true, multicast, false},
	} {
		d, s := New(DefaultOptions()), udp(tt.v6, 64)
		add(t, d, 0, s.cut(0, 32, true, tt.change), 1)
		if w, _ := add(t, d, 0, s.cut(32, 64, false, tt.change), 2); (w != nil) != tt.want {
			t.Errorf("v6=%t: whole %t", tt.v6, w != nil)
		}
	}
}

func TestExpiryIsOrderedAndKeepsFragmentZero(t *testing.T) {
	t.Parallel()
	d := New(DefaultOptions())
	sec := packet.Time(time.Second)
	four, six := udp(false, 64), udp(true, 64)
	first := four.cut(0, 32, true)
	add(t, d, 0, six.cut(32, 64, false), 7)
	add(t, d, sec, four.cut(32, 40, true), 2)
	add(t, d, 20*sec, first, 3)
	if at, ok := d.Next(); !ok || at != 31*sec {
		t.Fatalf("next %v %t", at, ok)
	}
	var got []Expired
	d.Expire(31*sec-1, func(e Expired) { got = append(got, e) })
	if len(got) != 0 {
		t.Fatal("too early")
	}
	d.Expire(100*sec, func(e Expired) { got = append(got, e) })
	if len(got) != 2 || got[0].V6 || !got[1].V6 || !bytes.Equal(got[0].First, first) || got[0].In != 3 || got[1].First != nil || got[1].At != 60*sec {
		t.Fatalf("%+v", got)
	}
	if s := d.Stats(); s.Queues != 0 || s.Memory != [3]int{} {
		t.Fatalf("%+v", s)
	}
}

func TestALateFragmentDoesNotJoinAnExpiredDatagram(t *testing.T) {
	t.Parallel()
	d, s := New(DefaultOptions()), udp(false, 64)
	add(t, d, 0, s.cut(0, 32, true), 1)
	if w, r := add(t, d, packet.Time(30*time.Second), s.cut(32, 64, false), 1); w != nil || r != packet.ReasonFragQueued {
		t.Fatalf("whole %t reason %d", w != nil, r)
	}
	n := 0
	d.Expire(packet.Time(time.Hour), func(Expired) { n++ })
	if n != 2 || d.Stats().Memory != [3]int{} {
		t.Fatalf("%d expired, %+v", n, d.Stats())
	}
}

func TestMaxDistThrowsAwayWhatIsTooFarApart(t *testing.T) {
	t.Parallel()
	for between, want := range map[int]bool{63: true, 64: false} {
		d, s := New(DefaultOptions()), udp(false, 64)
		add(t, d, 0, s.cut(0, 32, true), 1)
		for i := range between {
			o := s
			o.id = uint32(0x4000 + i)
			add(t, d, 0, o.cut(0, 32, true), 1)
		}
		if w, _ := add(t, d, 0, s.cut(32, 64, false), 1); (w != nil) != want {
			t.Errorf("%d fragments between: whole %t, want %t", between, w != nil, want)
		}
	}
}

func TestFloodStaysWithinItsLimit(t *testing.T) {
	t.Parallel()
	for _, share := range []int{0, 256 << 10} {
		o := DefaultOptions()
		o.PerSource, o.V4.MaxDist = share, 0
		d := New(o)
		flood := udp(false, 1400)
		refused := 0
		for id := range uint32(20000) {
			flood.id = id
			if _, r := add(t, d, 0, flood.cut(0, 1400, true), 1); r == packet.ReasonFragLimit {
				refused++
			}
		}
		if m := d.Stats().Memory[0]; m > 4<<20+4096 || m < 4<<20 || refused == 0 {
			t.Fatalf("memory %d, refused %d", m, refused)
		}
		// Somebody else sends one datagram.
		s := udp(false, 4000)
		s.src = 2
		var w *packet.Packet
		for off := 0; off < 4000; off += 1000 {
			w, _ = add(t, d, 0, s.cut(off, off+1000, off+1000 < 4000), 1)
		}
		if (w != nil) != (share > 0) {
			t.Errorf("share %d: whole %t", share, w != nil)
		}
	}
}

func TestManySpoofedSourcesDoNotStarveALiveDatagram(t *testing.T) {
	t.Parallel()
	d := New(DefaultOptions())
	flood := udp(true, 1000)
	b := flood.cut(0, 1000, true)
	for i := range uint32(10000) {
		binary.BigEndian.PutUint32(b[12:], i)
		add(t, d, 0, b, 1)
	}
	s := udp(true, 3000)
	s.src = 2
	add(t, d, 0, s.cut(0, 1000, true), 1)
	add(t, d, 0, s.cut(1000, 2000, true), 1)
	if w, _ := add(t, d, 0, s.cut(2000, 3000, false), 1); w == nil {
		t.Fatalf("starved: %+v", d.Stats())
	}
}

func TestAllGivesBackTheSameBytes(t *testing.T) {
	t.Parallel()
	d := New(DefaultOptions())
	for _, v6 := range []bool{false, true} {
		for _, n := range []int{0, 1, 8, 1400, 65000} {
			want := udp(v6, n).whole()
			p := packet.New()
			p.Load(want)
			p.Parse()
			if !d.All(0, p) || !bytes.Equal(p.Data, want) {
				t.Errorf("v6=%t %d bytes", v6, n)
			}
		}
	}
}

func TestTinyFragmentsOfALargeDatagramPassGVisor(t *testing.T) {
	t.Parallel()
	o := DefaultOptions()
	o.V4.High = 64 << 20
	d, s := New(o), udp(false, 65512)
	var w *packet.Packet
	for off := 0; off < len(s.payload); off += 8 {
		w, _ = add(t, d, 0, s.cut(off, off+8, off+8 < len(s.payload)), 1)
	}
	if w == nil || !bytes.Equal(w.Data, s.whole()) || len(w.Pieces) != len(s.payload)/8 {
		t.Fatalf("%+v", d.Stats())
	}
}

func BenchmarkThreeFragments(b *testing.B) {
	for _, v6 := range []bool{false, true} {
		b.Run(fmt.Sprintf("v6=%t", v6), func(b *testing.B) {
			d, s := New(DefaultOptions()), udp(v6, 3000)
			var ps [3]*packet.Packet
			for i := range ps {
				ps[i] = packet.New()
				ps[i].Load(s.cut(i*1000, i*1000+1000, i < 2))
				ps[i].Parse()
			}
			b.ReportAllocs()
			for b.Loop() {
				for _, p := range ps {
					if w, _ := d.Add(0, p, 1, UserConntrackIn(0)); w != nil {
						d.Done(w)
					}
				}
			}
		})
	}
}
