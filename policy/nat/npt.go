package nat

import (
	"encoding/binary"
	"errors"

	"github.com/moat-router/moat/stack/packet"
)

// NPT is stateless prefix translation (RFC 6296, ip6t_NPT.c): one prefix becomes another, and a word of the address that
// is not part of it takes up the difference, so that no checksum changes. -j SNPT maps sources, -j DNPT destinations;
// From is --src-pfx, To is --dst-pfx of the rule.
type NPT struct {
	from, to       packet.Addr
	fromLen, toLen int
	adjust         uint16
}

// NewNPT checks the prefixes: at most 64 bits, and nothing behind them.
func NewNPT(from packet.Addr, fromLen int, to packet.Addr, toLen int) (NPT, error) {
	n := NPT{from: from, to: to, fromLen: fromLen, toLen: toLen}
	if fromLen < 0 || toLen < 0 || fromLen > 64 || toLen > 64 {
		return n, errors.New("prefixes of NPT have at most 64 bits")
	}
	if prefix(from, fromLen) != from || prefix(to, toLen) != to {
		return n, errors.New("bits are set behind the prefix")
	}
	// Sum gives complements: the difference of the two prefixes, in one's complement arithmetic.
	n.adjust = add16(^packet.Sum(from[:]), packet.Sum(to[:]))
	return n, nil
}

func prefix(a packet.Addr, n int) packet.Addr {
	for i := range a {
		a[i] &= byte(0xff << max(0, min(8, 8*(i+1)-n)))
	}
	return a
}

// Map maps one address; false where no word can take up the difference (all of the interface id is 0xffff).
func (n *NPT) Map(a packet.Addr) (packet.Addr, bool) {
	length := max(n.fromLen, n.toLen)
	for i := range 16 {
		host := byte(0xff >> max(0, min(8, length-8*i)))
		a[i] = a[i]&host | n.to[i]&^host
	}
	word := 3 // RFC 6296 3.4: with /48 or shorter, the subnet
	if length > 48 {
		for word = 4; word < 8 && a[2*word]&a[2*word+1] == 0xff; word++ {
		}
		if word == 8 {
			return a, false
		}
	}
	sum := add16(binary.BigEndian.Uint16(a[2*word:]), n.adjust)
	if sum == 0xffff {
		sum = 0
	}
	binary.BigEndian.PutUint16(a[2*word:], sum)
	return a, true
}

func add16(a, b uint16) uint16 {
	s := uint32(a) + uint32(b)
	return uint16(s + s>>16)
}

// Source is -j SNPT: the packet's source is mapped, and where it is an ICMPv6 error about a packet that was sent to the
// inside, so is the quoted destination. False: answer with ICMPv6 parameter problem (4/0) that points at
// byte 8, and drop.
func (n *NPT) Source(p *packet.Packet) bool { return n.apply(p, 8, 24) }

// Destination is -j DNPT: destination and, in errors, quoted source. False: as for Source, pointing at byte 24.
func (n *NPT) Destination(p *packet.Packet) bool { return n.apply(p, 24, 8) }

func (n *NPT) apply(p *packet.Packet, outer, inner int) bool {
	a, ok := n.Map(packet.Addr6(p.Data[outer:]))
	if !ok {
		return false
	}
	copy(p.Data[outer:], a[:])
	// Only an error right behind the IPv6 header is looked into.
	if p.Data[6] != packet.ProtoICMPv6 || len(p.Data) < 40+8+40 {
		return true
	}
	if typ := p.Data[40]; typ < 1 || typ > 4 {
		return true
	}
	q := p.Data[48:]
	a = packet.Addr6(q[inner:])
	if prefix(a, n.fromLen) == n.from {
		if a, ok = n.Map(a); ok {
			copy(q[inner:], a[:])
		}
	}
	return true
}
