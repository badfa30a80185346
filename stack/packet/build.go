package packet

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// pseudoEnds are the addresses that a pseudo-header takes; nil inside of ICMP payloads that are no IP packet.
type pseudoEnds struct{ src, dst []byte }

func (e *pseudoEnds) sum(proto uint8, n int) uint16 {
	if e == nil {
		return 0
	}
	return PseudoSum(e.src, e.dst, proto, n)
}

var protoOf = map[string]uint64{
	"icmp": ProtoICMP, "tcp": ProtoTCP, "udp": ProtoUDP, "icmp6": ProtoICMPv6, "frag6": ProtoFragment,
	"hbh": ProtoHopByHop, "dstopt": ProtoDstOpts, "rt6": ProtoRouting,
}

// protoFor is the protocol number of the layer behind, or def.
func (l *layer) protoFor(def uint64) uint64 {
	if n, ok := protoOf[l.next]; ok {
		return n
	}
	return def
}

// Build makes the bytes of a datagram from its notation, the one that tests, traces and scenario files share. The
// grammar stands in doc.go. Errors are for people: they name the layer and what was expected.
func Build(text string) ([]byte, error) {
	text, cut, isCut := strings.Cut(text, "||")
	layers, err := parseLayers(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("packet: %w", err)
	}
	b, err := build(layers, nil)
	if err == nil && isCut {
		b, err = buildFragment(b, cut)
	}
	if err != nil {
		return nil, fmt.Errorf("packet: %w", err)
	}
	return b, nil
}

// MustBuild is Build for texts that are part of a program or of a test; it panics on an error.
func MustBuild(text string) []byte {
	b, err := Build(text)
	if err != nil {
		panic(err)
	}
	return b
}

// build makes the bytes of all layers; the sums of transport headers need the addresses around them.
func build(ls []layer, ip *pseudoEnds) ([]byte, error) {
	if len(ls) == 0 {
		return nil, nil
	}
	l, rest := &ls[0], ls[1:]
	switch l.kind {
	case "ip4":
		return l.ip4(rest)
	case "ip6":
		return l.ip6(rest)
	case "frag6":
		return l.frag6(rest, ip)
	case "hbh", "dstopt", "rt6":
		return l.ext(rest, ip)
	case "udp":
		return l.udp(rest, ip)
	case "tcp":
		return l.tcp(rest, ip)
	case "icmp", "icmp6":
		return l.icmp(rest, ip)
	}
	var b []byte
	var err error
	switch l.kind {
	case "raw":
		b, err = l.hex(l.word())
	case "text":
		b = []byte(l.word())
	case "pat":
		var n uint64
		if n, err = number(l.word(), 16); err == nil {
			b = pattern(int(n))
		}
	default:
		return nil, l.fail("stands only behind ||")
	}
	if err != nil {
		return nil, err
	}
	more, err := build(rest, ip)
	return append(b, more...), err
}

// pattern is the payload that len=N asks for.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(i%26)
	}
	return b
}

// payload is len=N bytes of pattern, or the layers behind.
func (l *layer) payload(rest []layer, ip *pseudoEnds) ([]byte, error) {
	if !l.set("len") {
		return build(rest, ip)
	}
	if len(rest) > 0 {
		return nil, l.fail("len= makes the payload; %s cannot follow", rest[0].kind)
	}
	n, err := l.num("len", 0, 16)
	return pattern(int(n)), err
}

// sum is what goes into a checksum field instead of the right one, if sum= asks for it.
func (l *layer) sum(good uint16) (uint16, error) {
	switch s, ok := l.opts["sum"]; {
	case !ok:
		return good, nil
	case s == "bad":
		if v := good ^ 0x5555; v != 0 {
			return v, nil
		}
		return 1, nil
	case s == "none":
		return 0, nil
	}
	v, err := l.num("sum", 0, 16)
	return uint16(v), err
}

// numAt is a key to read: where to, its default and its width.
type numAt struct {
	to   *uint64
	key  string
	def  uint64
	bits int
}

// nums reads several keys at once.
func (l *layer) nums(fields ...numAt) error {
	for _, f := range fields {
		v, err := l.num(f.key, f.def, f.bits)
		if err != nil {
			return err
		}
		*f.to = v
	}
	return nil
}

func pad4(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func (l *layer) ip4(rest []layer) ([]byte, error) {
	src, dst, err := l.ends(false)
	if err != nil {
		return nil, err
	}
	pay, err := build(rest, &pseudoEnds{src, dst})
	if err != nil {
		return nil, err
	}
	opts, err := l.hex(l.opts["opts"])
	if err != nil {
		return nil, err
	}
	opts = pad4(opts)
	var ihl, off, proto, total, ver, tos, id, ttl uint64
	if err := l.nums(numAt{&ihl, "ihl", uint64(5 + len(opts)/4), 4}, numAt{&off, "off", 0, 16}, numAt{&proto, "proto", l.protoFor(253), 8},
		numAt{&total, "len", uint64(20 + len(opts) + len(pay)), 16}, numAt{&ver, "ver", 4, 4}, numAt{&tos, "tos", 0, 8},
		numAt{&id, "id", 0x1234, 16}, numAt{&ttl, "ttl", 64, 8}); err != nil {
		return nil, err
	}
	if ihl > 15 || total > 65535 {
		return nil, l.fail("%d bytes with %d bytes of options do not fit an IPv4 packet", total, len(opts))
	}
	w := uint16(off / 8)
	for flag, bit := range map[string]uint16{"df": 0x4000, "mf": 0x2000, "rb": 0x8000} {
		if l.has(flag) {
			w |= bit
		}
	}
	h := make([]byte, 12, 20+len(opts)+len(pay))
	h[0], h[1], h[8], h[9] = byte(ver<<4|ihl), byte(tos), byte(ttl), byte(proto)
	binary.BigEndian.PutUint16(h[2:], uint16(total))
	binary.BigEndian.PutUint16(h[4:], uint16(id))
	binary.BigEndian.PutUint16(h[6:], w)
	h = append(append(append(h, src...), dst...), opts...)
	c, err := l.sum(Sum(h))
	binary.BigEndian.PutUint16(h[10:], c)
	return append(h, pay...), err
}

func (l *layer) ip6(rest []layer) ([]byte, error) {
	src, dst, err := l.ends(true)
	if err != nil {
		return nil, err
	}
	pay, err := build(rest, &pseudoEnds{src, dst})
	if err != nil {
		return nil, err
	}
	var tc, fl, plen, nh, hlim uint64
	if err := l.nums(numAt{&tc, "tc", 0, 8}, numAt{&fl, "fl", 0, 20}, numAt{&plen, "plen", uint64(len(pay)), 16},
		numAt{&nh, "nh", l.protoFor(ProtoNone), 8}, numAt{&hlim, "hlim", 64, 8}); err != nil {
		return nil, err
	}
	if plen > 65535 {
		return nil, l.fail("%d bytes do not fit an IPv6 packet", plen)
	}
	h := make([]byte, 8, 40+len(pay))
	binary.BigEndian.PutUint32(h, uint32(6<<28|tc<<20|fl))
	binary.BigEndian.PutUint16(h[4:], uint16(plen))
	h[6], h[7] = byte(nh), byte(hlim)
	return append(append(append(h, src...), dst...), pay...), nil
}

func (l *layer) frag6(rest []layer, ip *pseudoEnds) ([]byte, error) {
	pay, err := build(rest, ip)
	if err != nil {
		return nil, err
	}
	var nh, off, id uint64
	if err := l.nums(numAt{&nh, "nh", l.protoFor(ProtoNone), 8}, numAt{&off, "off", 0, 16}, numAt{&id, "id", 0x1234, 32}); err != nil {
		return nil, err
	}
	h := FragmentHeader(byte(nh), int(off), l.has("mf"), uint32(id))
	return append(h[:], pay...), nil
}

// FragmentHeader is an IPv6 fragment header (RFC 8200 4.5); off is in bytes, a multiple of 8.
func FragmentHeader(next byte, off int, more bool, id uint32) (h [8]byte) {
	w := uint16(off) &^ 7
	if more {
		w |= 1
	}
	h[0] = next
	binary.BigEndian.PutUint16(h[2:], w)
	binary.BigEndian.PutUint32(h[4:], id)
	return h
}

func (l *layer) ext(rest []layer, ip *pseudoEnds) ([]byte, error) {
	d, err := l.hex(l.word())
	if err != nil {
		return nil, err
	}
	if (len(d)+2)%8 != 0 || len(d) > 2046 {
		return nil, l.fail("has %d bytes of options; they must be 8n-2 bytes, for example %s", len(d), strings.Repeat("0", 12))
	}
	nh, err := l.num("nh", l.protoFor(ProtoNone), 8)
	if err != nil {
		return nil, err
	}
	more, err := build(rest, ip)
	return append(append([]byte{byte(nh), byte((len(d)+2)/8 - 1)}, d...), more...), err
}

// buildFragment is "|| frag SIZE idx=I [id=N]": piece I of the datagram, cut into pieces of SIZE payload bytes.
func buildFragment(b []byte, text string) ([]byte, error) {
	l, err := parseLayer(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("behind ||: %w", err)
	}
	if l.kind != "frag" {
		return nil, fmt.Errorf("behind || stands %q; expected frag SIZE idx=I", l.kind)
	}
	size, err := number(l.word(), 16)
	if err != nil {
		return nil, l.fail("%w", err)
	}
	idx, err := l.num("idx", 0, 16)
	if err != nil {
		return nil, err
	}
	if !l.set("idx") || size < 8 {
		return nil, l.fail("needs a SIZE of at least 8 and idx=I")
	}
	v6 := len(b) >= 40 && b[0]>>4 == 6
	bits, def := 16, uint64(0)
	if v6 {
		bits, def = 32, 0x1234
	}
	id, err := l.num("id", def, bits)
	if err != nil {
		return nil, err
	}
	hlen := 40
	if !v6 {
		if len(b) < 20 || int(b[0]&15)*4 > len(b) || b[0]&15 < 5 {
			return nil, l.fail("only a whole IP packet can be cut")
		}
		hlen = int(b[0]&15) * 4
	}
	size &^= 7
	off := int(idx) * int(size)
	if off >= len(b)-hlen {
		return nil, l.fail("idx=%d is behind the end: %d bytes make %d pieces", idx, len(b)-hlen, (len(b)-hlen+int(size)-1)/int(size))
	}
	end := min(off+int(size), len(b)-hlen)
	more := end < len(b)-hlen
	h := append([]byte(nil), b[:hlen]...)
	if v6 {
		fh := FragmentHeader(b[6], off, more, uint32(id))
		h[6] = ProtoFragment
		binary.BigEndian.PutUint16(h[4:], uint16(8+end-off))
		h = append(h, fh[:]...)
	} else {
		binary.BigEndian.PutUint16(h[2:], uint16(hlen+end-off))
		if l.set("id") {
			binary.BigEndian.PutUint16(h[4:], uint16(id))
		}
		w := uint16(off / 8)
		if more {
			w |= 0x2000
		}
		binary.BigEndian.PutUint16(h[6:], w)
		SetIPv4Checksum(h)
	}
	return append(h, b[hlen+off:hlen+end]...), nil
}
