package packet

import (
	"encoding/binary"
	"strings"
)

func (l *layer) udp(rest []layer, ip *pseudoEnds) ([]byte, error) {
	sport, dport, err := l.pair(">", 16)
	if err != nil {
		return nil, err
	}
	d, err := l.payload(rest, ip)
	if err != nil {
		return nil, err
	}
	n, err := l.num("ulen", uint64(8+len(d)), 16)
	if err != nil {
		return nil, err
	}
	if n > 65535 {
		return nil, l.fail("%d bytes do not fit a UDP datagram", n)
	}
	h := make([]byte, 8, 8+len(d))
	binary.BigEndian.PutUint16(h, uint16(sport))
	binary.BigEndian.PutUint16(h[2:], uint16(dport))
	binary.BigEndian.PutUint16(h[4:], uint16(n))
	h = append(h, d...)
	c := combineSum(h, ip.sum(ProtoUDP, len(h)))
	if c == 0 {
		c = 0xffff
	}
	c, err = l.sum(c)
	binary.BigEndian.PutUint16(h[6:], c)
	return h, err
}

func (l *layer) tcp(rest []layer, ip *pseudoEnds) ([]byte, error) {
	sport, dport, err := l.pair(">", 16)
	if err != nil {
		return nil, err
	}
	flags, err := l.tcpFlags()
	if err != nil {
		return nil, err
	}
	opts, err := l.tcpOptions()
	if err != nil {
		return nil, err
	}
	d, err := l.payload(rest, ip)
	if err != nil {
		return nil, err
	}
	var seq, ack, win, urg, doff uint64
	if err := l.nums(numAt{&seq, "seq", 0, 64}, numAt{&ack, "ack", 0, 64}, numAt{&win, "win", 65535, 16}, numAt{&urg, "urg", 0, 16},
		numAt{&doff, "doff", uint64(5 + len(opts)/4), 4}); err != nil {
		return nil, err
	}
	if doff > 15 {
		return nil, l.fail("%d bytes of options are more than 40", len(opts))
	}
	h := make([]byte, 20, 20+len(opts)+len(d))
	binary.BigEndian.PutUint16(h, uint16(sport))
	binary.BigEndian.PutUint16(h[2:], uint16(dport))
	binary.BigEndian.PutUint32(h[4:], uint32(seq))
	binary.BigEndian.PutUint32(h[8:], uint32(ack))
	h[12], h[13] = byte(doff<<4), flags
	binary.BigEndian.PutUint16(h[14:], uint16(win))
	binary.BigEndian.PutUint16(h[18:], uint16(urg))
	h = append(append(h, opts...), d...)
	c, err := l.sum(combineSum(h, ip.sum(ProtoTCP, len(h))))
	binary.BigEndian.PutUint16(h[16:], c)
	return h, err
}

// tcpFlagBits in the order in which Text prints them.
var tcpFlagBits = [...]struct {
	c   byte
	bit uint8
}{{'S', 2}, {'A', 16}, {'F', 1}, {'R', 4}, {'P', 8}, {'U', 32}, {'E', 64}, {'C', 128}}

func (l *layer) tcpFlags() (flags uint8, err error) {
	if len(l.args) < 2 || l.args[1] == "-" {
		return 0, nil
	}
next:
	for i := range len(l.args[1]) {
		for _, f := range tcpFlagBits {
			if f.c == l.args[1][i] {
				flags |= f.bit
				continue next
			}
		}
		return 0, l.fail("flag %q is unknown; flags are letters of SAFRPUEC, or -", l.args[1][i:i+1])
	}
	return flags, nil
}

func (l *layer) tcpOptions() ([]byte, error) {
	var o []byte
	if l.set("mss") {
		v, err := l.num("mss", 0, 16)
		if err != nil {
			return nil, err
		}
		o = binary.BigEndian.AppendUint16(append(o, 2, 4), uint16(v))
	}
	if l.set("ws") {
		v, err := l.num("ws", 0, 8)
		if err != nil {
			return nil, err
		}
		o = append(o, 1, 3, 3, byte(v))
	}
	if l.has("sackok") {
		o = append(o, 1, 1, 4, 2)
	}
	if ts, ok := l.opts["ts"]; ok {
		a, b, _ := strings.Cut(ts, ":")
		x, err := number(a, 32)
		if err != nil {
			return nil, l.fail("ts=%s is not VALUE:ECHO: %w", ts, err)
		}
		y, err := number(b, 32)
		if err != nil {
			return nil, l.fail("ts=%s is not VALUE:ECHO: %w", ts, err)
		}
		o = binary.BigEndian.AppendUint32(append(o, 1, 1, 8, 10), uint32(x))
		o = binary.BigEndian.AppendUint32(o, uint32(y))
	}
	more, err := l.hex(l.opts["opts"])
	return pad4(append(o, more...)), err
}

func (l *layer) icmp(rest []layer, ip *pseudoEnds) ([]byte, error) {
	typ, code, err := l.pair("/", 8)
	if err != nil {
		return nil, err
	}
	d, err := l.payload(rest, nil)
	if err != nil {
		return nil, err
	}
	if l.set("trunc") {
		n, err := l.num("trunc", 0, 16)
		if err != nil {
			return nil, err
		}
		d = d[:min(int(n), len(d))]
	}
	h := make([]byte, 8, 8+len(d))
	h[0], h[1] = byte(typ), byte(code)
	if err := l.icmpRest(h, typ, code); err != nil {
		return nil, err
	}
	h = append(h, d...)
	pseudo := uint16(0)
	if l.kind == "icmp6" {
		pseudo = ip.sum(ProtoICMPv6, len(h))
	}
	c, err := l.sum(combineSum(h, pseudo))
	binary.BigEndian.PutUint16(h[2:], c)
	return h, err
}

// icmpRest fills bytes 4 to 7 of an ICMP header, which every type uses in its own way.
func (l *layer) icmpRest(h []byte, typ, code uint64) error {
	var id, seq, mtu, ptr uint64
	v6 := l.kind == "icmp6"
	wide := 16
	if v6 {
		wide = 32
	}
	if err := l.nums(numAt{&id, "id", 1, 16}, numAt{&seq, "seq", 1, 16}, numAt{&mtu, "mtu", 0, wide}, numAt{&ptr, "ptr", 0, wide}); err != nil {
		return err
	}
	switch {
	case !v6 && (typ == 0 || typ == 8 || typ == 13 || typ == 14), v6 && (typ == 128 || typ == 129):
		binary.BigEndian.PutUint16(h[4:], uint16(id))
		binary.BigEndian.PutUint16(h[6:], uint16(seq))
	case !v6 && typ == 3 && code == 4:
		binary.BigEndian.PutUint16(h[6:], uint16(mtu))
	case !v6 && typ == 12:
		if ptr > 255 {
			return l.fail("ptr=%d is not a number of 8 bits", ptr)
		}
		h[4] = byte(ptr)
	case !v6 && typ == 5 && l.set("gw"):
		gw, err := address(l.opts["gw"], false)
		if err != nil {
			return l.fail("gw: %w", err)
		}
		copy(h[4:], gw)
	case v6 && typ == 2:
		binary.BigEndian.PutUint32(h[4:], uint32(mtu))
	case v6 && typ == 4:
		binary.BigEndian.PutUint32(h[4:], uint32(ptr))
	}
	return nil
}
