package helper

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strconv"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// command is what a command or a reply says: an address (the sender's own, if it names none) and a port.
type command struct {
	v6   bool
	addr packet.Addr
	port uint16
}

// set4 takes an address of four bytes. In an IPv6 connection they are the first four of the sender's own, as in Linux:
// PORT there can mean nothing else.
func (c *command) set4(v []uint32) {
	binary.BigEndian.PutUint32(c.addr.Wire(c.v6), v[0]<<24|v[1]<<16|v[2]<<8|v[3]) // what does not fit runs over, as in Linux
}

// pattern is a command or reply that names an address or a port.
type pattern struct {
	word string
	skip byte // what comes before begins behind this; 0: right behind the word
	term byte
	form form
}

// form is how an address and a port are written.
type form uint8

const (
	formPort form = iota // h1,h2,h3,h4,p1,p2
	formPASV             // the same, from the first digit on
	formEPRT             // |af|address|port|
	formEPSV             // |||port|
)

var patterns = [2][2]pattern{
	conntrack.Original: {{"PORT", ' ', '\r', formPort}, {"EPRT", ' ', '\r', formEPRT}},
	conntrack.Reply:    {{"227 ", 0, 0, formPASV}, {"229 ", '(', ')', formEPSV}},
}

// read reads what stands at b: where it begins and how long it is; 0 is a failure.
func (t *pattern) read(b []byte, c *command) (off, n int) {
	switch t.form {
	case formPort:
		return 0, readPort(b, c, t.term)
	case formPASV:
		return readPASV(b, c)
	case formEPRT:
		return 0, readEPRT(b, c)
	}
	return 0, readEPSV(b, c)
}

// write appends it for an address of 4 or 16 bytes and a port.
func (t *pattern) write(b, addr []byte, port uint16) []byte {
	switch t.form {
	case formPort, formPASV:
		return writePort(b, addr, port)
	case formEPRT:
		return writeEPRT(b, addr, port)
	}
	return writeEPSV(b, port)
}

// found is the outcome of a search.
type found int8

const (
	partial found = iota - 1 // cut in two, or malformed
	absent
	whole
)

// readLine looks for what one of direction d's patterns says at the beginning of b: n bytes at off.
func readLine(d conntrack.Dir, b []byte, c *command) (f found, t *pattern, off, n int) {
	for i := range patterns[d] {
		t = &patterns[d][i]
		if f, off, n = t.find(b, c); f != absent {
			return f, t, off, n
		}
	}
	return absent, nil, 0, 0
}

func (t *pattern) find(b []byte, c *command) (f found, off, n int) {
	if len(b) <= len(t.word) {
		if len(b) > 0 && equalFold(b, t.word[:len(b)]) {
			return partial, 0, 0
		}
		return absent, 0, 0
	}
	if !equalFold(b[:len(t.word)], t.word) {
		return absent, 0, 0
	}
	i := len(t.word)
	if t.skip != 0 {
		j := bytes.IndexByte(b[i:], t.skip)
		if j < 0 {
			return partial, 0, 0
		}
		i += j + 1
	}
	at, n := t.read(b[i:], c)
	if n == 0 {
		return partial, 0, 0
	}
	return whole, i + at, n
}

// readPort reads "h1,h2,h3,h4,p1,p2" (RFC 959 4.1.2).
func readPort(b []byte, c *command, term byte) int {
	var v [6]uint32
	n := numbers(b, v[:], ',', term)
	if n != 0 {
		c.set4(v[:4])
		c.port = uint16(v[4]<<8 | v[5])
	}
	return n
}

// readPASV reads the same from the first digit on: servers differ in what they write around it (RFC 1123 4.1.2.6).
func readPASV(b []byte, c *command) (off, n int) {
	for i := range b {
		if digit(b[i]) {
			return i, readPort(b[i:], c, 0)
		}
	}
	return 0, 0
}

// delimiter tells whether b may stand between the fields of EPRT and EPSV (RFC 2428 2).
func delimiter(b byte) bool { return !digit(b) && b >= 33 && b <= 126 }

// readEPRT reads "|1|132.235.1.2|6275|" or "|2|1080::8:800:200C:417A|5282|".
func readEPRT(b []byte, c *command) (n int) {
	family := byte('1')
	if c.v6 {
		family = '2'
	}
	if len(b) <= 3 || !delimiter(b[0]) || b[1] != family || b[2] != b[0] {
		return 0
	}
	delim, rest := b[0], b[3:]
	if c.v6 {
		c.addr, n = readAddr6(rest, delim)
	} else {
		var v [4]uint32
		if n = numbers(rest, v[:], '.', delim); n != 0 {
			c.set4(v[:])
		}
	}
	if n == 0 {
		return 0
	}
	return portField(b, 3+n+1, delim, c)
}

// readEPSV reads "|||6446|": the address is the server's own.
func readEPSV(b []byte, c *command) int {
	if len(b) <= 3 || !delimiter(b[0]) || b[1] != b[0] || b[2] != b[0] {
		return 0
	}
	return portField(b, 3, b[0], c)
}

// portField reads a port that is not 0 from b[from:] up to delim, and returns where it ends in b, delimiter included.
// It wraps at 16 bits.
func portField(b []byte, from int, delim byte, c *command) int {
	port := uint16(0)
	for i := from; i < len(b); i++ {
		switch {
		case b[i] == delim:
			if port == 0 {
				return 0
			}
			c.port = port
			return i + 1
		case digit(b[i]):
			port = port*10 + uint16(b[i]-'0')
		default:
			return 0
		}
	}
	return 0
}

// writePort writes the first four bytes of an address and a port.
func writePort(b, addr []byte, port uint16) []byte {
	for _, v := range addr[:4] {
		b = append(strconv.AppendUint(b, uint64(v), 10), ',')
	}
	b = append(strconv.AppendUint(b, uint64(port>>8), 10), ',')
	return strconv.AppendUint(b, uint64(port&0xff), 10)
}

func writeEPRT(b, addr []byte, port uint16) []byte {
	if len(addr) == 16 {
		b = append(b, "|2|"...)
		for i := 0; i < 16; i += 2 { // in full, as the kernel prints %pI6
			if i > 0 {
				b = append(b, ':')
			}
			b = hex.AppendEncode(b, addr[i:i+2])
		}
	} else {
		b = append(b, "|1"...)
		for i, v := range addr {
			b = strconv.AppendUint(append(b, "|..."[i]), uint64(v), 10)
		}
	}
	return append(strconv.AppendUint(append(b, '|'), uint64(port), 10), '|')
}

func writeEPSV(b []byte, port uint16) []byte {
	return append(strconv.AppendUint(append(b, "|||"...), uint64(port), 10), '|')
}
