package packet

import (
	"encoding/binary"
	"net/netip"
)

// Addr is an IPv4 or IPv6 address in 16 bytes without pointers, IPv4 in its mapped form (::ffff:a.b.c.d), so that
// one code path compares, masks and hashes both families. The zero value means "no address".
type Addr [16]byte

// AddrFrom converts; an invalid netip.Addr gives the zero Addr, a zone is dropped.
func AddrFrom(a netip.Addr) Addr {
	if !a.IsValid() {
		return Addr{}
	}
	return Addr(a.As16())
}

// Addr4 puts four bytes of an IPv4 header into the mapped form.
func Addr4(b []byte) (a Addr) {
	// One store for what is read back as one word: hashes and comparisons follow at once.
	binary.LittleEndian.PutUint64(a[8:], 0xffff<<16|uint64(binary.LittleEndian.Uint32(b))<<32)
	return a
}

// Addr6 takes sixteen bytes of an IPv6 header.
func Addr6(b []byte) Addr { return Addr(b[:16]) }

// IP converts back; an IPv4-mapped address comes back as IPv4.
func (a Addr) IP() netip.Addr {
	if a == (Addr{}) {
		return netip.Addr{}
	}
	return netip.AddrFrom16(a).Unmap()
}

// Is4 tells the family of an address that is not zero.
func (a Addr) Is4() bool {
	return a[0]|a[1]|a[2]|a[3]|a[4]|a[5]|a[6]|a[7]|a[8]|a[9] == 0 && a[10] == 0xff && a[11] == 0xff
}

// IsZero tells whether this is no address at all.
func (a Addr) IsZero() bool { return a == Addr{} }

// Wire gives the bytes as they stand in a header: 4 or 16. The slice points into a.
func (a *Addr) Wire(v6 bool) []byte {
	if v6 {
		return a[:]
	}
	return a[12:]
}

// String is the usual text. The zero Addr is "::", which in a header it is.
func (a Addr) String() string {
	if a.IsZero() {
		return "::"
	}
	return a.IP().String()
}
