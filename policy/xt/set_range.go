package xt

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

// addrRange reads a, a-b or a/n as the first and the last address.
func addrRange(fam policy.Family, text string) (lo, hi packet.Addr, err error) {
	bad := func() error { return fmt.Errorf("bad address or range %q", text) }
	if a, b, ok := strings.Cut(text, "-"); ok {
		lo, ok1 := ParseAddr(fam, a)
		hi, ok2 := ParseAddr(fam, b)
		if !ok1 || !ok2 {
			return lo, hi, bad()
		}
		if lessAddr(hi, lo) {
			lo, hi = hi, lo
		}
		return lo, hi, nil
	}
	p, err := parseNet(fam, text)
	if err != nil {
		return lo, hi, bad()
	}
	lo = packet.AddrFrom(p.Addr())
	hi = lo
	first := 128 - addrBits(fam) + p.Bits()
	for i := first; i < 128; i++ {
		hi[i/8] |= 0x80 >> (i % 8)
	}
	return lo, hi, nil
}

func parseNet(fam policy.Family, text string) (netip.Prefix, error) {
	name, mask, hasMask := strings.Cut(text, "/")
	a, ok := ParseAddr(fam, name)
	bits := uint64(addrBits(fam))
	if ok && hasMask {
		bits, ok = ParseUint(mask, 0, bits)
	}
	if !ok {
		return netip.Prefix{}, fmt.Errorf("bad address or network %q", text)
	}
	return prefixOf(a, int(bits)), nil
}

// prefixOf is the network of an address; the zero Addr is the IPv6 address ::.
func prefixOf(a packet.Addr, bits int) netip.Prefix {
	ip := netip.AddrFrom16(a).Unmap()
	return netip.PrefixFrom(ip, bits).Masked()
}

func isUnspecified(a packet.Addr) bool { return netip.AddrFrom16(a).Unmap().IsUnspecified() }

func numberRange(text string) (lo, hi uint16, err error) {
	a, b, isRange := strings.Cut(text, "-")
	l, ok := ParseUint(a, 0, 65535)
	h := l
	if ok && isRange {
		h, ok = ParseUint(b, 0, 65535)
	}
	if !ok || h < l {
		return 0, 0, fmt.Errorf("bad port or range %q", text)
	}
	return uint16(l), uint16(h), nil
}

// tooMany tells whether a range holds more addresses, or networks of the mask's size, than may be expanded.
func tooMany(lo, hi packet.Addr, netmask int, fam policy.Family, times int) bool {
	n := binary.BigEndian.Uint64(hi[8:]) - binary.BigEndian.Uint64(lo[8:])
	if binary.BigEndian.Uint64(hi[:8]) != binary.BigEndian.Uint64(lo[:8]) {
		return true
	}
	if netmask != 0 {
		n >>= addrBits(fam) - max(netmask, addrBits(fam)-63)
	}
	return n >= uint64(setExpandMax/times)
}

// nextAddr is the first address of the next network of the mask's size, or the next address.
func nextAddr(ip netip.Addr, fam policy.Family, netmask int) netip.Addr {
	if netmask == 0 || netmask == addrBits(fam) {
		return ip.Next()
	}
	b := ip.As16()
	at := 127 - addrBits(fam) + netmask
	for i := at; i >= 0; i-- {
		bit := byte(0x80 >> (i % 8))
		if b[i/8] ^= bit; b[i/8]&bit != 0 {
			break
		}
	}
	return netip.AddrFrom16(b)
}

// coverRange cuts a range of addresses into networks.
func coverRange(lo, hi netip.Addr) (nets []netip.Prefix) {
	for {
		bits := lo.BitLen()
		for bits > 0 {
			wider := netip.PrefixFrom(lo, bits-1)
			if wider.Masked().Addr() != lo || hi.Less(lastOf(wider)) {
				break
			}
			bits--
		}
		p := netip.PrefixFrom(lo, bits)
		nets = append(nets, p)
		last := lastOf(p)
		if !last.Less(hi) {
			return nets
		}
		lo = last.Next()
	}
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
