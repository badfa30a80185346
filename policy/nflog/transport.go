package nflog

// flagNames are those of TCP's flag bits from the ninth down, in the order in which they are printed. AE (RFC 9768)
// stands in the last of the formerly reserved bits.
var flagNames = [9]string{"AE ", "CWR ", "ECE ", "URG ", "ACK ", "PSH ", "RST ", "SYN ", "FIN "}

func (d *dump) tcp(b []byte, off int, later bool) ([]byte, bool) {
	b = append(b, "PROTO=TCP "...)
	if later {
		return b, true
	}
	h := d.at(off, 20)
	if h == nil {
		return d.incomplete(b, off), false
	}
	b = ports(b, h)
	if d.flags&TCPSeq != 0 {
		b = number(b, "SEQ=", be.Uint32(h[4:]))
		b = append(number(b, " ACK=", be.Uint32(h[8:])), ' ')
	}
	b = number(b, "WINDOW=", uint32(be.Uint16(h[14:])))
	bits := be.Uint16(h[12:])
	b = append(hexNumber(b, " RES=0x", uint32(bits&0x0e00)>>6, 2), ' ')
	for i, name := range flagNames {
		if bits&(0x100>>i) != 0 {
			b = append(b, name...)
		}
	}
	b = append(number(b, "URGP=", uint32(be.Uint16(h[18:]))), ' ')
	if size := int(h[12]>>4) * 4; d.flags&TCPOpt != 0 && size > 20 {
		opt := d.at(off+20, size-20)
		if opt == nil {
			return append(b, "OPT (TRUNCATED)"...), false
		}
		b = options(b, opt)
	}
	return b, true
}

// udp appends a header of UDP or UDP-Lite. For the latter LEN is what the field says: its checksum coverage.
func (d *dump) udp(b []byte, label string, off int, later bool) ([]byte, bool) {
	b = append(b, label...)
	if later {
		return b, true
	}
	h := d.at(off, 8)
	if h == nil {
		return d.incomplete(b, off), false
	}
	b = ports(b, h)
	return append(number(b, "LEN=", uint32(be.Uint16(h[4:]))), ' '), true
}

func ports(b, h []byte) []byte {
	b = number(b, "SPT=", uint32(be.Uint16(h)))
	return append(number(b, " DPT=", uint32(be.Uint16(h[2:]))), ' ')
}
