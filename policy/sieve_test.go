package policy

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/moat-router/moat/stack/packet"
)

// portRange is a Match of ports as -m udp is.
type portRange struct{ src, dst [2]uint16 }

func (m *portRange) Name() string                { return "range" }
func (m *portRange) AppendSave(b []byte) []byte  { return b }
func (m *portRange) Ports() (src, dst [2]uint16) { return m.src, m.dst }

func (m *portRange) Match(p *Packet) bool {
	src, dst, ok := p.Ports()
	return ok && src >= m.src[0] && src <= m.src[1] && dst >= m.dst[0] && dst <= m.dst[1]
}

// TestSieveHoldsBackNoRuleThatMatches compares, for random rules and packets that nearly fit them, what falls through a
// sieve with what the head and the match say of it.
func TestSieveHoldsBackNoRuleThatMatches(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	packets := []string{
		"ip4 10.66.1.2>192.0.2.1 / tcp 25>80 A len=10",
		"ip4 10.66.1.2>192.0.2.1 / udp 53>53 len=20",
		"ip4 10.66.1.2>192.0.2.1 / udp 53>53 len=4",
		"ip4 10.67.0.1>192.0.2.1 / icmp 8/0 id=1 seq=1",
		"ip4 10.66.1.2>192.0.2.1 off=8 / udp 53>53 len=20",
		"ip6 2001:db8:1:2::3>2001:db8::1 / tcp 25>80 A len=10",
		"ip6 2001:db8:1:2::3>2001:db8::1 / udp 53>53 len=20",
	}
	names := []string{"", "lan", "lan+", "wan", "lax", "l+"}
	devs := []*Dev{nil, {Name: "lan", Index: 1}, {Name: "wan", Index: 2}}
	matched := 0
	for range 20000 {
		b, err := packet.Build(packets[rng.IntN(len(packets))])
		if err != nil {
			t.Fatal(err)
		}
		d := packet.New()
		d.Load(b)
		if why := d.Parse(); why != packet.ReasonNone {
			t.Fatal(why)
		}
		p := &Packet{Packet: d, In: devs[rng.IntN(3)], Out: devs[rng.IntN(3)]}
		r := randomRule(rng, p, names)
		fam := FamilyOf(p.V6)
		c := &Chain{Rules: []*Rule{r}, heads: []headProg{r.Head.compile(fam)}, sieves: []sieve{sieveFor(r, fam)}}
		var k sifted
		k.read(p)
		sieved := sift(c.sieves, 0, &k) == 0
		k.blind = true
		full := c.next(0, p, &k) == 0 && r.matchAll(p)
		if full {
			matched++
		}
		if full && !sieved {
			t.Fatalf("%s falls through the sieve of a rule that matches it: %+v", packet.Text(b), r.Head)
		}
	}
	if matched < 500 {
		t.Errorf("only %d of the random rules matched: the test says little", matched)
	}
}

func randomRule(rng *rand.Rand, p *Packet, names []string) *Rule {
	maybe := func() bool { return rng.IntN(3) == 0 }
	r := &Rule{}
	h := &r.Head
	prefix := func(a packet.Addr) (packet.Addr, packet.Addr) {
		var m packet.Addr
		from, bits := 0, rng.IntN(129)
		if !p.V6 {
			from, bits = 96, 96+rng.IntN(33)
		}
		for i := from; i < bits; i++ {
			m[i/8] |= 0x80 >> (i % 8)
		}
		if maybe() { // a neighbour
			a[rng.IntN(16-from/8)+from/8] ^= 1 << rng.IntN(8)
		}
		for i := range a {
			a[i] &= m[i]
		}
		return a, m
	}
	if maybe() {
		h.Src, h.SrcMask = prefix(p.Src())
		h.NotSrc = maybe()
	}
	if maybe() {
		h.Dst, h.DstMask = prefix(p.Dst())
		h.NotDst = maybe()
	}
	if maybe() {
		h.In, h.NotIn = names[rng.IntN(len(names))], maybe()
	}
	if maybe() {
		h.Out, h.NotOut = names[rng.IntN(len(names))], maybe()
	}
	if maybe() {
		h.Proto, h.ProtoSet, h.NotProto = []uint8{6, 17, 1}[rng.IntN(3)], true, maybe()
	}
	if maybe() && p.L4Len() >= 4 {
		near := func(v uint16) [2]uint16 { return [2]uint16{v - uint16(rng.IntN(3)), v + uint16(rng.IntN(3)) - 1} }
		t := p.L4Bytes()
		r.Matches = []Match{&portRange{near(binary.BigEndian.Uint16(t)), near(binary.BigEndian.Uint16(t[2:]))}}
	}
	return r
}
