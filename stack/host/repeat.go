package host

import (
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/moat-router/moat/stack/packet"
)

// chance is everything of a stack that happens by chance, from one seed: initial sequence numbers, ports, offsets of
// timestamps. It is gVisor's source of secure random numbers and of the other kind.
type chance struct {
	mu  sync.Mutex
	rnd *rand.ChaCha8
}

// newChance makes hosts differ that share a seed.
func newChance(seed uint64, name string) *chance {
	h := fnv.New64a()
	h.Write([]byte(name))
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	binary.LittleEndian.PutUint64(key[8:], h.Sum64())
	return &chance{rnd: rand.NewChaCha8(key)}
}

// Read implements io.Reader.
func (c *chance) Read(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rnd.Read(b)
}

// Int63 implements rand.Source of math/rand.
func (c *chance) Int63() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int64(c.rnd.Uint64() >> 1)
}

// Seed is not for a source that has one.
func (c *chance) Seed(int64) {}

// identities numbers datagrams of IPv4. gVisor's numbers come from a generator of the process that cannot be seeded; these
// count up by flow, as Linux counts by socket, so that what one connection sends does not depend on what others do at
// the same time.
type identities struct {
	key  uint64
	next [1 << identBits]uint16
}

const identBits = 10

func newIdentities(c *chance) *identities {
	var key [8]byte
	c.Read(key[:])
	return &identities{key: binary.LittleEndian.Uint64(key[:])}
}

// renumber gives a datagram that leaves its number; a super-segment takes as many as it has segments. Fragments keep
// theirs, by which they belong together.
func (i *identities) renumber(p *packet.Packet) {
	b := p.Data
	if len(b) < header.IPv4MinimumSize || b[0]>>4 != 4 {
		return
	}
	ip := header.IPv4(b)
	n := int(ip.HeaderLength())
	if n < header.IPv4MinimumSize || n > len(b) || ip.More() || ip.FragmentOffset() != 0 {
		return
	}
	k := i.bucket(b, n)
	i.next[k]++
	ip.SetID(i.next[k])
	if p.GSO != packet.GSONone && p.GSOSize > 0 {
		i.next[k] += uint16((len(b) - int(p.HdrLen) - 1) / int(p.GSOSize))
	}
	packet.SetIPv4Checksum(b[:n])
}

// bucket is the counter of a whole datagram with n bytes of header.
func (i *identities) bucket(b []byte, n int) uint64 {
	h := i.key ^ binary.BigEndian.Uint64(b[12:20])
	h = h*prime + uint64(b[9])
	if ports := b[9] == packet.ProtoTCP || b[9] == packet.ProtoUDP; ports && len(b) >= n+4 {
		h = h*prime + uint64(binary.BigEndian.Uint32(b[n:]))
	}
	return h * prime >> (64 - identBits)
}

// prime spreads (Knuth's multiplicative hashing).
const prime = 0x9e3779b97f4a7c15
