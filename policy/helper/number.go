package helper

// digit tells whether b is one of 0 to 9.
func digit(b byte) bool { return b >= '0' && b <= '9' }

// numbers reads len(to) decimal numbers with sep between them, the last one ended by term (0: by anything). The result
// is how many bytes they take, 0 if they are not there. As in Linux no number is too large; it wraps.
func numbers(b []byte, to []uint32, sep, term byte) int {
	clear(to)
	i := 0
	for n, c := range b {
		if i == len(to) {
			return 0
		}
		switch {
		case digit(c):
			to[i] = to[i]*10 + uint32(c-'0')
		case c == sep:
			i++
		case (c == term || term == 0) && i == len(to)-1:
			return n
		default:
			return 0
		}
	}
	return 0
}

// decimal reads a number as C's strtoul does: what is left behind it comes back. It wraps at 64 bits.
func decimal(b []byte) (v uint64, rest []byte) {
	for len(b) > 0 && digit(b[0]) {
		v = v*10 + uint64(b[0]-'0')
		b = b[1:]
	}
	return v, b
}

// equalFold tells whether b is s, whatever the case of its ASCII letters. s is in capitals.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != s[i] {
			return false
		}
	}
	return true
}
