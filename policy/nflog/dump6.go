package nflog

// The extension headers that nf_ip6_ext_hdr knows.
const (
	extHop      = 0
	extRouting  = 43
	extFragment = 44
	extESP      = 50
	extAuth     = 51
	extNone     = 59
	extDest     = 60
)

func (d *dump) ip6(b []byte, off int, outer bool) ([]byte, bool) {
	h := d.at(off, 40)
	if h == nil {
		return append(b, "TRUNCATED"...), false
	}
	b = addr6(b, "SRC=", h[8:])
	b = addr6(b, " DST=", h[24:])
	word := be.Uint32(h)
	b = number(b, " LEN=", uint32(be.Uint16(h[4:]))+40)
	b = number(b, " TC=", word>>20&0xff)
	b = number(b, " HOPLIMIT=", uint32(h[7]))
	b = append(number(b, " FLOWLBL=", word&0xfffff), ' ')

	next, l4, later := h[6], off+40, false
	opt := d.flags&IPOpt != 0
	for {
		switch next {
		case extHop, extRouting, extFragment, extESP, extAuth, extDest:
		default:
			return d.upper6(b, next, l4, later, outer)
		}
		h := d.at(l4, 2)
		if h == nil {
			return append(b, "TRUNCATED"...), false
		}
		if opt {
			b = append(b, "OPT ( "...)
		}
		if len(b) > d.limit {
			return b, false
		}
		size := int(h[1])*8 + 8
		switch next {
		case extFragment:
			b = append(b, "FRAG:"...)
			h = d.at(l4, 8)
			if h == nil {
				return append(b, "TRUNCATED "...), false
			}
			where := be.Uint16(h[2:])
			b = append(number(b, "", uint32(where&0xfff8)), ' ')
			if where&1 != 0 {
				b = append(b, "INCOMPLETE "...)
			}
			b = append(hexNumber(b, "ID:", be.Uint32(h[4:]), 8), ' ')
			later = later || where&0xfff8 != 0
			size = 8
		case extHop, extRouting, extDest:
			if later {
				return closed(b, opt), false
			}
		case extAuth:
			if opt {
				b = append(b, "AH "...)
				if later {
					return closed(b, true), false
				}
				b = d.spi(b, l4, 12, 4)
				if d.at(l4, 12) == nil {
					return closed(b, true), false
				}
			}
			size = int(h[1])*4 + 8
		case extESP:
			if opt {
				b = append(b, "ESP "...)
				if !later {
					b = d.spi(b, l4, 8, 0)
				}
			}
			return closed(b, opt), false
		}
		if opt {
			b = append(b, ") "...)
		}
		next, l4 = h[0], l4+size
	}
}

// closed appends the bracket that ends an option list for good.
func closed(b []byte, opt bool) []byte {
	if opt {
		b = append(b, ')')
	}
	return b
}

func (d *dump) upper6(b []byte, proto uint8, off int, later, outer bool) ([]byte, bool) {
	switch proto {
	case 6:
		return d.tcp(b, off, later)
	case 17:
		return d.udp(b, "PROTO=UDP ", off, later)
	case 136:
		return d.udp(b, "PROTO=UDPLITE ", off, later)
	case 58:
	default:
		return append(number(b, "PROTO=", uint32(proto)), ' '), true
	}
	b = append(b, "PROTO=ICMPv6 "...)
	if later {
		return b, true
	}
	h := d.at(off, 8)
	if h == nil {
		return d.incomplete(b, off), false
	}
	typ := h[0]
	b = number(b, "TYPE=", uint32(typ))
	b = append(number(b, " CODE=", uint32(h[1])), ' ')
	switch typ {
	case 128, 129:
		b = number(b, "ID=", uint32(be.Uint16(h[4:])))
		return append(number(b, " SEQ=", uint32(be.Uint16(h[6:]))), ' '), true
	case 4:
		b = append(hexNumber(b, "POINTER=", be.Uint32(h[4:]), 8), ' ')
	case 1, 2, 3:
	default:
		return b, true
	}
	if outer {
		b, _ = d.ip6(append(b, '['), off+8, false)
		b = append(b, "] "...)
	}
	if typ == 2 {
		b = append(number(b, "MTU=", be.Uint32(h[4:])), ' ')
	}
	return b, true
}
