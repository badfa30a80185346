package helper

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strconv"
	"sync"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// lines is where lines begin in an FTP control connection: behind the last newlines of each direction. Only there is a
// command a command; elsewhere it is a file's contents, or an attack.
type lines struct {
	mu    sync.Mutex
	after [2][2]uint32
	n     [2]int
}

func (l *lines) begins(d conntrack.Dir, seq uint32) bool {
	for _, s := range l.after[d][:l.n[d]] {
		if s == seq {
			return true
		}
	}
	return false
}

// note remembers one more, in the place of the older of two.
func (l *lines) note(d conntrack.Dir, seq uint32) {
	switch a := &l.after[d]; {
	case l.begins(d, seq):
	case l.n[d] < len(a):
		a[l.n[d]] = seq
		l.n[d]++
	case int32(a[0]-a[1]) < 0:
		a[0] = seq
	default:
		a[1] = seq
	}
}

// cmd is what a command or a reply says: an address (the sender's own, if it names none) and a port.
type cmd struct {
	v6   bool
	addr packet.Addr
	port uint16
}

// pattern is a command or reply that names an address or a port.
type pattern struct {
	word string
	skip byte // what comes before begins behind this; 0: right behind the word
	term byte
	// read reads what stands there: where it begins and how long it is; 0 is a failure.
	read func(b []byte, c *cmd, term byte) (off, n int)
	// write appends it for an address and port.
	write func(b []byte, a packet.Addr, v6 bool, port uint16) []byte
}

var patterns = [2][2]pattern{
	conntrack.Original: {
		{"PORT", ' ', '\r', readPort, writePort},
		{"EPRT", ' ', '\r', readEPRT, writeEPRT},
	},
	conntrack.Reply: {
		{"227 ", 0, 0, readPASV, writePort},
		{"229 ", '(', ')', readEPSV, writeEPSV},
	},
}

// found is the outcome of a search.
type found int8

const (
	partial found = iota - 1 // cut in two, or malformed
	absent
	whole
)

func (t *pattern) find(b []byte, c *cmd) (f found, off, n int) {
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
		if j < 0 || i+j == len(b)-1 && b[len(b)-1] != t.skip {
			return partial, 0, 0
		}
		i += j + 1
	}
	at, n := t.read(b[i:], c, t.term)
	if n == 0 {
		return partial, 0, 0
	}
	return whole, i + at, n
}

func equalFold(b []byte, s string) bool { return bytes.EqualFold(b, []byte(s)) }

// ftp is nf_conntrack_ftp and nf_nat_ftp.
func ftp(k *call) complaint {
	if !k.both() {
		return ""
	}
	k.p.Linearize()
	off, ok := k.p.PayloadOff()
	if !ok || off >= len(k.p.Data) {
		return ""
	}
	b := k.p.Data[off:]
	h, _ := k.p.TCP()
	seq, d := h.SequenceNumber(), k.ref.Info.Dir()
	end, newline := seq+uint32(len(b)), b[len(b)-1] == '\n'

	l, _ := k.c.HelperData().(*lines)
	if l == nil {
		l = new(lines)
		k.c.SetHelperData(l)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.begins(d, seq) {
		if why := k.ftpLine(b, off, d); why != "" {
			// What was cut in two does not count as a line; what could not be entered does.
			if newline && why[0] != 'p' {
				l.note(d, end)
			}
			return why
		}
	}
	if newline {
		l.note(d, end)
	}
	return ""
}

// ftpLine looks at a segment that begins a line.
func (k *call) ftpLine(b []byte, off int, d conntrack.Dir) complaint {
	own, back := k.c.Tuple(d), k.c.Tuple(d.Other())
	c := cmd{v6: k.p.V6, addr: own.Src}
	for i := range patterns[d] {
		t := &patterns[d][i]
		f, at, n := t.find(b, &c)
		switch f {
		case partial:
			return "partial matching of `" + t.word + "'"
		case absent:
			continue
		}
		if c.addr != own.Src {
			return "" // it wants the other side to connect to a third: not with our help
		}
		e := k.expectation(back.Src, back.Dst, packet.ProtoTCP, c.port)
		if !k.translated() {
			return k.enter(e)
		}
		port := k.enterTranslated(e, d.Other())
		if port == 0 {
			return "all ports in use"
		}
		var buf [80]byte
		return k.rewrite(e, off+at, n, t.write(buf[:0], back.Dst, k.p.V6, port))
	}
	return ""
}

// readPort reads "h1,h2,h3,h4,p1,p2" (RFC 959 4.1.2).
func readPort(b []byte, c *cmd, term byte) (off, n int) {
	var v [6]uint32
	if n = numbers(b, v[:], ',', term); n == 0 {
		return 0, 0
	}
	a := v[0]<<24 | v[1]<<16 | v[2]<<8 | v[3]
	c.addr = packet.Addr4([]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
	c.port = uint16(v[4]<<8 | v[5])
	return 0, n
}

// readPASV reads the same from the first digit on: servers differ in what they write around it (RFC 1123 4.1.2.6).
func readPASV(b []byte, c *cmd, _ byte) (off, n int) {
	for i := range b {
		if digit(b[i]) {
			_, n = readPort(b[i:], c, 0)
			return i, n
		}
	}
	return 0, 0
}

// delimiter tells whether b may stand between the fields of EPRT and EPSV (RFC 2428 2).
func delimiter(b byte) bool { return !digit(b) && b >= 33 && b <= 126 }

// readEPRT reads "|1|132.235.1.2|6275|" or "|2|1080::8:800:200C:417A|5282|".
func readEPRT(b []byte, c *cmd, _ byte) (off, n int) {
	if len(b) <= 3 || !delimiter(b[0]) || b[2] != b[0] {
		return 0, 0
	}
	delim, rest := b[0], b[3:]
	if want := map[bool]byte{false: '1', true: '2'}[c.v6]; b[1] != want {
		return 0, 0
	}
	if c.v6 {
		n = bytes.IndexByte(rest, delim)
		if n <= 0 {
			return 0, 0
		}
		a, err := netip.ParseAddr(string(rest[:n]))
		if err != nil || !a.Is6() || a.Zone() != "" {
			return 0, 0
		}
		c.addr = packet.Addr(a.As16())
	} else {
		var v [4]uint32
		if n = numbers(rest, v[:], '.', delim); n == 0 {
			return 0, 0
		}
		a := v[0]<<24 | v[1]<<16 | v[2]<<8 | v[3]
		c.addr = packet.Addr4([]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
	}
	return 0, portField(b, 3+n+1, delim, c)
}

// readEPSV reads "|||6446|": the address is the server's own.
func readEPSV(b []byte, c *cmd, _ byte) (off, n int) {
	if len(b) <= 3 || !delimiter(b[0]) || b[1] != b[0] || b[2] != b[0] {
		return 0, 0
	}
	return 0, portField(b, 3, b[0], c)
}

// portField reads a port that is not 0 from b[from:] up to delim, and returns where it ends in b, delimiter included.
func portField(b []byte, from int, delim byte, c *cmd) int {
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

func writePort(b []byte, a packet.Addr, _ bool, port uint16) []byte {
	for _, v := range a[12:] {
		b = append(strconv.AppendUint(b, uint64(v), 10), ',')
	}
	b = append(strconv.AppendUint(b, uint64(port>>8), 10), ',')
	return strconv.AppendUint(b, uint64(port&0xff), 10)
}

func writeEPRT(b []byte, a packet.Addr, v6 bool, port uint16) []byte {
	if v6 {
		b = append(b, "|2|"...)
		for i := 0; i < 16; i += 2 { // in full, as the kernel prints %pI6
			if i > 0 {
				b = append(b, ':')
			}
			b = hex.AppendEncode(b, a[i:i+2])
		}
	} else {
		b = append(b, "|1|"...)
		b = a.IP().AppendTo(b)
	}
	return append(strconv.AppendUint(append(b, '|'), uint64(port), 10), '|')
}

func writeEPSV(b []byte, _ packet.Addr, _ bool, port uint16) []byte {
	return append(strconv.AppendUint(append(b, "|||"...), uint64(port), 10), '|')
}
