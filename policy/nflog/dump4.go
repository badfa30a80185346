package nflog

import "encoding/binary"

var be = binary.BigEndian

// dump walks a packet. Its methods tell whether they came to the end: where they did not, the kernel returns at once
// and prints no MARK.
type dump struct {
	data  []byte
	flags Flags
	limit int // of the line's slice: nothing behind it will be kept
}

// at gives n bytes from off, or nil if they are not all there.
func (d *dump) at(off, n int) []byte {
	if off < 0 || n < 0 || off+n > len(d.data) {
		return nil
	}
	return d.data[off : off+n]
}

// incomplete tells how much is left from off, in the kernel's unsigned arithmetic.
func (d *dump) incomplete(b []byte, off int) []byte {
	return append(number(b, "INCOMPLETE [", uint32(len(d.data)-off)), " bytes] "...)
}

// icmpNeeds are the bytes that each type must have to be shown (RFC 792; an error: its header and the quoted one's).
var icmpNeeds = [19]int{0: 4, 3: 28, 4: 28, 5: 28, 8: 4, 11: 28, 12: 28, 13: 20, 14: 20, 17: 12, 18: 12}

func (d *dump) ip4(b []byte, off int) ([]byte, bool) {
	h := d.at(off, 20)
	if h == nil {
		return append(b, "TRUNCATED"...), false
	}
	b = addr4(b, "SRC=", h[12:])
	b = addr4(b, " DST=", h[16:])
	b = number(b, " LEN=", uint32(be.Uint16(h[2:])))
	b = octet(b, " TOS=0x", h[1]&0x1e)
	b = octet(b, " PREC=0x", h[1]&0xe0)
	b = number(b, " TTL=", uint32(h[8]))
	b = append(number(b, " ID=", uint32(be.Uint16(h[4:]))), ' ')
	frag := be.Uint16(h[6:])
	if frag&0x8000 != 0 {
		b = append(b, "CE "...)
	}
	if frag&0x4000 != 0 {
		b = append(b, "DF "...)
	}
	if frag&0x2000 != 0 {
		b = append(b, "MF "...)
	}
	frag &= 0x1fff
	if frag != 0 {
		b = append(number(b, "FRAG:", uint32(frag)), ' ')
	}
	ihl := int(h[0]&15) * 4
	if d.flags&IPOpt != 0 && ihl > 20 {
		opt := d.at(off+20, ihl-20)
		if opt == nil {
			return append(b, "TRUNCATED"...), false
		}
		b = options(b, opt)
	}
	l4 := off + ihl
	switch proto := h[9]; proto {
	case 6:
		return d.tcp(b, l4, frag != 0)
	case 17:
		return d.udp(b, "PROTO=UDP ", l4, frag != 0)
	case 136:
		return d.udp(b, "PROTO=UDPLITE ", l4, frag != 0)
	case 1:
		return d.icmp(b, l4, frag != 0, off == 0), true
	case 51:
		// The kernel does not name the protocol of a later fragment here, as it does for the others.
		if frag == 0 {
			b = d.spi(append(b, "PROTO=AH "...), l4, 12, 4)
		}
		return b, true
	case 50:
		b = append(b, "PROTO=ESP "...)
		if frag == 0 {
			b = d.spi(b, l4, 8, 0)
		}
		return b, true
	default:
		return append(number(b, "PROTO=", uint32(proto)), ' '), true
	}
}

// icmp appends an ICMP header; the packet it quotes is shown only at the outermost level.
func (d *dump) icmp(b []byte, off int, later, outer bool) []byte {
	b = append(b, "PROTO=ICMP "...)
	if later {
		return b
	}
	h := d.at(off, 8)
	if h == nil {
		return d.incomplete(b, off)
	}
	typ, code := h[0], h[1]
	b = number(b, "TYPE=", uint32(typ))
	b = append(number(b, " CODE=", uint32(code)), ' ')
	if int(typ) < len(icmpNeeds) && len(d.data)-off < icmpNeeds[typ] {
		return d.incomplete(b, off)
	}
	switch typ {
	case 0, 8:
		b = number(b, "ID=", uint32(be.Uint16(h[4:])))
		return append(number(b, " SEQ=", uint32(be.Uint16(h[6:]))), ' ')
	case 12:
		return append(number(b, "PARAMETER=", uint32(h[4])), ' ')
	case 5:
		b = append(addr4(b, "GATEWAY=", h[4:]), ' ')
	case 3, 4, 11:
	default:
		return b
	}
	if outer {
		b, _ = d.ip4(append(b, '['), off+8)
		b = append(b, "] "...)
	}
	if typ == 3 && code == 4 {
		b = append(number(b, "MTU=", uint32(be.Uint16(h[6:]))), ' ')
	}
	return b
}

// spi appends the security parameters index of an AH or ESP header of size bytes.
func (d *dump) spi(b []byte, off, size, field int) []byte {
	h := d.at(off, size)
	if h == nil {
		return d.incomplete(b, off)
	}
	return append(hexNumber(b, "SPI=0x", be.Uint32(h[field:]), 1), ' ')
}
