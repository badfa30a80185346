package helper

import "github.com/moat-router/moat/stack/packet"

// readAddr6 reads an IPv6 address in text up to delim or a zero byte (the end of b counts as one), and tells how many
// bytes it took; 0 is a failure. It takes what in6_pton takes: a word may have any number of leading zeros, "::" stands
// for one word or more, and the last four bytes may be written as "a.b.c.d". A delimiter that could be part of an
// address is a delimiter first.
//
//	"fd00:1::10|5001|"    delim '|'    fd00:1::10, 10
func readAddr6(b []byte, delim byte) (a packet.Addr, n int) {
	var words [8]uint16
	count, gap := 0, -1 // words read, and how many of them stand before "::"
	ends := func(i int) bool { return i >= len(b) || b[i] == delim || b[i] == 0 }
	colon := func(i int) bool { return !ends(i) && b[i] == ':' }
	i := 0
	if colon(i) {
		if !colon(i + 1) {
			return a, 0
		}
		gap, i = 0, 2
	}
	for !(gap == count && ends(i)) { // "::" may be the last
		room := len(words) - count
		if gap >= 0 {
			room-- // which "::" stands for
		}
		v, start := uint32(0), i
		for ; !ends(i) && hexDigit(b[i]) >= 0; i++ {
			if v = v<<4 | uint32(hexDigit(b[i])); v > 0xffff {
				return a, 0
			}
		}
		if room < 1 || i == start {
			return a, 0
		}
		if !ends(i) && b[i] == '.' {
			if room != 2 && (gap < 0 || room < 2) {
				return a, 0
			}
			if v, i = readQuad(b, start, delim); i == 0 {
				return a, 0
			}
			words[count], words[count+1] = uint16(v>>16), uint16(v)
			count += 2
			break
		}
		words[count] = uint16(v)
		count++
		if ends(i) {
			break
		}
		if !colon(i) {
			return a, 0
		}
		if i++; colon(i) {
			if gap >= 0 || room < 2 {
				return a, 0
			}
			gap = count
			i++
		}
	}
	if gap < 0 {
		if count != len(words) {
			return a, 0
		}
		gap = count
	}
	for w, v := range words[:count] {
		if w >= gap {
			w += len(words) - count
		}
		a[2*w], a[2*w+1] = byte(v>>8), byte(v)
	}
	return a, i
}

// readQuad reads "a.b.c.d" from b[i:] up to delim, a colon or a zero byte, and tells where it ended; 0 is a failure.
func readQuad(b []byte, i int, delim byte) (v uint32, end int) {
	for part := 0; ; part++ {
		n, start := uint32(0), i
		for ; i < len(b) && b[i] != delim && digit(b[i]); i++ {
			if n = n*10 + uint32(b[i]-'0'); n > 255 {
				return 0, 0
			}
		}
		if i == start {
			return 0, 0
		}
		v = v<<8 | n
		if part == 3 {
			if i >= len(b) || b[i] == delim || b[i] == 0 || b[i] == ':' {
				return v, i
			}
			return 0, 0
		}
		if i >= len(b) || b[i] == delim || b[i] != '.' {
			return 0, 0
		}
		i++
	}
}

// hexDigit is the value of a hexadecimal digit, -1 for anything else.
func hexDigit(c byte) int {
	switch {
	case digit(c):
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
