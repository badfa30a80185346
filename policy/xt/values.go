package xt

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

// ParseUint reads a number as strtoul with base 0 does: decimal, 0x hexadecimal or octal with a leading 0; blanks
// or a plus sign may stand in front. The whole word must be the number, and it must lie in min to max.
func ParseUint(s string, min, max uint64) (uint64, bool) {
	v, rest, ok := scanUint(s)
	return v, ok && rest == "" && v >= min && v <= max
}

// scanUint reads the number that s begins with and gives the rest.
func scanUint(s string) (v uint64, rest string, ok bool) {
	s = strings.TrimLeft(s, " \t")
	s = strings.TrimPrefix(s, "+")
	base, digits := 10, "0123456789"
	switch {
	case len(s) > 2 && (s[:2] == "0x" || s[:2] == "0X"):
		base, digits, s = 16, "0123456789abcdefABCDEF", s[2:]
	case len(s) > 1 && s[0] == '0':
		base, digits = 8, "01234567"
	}
	n := 0
	for n < len(s) && strings.IndexByte(digits, s[n]) >= 0 {
		n++
	}
	v, err := strconv.ParseUint(s[:n], base, 64)
	return v, s[n:], err == nil
}

// number is ParseUint with an error for people.
func number(o *Opt, s string, min, max uint64) (uint64, error) {
	v, ok := ParseUint(s, min, max)
	if !ok {
		return 0, fmt.Errorf("bad value %q for %s: a number from %d to %d is wanted", s, o.Name, min, max)
	}
	return v, nil
}

// argNumber takes the next word as a number.
func argNumber(o *Opt, min, max uint64) (uint64, error) {
	s, err := o.Arg()
	if err != nil {
		return 0, err
	}
	return number(o, s, min, max)
}

// argRange takes the next word as "a", "a:b", ":b" or "a:", where a missing end is the limit. The ends are not
// ordered (the kernel takes an empty range, which matches nothing).
func argRange(o *Opt, max uint64) (lo, hi uint64, err error) {
	s, err := o.Arg()
	if err != nil {
		return 0, 0, err
	}
	a, b, isRange := strings.Cut(s, ":")
	lo = 0
	if a != "" || !isRange {
		if lo, err = number(o, a, 0, max); err != nil {
			return 0, 0, err
		}
	}
	if !isRange {
		return lo, lo, nil
	}
	hi = max
	if b != "" {
		if hi, err = number(o, b, 0, max); err != nil {
			return 0, 0, err
		}
	}
	return lo, hi, nil
}

// argMark takes the next word as value[/mask]; without a mask it is all ones.
func argMark(o *Opt) (value, mask uint32, err error) {
	s, err := o.Arg()
	if err != nil {
		return 0, 0, err
	}
	a, b, hasMask := strings.Cut(s, "/")
	v, ok := ParseUint(a, 0, 1<<32-1)
	m := uint64(1<<32 - 1)
	if ok && hasMask {
		m, ok = ParseUint(b, 0, 1<<32-1)
	}
	if !ok {
		return 0, 0, fmt.Errorf("bad value %q for %s: value[/mask] with numbers of 32 bits is wanted", s, o.Name)
	}
	return uint32(v), uint32(m), nil
}

// appendMark prints a mark as iptables does: 0xvalue, with /0xmask unless it is all ones.
func appendMark(b []byte, value, mask uint32) []byte {
	b = appendHex(b, uint64(value))
	if mask != 1<<32-1 {
		b = append(b, '/')
		b = appendHex(b, uint64(mask))
	}
	return b
}

func appendHex(b []byte, v uint64) []byte {
	b = append(b, "0x"...)
	return strconv.AppendUint(b, v, 16)
}

// appendHex2 prints at least two digits: 0x0a.
func appendHex2(b []byte, v uint8) []byte { return fmt.Appendf(b, "0x%02x", v) }

// appendRange prints "a" or "a:b".
func appendRange(b []byte, lo, hi uint64) []byte {
	b = strconv.AppendUint(b, lo, 10)
	if lo != hi {
		b = append(b, ':')
		b = strconv.AppendUint(b, hi, 10)
	}
	return b
}

func appendNot(b []byte, not bool) []byte {
	if not {
		b = append(b, " !"...)
	}
	return b
}

// appendListNot puts the "!" of a listing right in front of what follows.
func appendListNot(b []byte, not bool) []byte {
	if not {
		b = append(b, '!')
	}
	return b
}

// AppendQuoted appends a word as iptables-save writes it (xtables_save_string): bare if it is made of letters,
// digits, "_" and "-" only, else in double quotes with backslashes before '"', "'" and '\'.
func AppendQuoted(b []byte, s string) []byte {
	plain := s != ""
	for i := 0; i < len(s) && plain; i++ {
		c := s[i]
		plain = c == '_' || c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
	}
	if plain {
		return append(b, s...)
	}
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == '"' || c == '\\' || c == '\'' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

// ParseAddr reads a numeric address of the family. IPv4 may be short at the end ("10" is 10.0.0.0) and each number
// in any base, as xtables_numeric_to_ipaddr takes it.
func ParseAddr(fam policy.Family, s string) (packet.Addr, bool) {
	if fam == policy.V6 {
		a, err := netip.ParseAddr(s)
		if err != nil || !a.Is6() || a.Zone() != "" {
			return packet.Addr{}, false
		}
		return packet.Addr(a.As16()), true
	}
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return packet.Addr{}, false
	}
	var four [4]byte
	for i, part := range parts {
		v, ok := ParseUint(part, 0, 255)
		if !ok {
			return packet.Addr{}, false
		}
		four[i] = byte(v)
	}
	return packet.Addr4(four[:]), true
}

// ParseHost reads an address as inet_aton does, which iptables asks wherever it might take the name of a host: of an
// IPv4 address that is short the last number fills what is left ("10.1" is 10.0.0.1, "256" is 0.0.1.0).
func ParseHost(fam policy.Family, s string) (packet.Addr, bool) {
	if fam == policy.V6 {
		return ParseAddr(fam, s)
	}
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return packet.Addr{}, false
	}
	var four [4]byte
	for i, part := range parts {
		limit, last := uint64(255), i == len(parts)-1
		if last {
			limit = 1<<(8*(4-i)) - 1
		}
		v, ok := ParseUint(part, 0, limit)
		if !ok {
			return packet.Addr{}, false
		}
		if !last {
			four[i] = byte(v)
			continue
		}
		for j := 3; j >= i; j-- {
			four[j], v = byte(v), v>>8
		}
	}
	return packet.Addr4(four[:]), true
}

// ParseMask reads what stands behind the slash: a prefix length or a mask in the notation of addresses. For IPv4
// the mask stands in the last four bytes, the rest is zero.
func ParseMask(fam policy.Family, s string) (packet.Addr, bool) {
	bits := uint64(32)
	if fam == policy.V6 {
		bits = 128
	}
	if n, ok := ParseUint(s, 0, bits); ok {
		return PrefixMask(fam, int(n)), true
	}
	if fam == policy.V4 && strings.Count(s, ".") != 3 {
		return packet.Addr{}, false
	}
	m, ok := ParseAddr(fam, s)
	if fam == policy.V4 {
		m[10], m[11] = 0, 0
	}
	return m, ok
}

// PrefixMask is the mask of n leading one bits: for IPv4 in the last four bytes.
func PrefixMask(fam policy.Family, n int) (m packet.Addr) {
	b := m[:]
	if fam == policy.V4 {
		b = m[12:]
	}
	for i := 0; i < n; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return m
}

// MaskBits is the prefix length of a mask, or -1 if it is not one.
func MaskBits(fam policy.Family, m packet.Addr) int {
	total := 32
	if fam == policy.V6 {
		total = 128
	}
	b := m[16-total/8:]
	n := 0
	for n < total && b[n/8]&(0x80>>(n%8)) != 0 {
		n++
	}
	if m != PrefixMask(fam, n) {
		return -1
	}
	return n
}

// AppendMask prints "/n", or "/mask" for a mask that is no prefix.
func AppendMask(b []byte, fam policy.Family, m packet.Addr) []byte {
	b = append(b, '/')
	if n := MaskBits(fam, m); n >= 0 {
		return strconv.AppendInt(b, int64(n), 10)
	}
	return AppendAddr(b, fam, m)
}

// AppendAddr prints an address as inet_ntop does.
func AppendAddr(b []byte, fam policy.Family, a packet.Addr) []byte {
	if fam == policy.V4 {
		return netip.AddrFrom4([4]byte(a[12:])).AppendTo(b)
	}
	return append(b, ntop6(a)...)
}

// ntop6 differs from netip in what C libraries print with dotted ends: ::ffff:a.b.c.d and ::a.b.c.d.
func ntop6(a packet.Addr) string {
	ip := netip.AddrFrom16(a)
	if ip.Is4In6() {
		return ip.String()
	}
	low := a
	clear(low[12:])
	if low == (packet.Addr{}) && (a[12] != 0 || a[13] != 0) {
		return "::" + netip.AddrFrom4([4]byte(a[12:])).String()
	}
	return ip.String()
}

// masked gives a with the bits outside of m cleared; an IPv4 address keeps its mapped prefix.
func masked(fam policy.Family, a, m packet.Addr) packet.Addr {
	from := 0
	if fam == policy.V4 {
		from = 12
	}
	for i := from; i < 16; i++ {
		a[i] &= m[i]
	}
	return a
}

// ParsePrefix reads address[/mask] as -s and -d take it: a short IPv4 address ends in zeros ("10.1" is 10.1.0.0), or is
// one that ParseHost understands. The address comes back masked.
func ParsePrefix(fam policy.Family, s string) (a, m packet.Addr, err error) {
	a, m, err = parsePrefix(fam, s, func(fam policy.Family, s string) (packet.Addr, bool) {
		if a, ok := ParseAddr(fam, s); ok {
			return a, true
		}
		return ParseHost(fam, s)
	})
	return masked(fam, a, m), m, err
}

// ParseHostPrefix reads address[/mask] as options of extensions take it. The address comes back as it is.
func ParseHostPrefix(fam policy.Family, s string) (a, m packet.Addr, err error) {
	return parsePrefix(fam, s, ParseHost)
}

func parsePrefix(fam policy.Family, s string, addr func(policy.Family, string) (packet.Addr, bool)) (a, m packet.Addr, err error) {
	name, mask, hasMask := strings.Cut(s, "/")
	bits := 32
	if fam == policy.V6 {
		bits = 128
	}
	m = PrefixMask(fam, bits)
	if hasMask {
		var ok bool
		if m, ok = ParseMask(fam, mask); !ok {
			return a, m, fmt.Errorf("bad mask %q in %q", mask, s)
		}
	}
	a, ok := addr(fam, name)
	if !ok {
		return a, m, addrError(fam, name)
	}
	return a, m, nil
}

// addrError says what is wrong with something that is not an address of the family.
func addrError(fam policy.Family, s string) error {
	other := policy.V6
	want := "IPv4"
	if fam == policy.V6 {
		other, want = policy.V4, "IPv6"
	}
	if _, ok := ParseAddr(other, s); ok && s != "" && (strings.Contains(s, ":") || strings.Count(s, ".") == 3) {
		return fmt.Errorf("%q is not an %s address: it belongs into the other family's rules", s, want)
	}
	if s != "" && strings.Trim(s, "0123456789abcdefABCDEFx.:") != "" {
		return fmt.Errorf("host and network names are not looked up (%q): use an address", s)
	}
	return fmt.Errorf("bad %s address %q", want, s)
}
