package packet

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
)

// Field is a named field of a packet, at Off and Len bytes long. Names are those of the notation: ip.id, tcp.seq,
// frag6.id, inner.udp.sport.
type Field struct {
	Name     string
	Off, Len int
}

// SumState is what is known of a checksum.
type SumState uint8

// The states of a checksum: Unknown for fragments and truncated quotes, where it cannot be computed.
const (
	SumUnknown SumState = iota
	SumGood
	SumBad
)

func sumState(ok bool) SumState {
	if ok {
		return SumGood
	}
	return SumBad
}

// NamedSum is the state of one checksum: ip, udp, tcp, icmp, and inner.ip and so on for a quoted packet.
type NamedSum struct {
	Name  string
	State SumState
}

// Anatomy is what Walk finds in a packet.
type Anatomy struct {
	Text   string // the notation
	Fields []Field
	Sums   []NamedSum
}

// Text is the notation of a datagram, which Build reads back where nothing is shortened: payloads are given by their
// length only. It never fails: what is no IP packet comes out as raw bytes.
func Text(b []byte) string { return Walk(b).Text }

// Walk takes a datagram apart for people and for the comparison of packets. It reads anything, and allocates.
func Walk(b []byte) Anatomy {
	w := walker{}
	text := w.packet(b, 0, "")
	return Anatomy{Text: text, Fields: w.fields, Sums: w.sums}
}

type walker struct {
	fields []Field
	sums   []NamedSum
}

func (w *walker) field(name string, off, n int) {
	w.fields = append(w.fields, Field{name, off, n})
}

func (w *walker) sum(name string, s SumState) { w.sums = append(w.sums, NamedSum{name, s}) }

// upper is the transport part of a packet and what its checksum needs.
type upper struct {
	b        []byte
	base     int    // offset of b in the outermost packet
	pre      string // "" or "inner."
	proto    uint8
	src, dst []byte
	length   int // as the IP header has it; may be negative
	whole    bool
}

// state verifies the checksum over b, with or without pseudo-header, where all of it is there.
func (u *upper) state(pseudo bool) SumState {
	if !u.whole || len(u.b) != u.length {
		return SumUnknown
	}
	s := uint16(0)
	if pseudo {
		s = PseudoSum(u.src, u.dst, u.proto, len(u.b))
	}
	return sumState(combineSum(u.b, s) == 0)
}

// packet walks one IP packet that starts base bytes into the outermost one.
func (w *walker) packet(b []byte, base int, pre string) string {
	if len(b) == 0 {
		return "empty"
	}
	switch {
	case b[0]>>4 == 4 && len(b) >= 20:
		return w.ip4(b, base, pre)
	case b[0]>>4 == 6 && len(b) >= 40:
		return w.ip6(b, base, pre)
	}
	return "raw " + hex.EncodeToString(b)
}

func (w *walker) ip4(b []byte, base int, pre string) string {
	ihl := int(b[0]&15) * 4
	total, id, fo := int(binary.BigEndian.Uint16(b[2:])), binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:])
	w.field(pre+"ip.id", base+4, 2)
	w.field(pre+"ip.ttl", base+8, 1)
	w.field(pre+"ip.csum", base+10, 2)
	if ihl > 20 {
		w.field(pre+"ip.opts", base+20, ihl-20)
	}
	head := b[:min(ihl, len(b))]
	ok := Sum(head) == 0
	w.sum(pre+"ip", sumState(ok))
	var t strings.Builder
	fmt.Fprintf(&t, "ip4 %s>%s ttl=%d id=%#x", ipText(b[12:16]), ipText(b[16:20]), b[8], id)
	if b[1] != 0 {
		fmt.Fprintf(&t, " tos=%#x", b[1])
	}
	if fo&0x4000 != 0 {
		t.WriteString(" df")
	}
	if fo&0x2000 != 0 {
		t.WriteString(" mf")
	}
	if fo&0x1fff != 0 {
		fmt.Fprintf(&t, " off=%d", int(fo&0x1fff)*8)
	}
	if ihl > 20 {
		t.WriteString(" opts=" + hex.EncodeToString(head[20:]))
	}
	if total != len(b) {
		fmt.Fprintf(&t, " len=%d", total)
	}
	if !ok {
		t.WriteString(" sum=BAD")
	}
	if fo&0x1fff != 0 {
		return t.String() + later(b[len(head):])
	}
	u := upper{b: b[len(head):], base: base + ihl, pre: pre, proto: b[9], src: b[12:16], dst: b[16:20], length: total - ihl, whole: fo&0x2000 == 0}
	return t.String() + w.upper(&u)
}

func (w *walker) ip6(b []byte, base int, pre string) string {
	word, plen := binary.BigEndian.Uint32(b), int(binary.BigEndian.Uint16(b[4:]))
	w.field(pre+"ip6.hlim", base+7, 1)
	w.field(pre+"ip6.flow", base+1, 3)
	var t strings.Builder
	fmt.Fprintf(&t, "ip6 %s>%s hlim=%d", ipText(b[8:24]), ipText(b[24:40]), b[7])
	if v := word & 0xfffff; v != 0 {
		fmt.Fprintf(&t, " fl=%#x", v)
	}
	if v := word >> 20 & 255; v != 0 {
		fmt.Fprintf(&t, " tc=%#x", v)
	}
	if plen != len(b)-40 {
		fmt.Fprintf(&t, " plen=%d", plen)
	}
	u := upper{pre: pre, proto: b[6], src: b[8:24], dst: b[24:40], length: plen, whole: true}
	off := 40
	for len(b) >= off+8 {
		name := map[uint8]string{ProtoHopByHop: "hbh", ProtoRouting: "rt6", ProtoDstOpts: "dstopt"}[u.proto]
		switch {
		case u.proto == ProtoFragment:
			fo := binary.BigEndian.Uint16(b[off+2:])
			w.field(pre+"frag6.id", base+off+4, 4)
			fmt.Fprintf(&t, " / frag6 off=%d id=%#x nh=%d", fo&^7, binary.BigEndian.Uint32(b[off+4:]), b[off])
			if fo&1 != 0 {
				t.WriteString(" mf")
			}
			u.whole = fo&^6 == 0
			u.proto = b[off]
			off += 8
			u.length -= 8
			if fo&^7 != 0 {
				return t.String() + later(b[off:])
			}
			continue
		case name != "":
			n := (int(b[off+1]) + 1) * 8
			t.WriteString(" / " + name + " " + hex.EncodeToString(b[off+2:min(off+n, len(b))]))
			u.proto = b[off]
			off += n
			u.length -= n
			continue
		}
		break
	}
	u.b, u.base = b[min(off, len(b)):], base+off
	return t.String() + w.upper(&u)
}

// later is the payload of a fragment that is not the first.
func later(b []byte) string { return fmt.Sprintf(" / raw[%d]", len(b)) }

func ipText(b []byte) string {
	a, _ := netip.AddrFromSlice(b)
	return a.String()
}

func (w *walker) upper(u *upper) string {
	n := len(u.b)
	switch {
	case u.proto == ProtoUDP && n >= 8:
		return w.udp(u)
	case u.proto == ProtoTCP && n >= 8:
		return w.tcp(u)
	case (u.proto == ProtoICMP || u.proto == ProtoICMPv6) && n >= 8:
		return w.icmp(u)
	}
	return fmt.Sprintf(" / proto%d raw[%d] %x", u.proto, n, u.b[:min(n, 16)])
}

func (w *walker) udp(u *upper) string {
	q := u.b
	w.field(u.pre+"udp.sport", u.base, 2)
	w.field(u.pre+"udp.dport", u.base+2, 2)
	w.field(u.pre+"udp.csum", u.base+6, 2)
	none, s := q[6]|q[7] == 0, u.state(true)
	if none && s == SumBad {
		s = SumGood
	}
	w.sum(u.pre+"udp", s)
	t := fmt.Sprintf(" / udp %d>%d len=%d", binary.BigEndian.Uint16(q), binary.BigEndian.Uint16(q[2:]), len(q)-8)
	if n := int(binary.BigEndian.Uint16(q[4:])); n != u.length {
		t += fmt.Sprintf(" ulen=%d", n)
	}
	t += bad(s)
	if none {
		t += " sum=none"
	}
	return t
}

func bad(s SumState) string {
	if s == SumBad {
		return " sum=BAD"
	}
	return ""
}

func (w *walker) tcp(u *upper) string {
	q := u.b
	w.field(u.pre+"tcp.sport", u.base, 2)
	w.field(u.pre+"tcp.dport", u.base+2, 2)
	w.field(u.pre+"tcp.seq", u.base+4, 4)
	t := fmt.Sprintf(" / tcp %d>%d", binary.BigEndian.Uint16(q), binary.BigEndian.Uint16(q[2:]))
	seq := binary.BigEndian.Uint32(q[4:])
	if len(q) < 20 {
		return t + fmt.Sprintf(" seq=%d (truncated %d)", seq, len(q))
	}
	w.field(u.pre+"tcp.ack", u.base+8, 4)
	w.field(u.pre+"tcp.win", u.base+14, 2)
	w.field(u.pre+"tcp.csum", u.base+16, 2)
	s := u.state(true)
	w.sum(u.pre+"tcp", s)
	flags := ""
	for _, f := range tcpFlagBits {
		if q[13]&f.bit != 0 {
			flags += string(rune(f.c))
		}
	}
	if flags == "" {
		flags = "-"
	}
	t += fmt.Sprintf(" %s seq=%d ack=%d win=%d", flags, seq, binary.BigEndian.Uint32(q[8:]), binary.BigEndian.Uint16(q[14:]))
	n := int(q[12]>>4) * 4
	if n > 20 {
		t += " opts=" + hex.EncodeToString(q[20:min(n, len(q))])
	}
	return t + fmt.Sprintf(" len=%d", max(0, len(q)-n)) + bad(s)
}

func (w *walker) icmp(u *upper) string {
	q, v6 := u.b, u.proto == ProtoICMPv6
	typ, code := q[0], q[1]
	w.field(u.pre+"icmp.csum", u.base+2, 2)
	s := u.state(v6)
	w.sum(u.pre+"icmp", s)
	name := "icmp"
	if v6 {
		name = "icmp6"
	}
	t := fmt.Sprintf(" / %s %d/%d", name, typ, code)
	switch {
	case !v6 && (typ == 0 || typ == 8), v6 && (typ == 128 || typ == 129):
		w.field(u.pre+"icmp.id", u.base+4, 2)
		return t + fmt.Sprintf(" id=%d seq=%d len=%d", binary.BigEndian.Uint16(q[4:]), binary.BigEndian.Uint16(q[6:]), len(q)-8) + bad(s)
	case !v6 && typ != 3 && typ != 4 && typ != 5 && typ != 11 && typ != 12, v6 && typ >= 128:
		if !v6 && typ >= 13 && typ <= 18 { // timestamp, information, address mask: they have an id that NAT changes
			w.field(u.pre+"icmp.id", u.base+4, 2)
		}
		return t + fmt.Sprintf(" len=%d", len(q)-8) + bad(s)
	}
	switch {
	case !v6 && typ == 3 && code == 4:
		t += fmt.Sprintf(" mtu=%d", binary.BigEndian.Uint16(q[6:]))
	case !v6 && typ == 12:
		t += fmt.Sprintf(" ptr=%d", q[4])
	case !v6 && typ == 5:
		t += " gw=" + ipText(q[4:8])
	case v6 && typ == 2:
		t += fmt.Sprintf(" mtu=%d", binary.BigEndian.Uint32(q[4:]))
	case v6 && typ == 4:
		t += fmt.Sprintf(" ptr=%d", binary.BigEndian.Uint32(q[4:]))
	}
	t += bad(s)
	if u.pre == "" && len(q) > 8 {
		t += " / [" + w.packet(q[8:], u.base+8, "inner.") + "]"
	}
	return t
}
