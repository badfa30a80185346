package packet

import "encoding/binary"

// chain is the end of a walk over IPv6 extension headers.
type chain struct {
	proto   uint8
	off     int // of the transport header, from the start of the IPv6 header; may lie behind the last byte
	fragHdr int // of the fragment header, 0 if none
	fragOff int // bytes
	mf      bool
	id      uint32
	bad     bool
}

// walkExt walks the extension headers of the IPv6 packet b (at least 40 bytes) as ipv6_find_hdr of Linux does for the
// last header. It ends at what is no extension header, at "no next header", and behind the header of a later fragment.
func walkExt(b []byte) (c chain) {
	c.proto, c.off = b[6], 40
	for isExt(c.proto) && c.proto != ProtoNone {
		if c.proto == ProtoFragment {
			c.fragHdr = c.off // also if it is cut: reassembly has something to say
		}
		if len(b) < c.off+2 {
			c.bad = true
			return c
		}
		next, n := b[c.off], (int(b[c.off+1])+1)*8
		switch c.proto {
		case ProtoAH:
			n = (int(b[c.off+1]) + 2) * 4 // RFC 4302 2.2: in words of 32 bits, less 2
		case ProtoRouting:
			if len(b) < c.off+4 {
				c.bad = true
				return c
			}
		case ProtoFragment:
			if len(b) < c.off+4 {
				c.bad = true
				return c
			}
			n = 8
			w := binary.BigEndian.Uint16(b[c.off+2:])
			c.fragOff, c.mf = int(w&^7), w&1 != 0
			if len(b) >= c.off+8 {
				c.id = binary.BigEndian.Uint32(b[c.off+4:])
			}
			if c.fragOff != 0 {
				c.proto, c.off = next, c.off+n
				c.bad = isExt(next) && next != ProtoNone // what follows is in the first fragment
				return c
			}
		}
		c.proto, c.off = next, c.off+n
	}
	return c
}

// FindExt looks for the IPv6 extension header or transport protocol target (ipv6_find_hdr): its offset, and
// whether it is there. A later fragment's fragment header is found; nothing behind it is.
func (p *Packet) FindExt(target uint8) (off int, ok bool) {
	if !p.V6 {
		return 0, false
	}
	e := p.ExtHeaders()
	for proto, off, _, ok := e.Next(); ok; proto, off, _, ok = e.Next() {
		if proto == target {
			return off, true
		}
	}
	return p.L4, !p.ExtBad && p.FragOff == 0 && p.Proto == target
}

// NextHeaderOffset is where the number stands that names the transport protocol: the protocol field of an IPv4 header,
// the next-header field of the IPv6 header or of the last extension header.
func (p *Packet) NextHeaderOffset() int {
	if !p.V6 {
		return 9
	}
	at := 6
	e := p.ExtHeaders()
	for _, off, _, ok := e.Next(); ok; _, off, _, ok = e.Next() {
		at = off
	}
	return at
}

// ExtIter steps over the IPv6 extension headers of a packet.
type ExtIter struct {
	b     []byte
	proto uint8
	off   int
}

// ExtHeaders starts at the first extension header. An IPv4 packet has none.
func (p *Packet) ExtHeaders() ExtIter {
	if !p.V6 {
		return ExtIter{proto: ProtoNone}
	}
	return ExtIter{b: p.Data, proto: p.Data[6], off: 40}
}

// ExtHeadersAt starts at offset off with what proto names.
func (p *Packet) ExtHeadersAt(proto uint8, off int) ExtIter {
	return ExtIter{b: p.Data, proto: proto, off: off}
}

// At is the number and the offset of what Next would look at.
func (e *ExtIter) At() (proto uint8, off int) { return e.proto, e.off }

// Next gives the number, the offset and the length in bytes of the next extension header. The header may reach behind
// the end of the packet: off+2 <= len(p.Data) always holds, off+n <= len(p.Data) need not. It is false at the
// transport protocol, at "no next header", behind the header of a later fragment, and where the chain is cut.
func (e *ExtIter) Next() (proto uint8, off, n int, ok bool) {
	if !isExt(e.proto) || e.proto == ProtoNone || len(e.b) < e.off+2 {
		return 0, 0, 0, false
	}
	proto, off = e.proto, e.off
	n = (int(e.b[off+1]) + 1) * 8
	switch proto {
	case ProtoAH:
		n = (int(e.b[off+1]) + 2) * 4
	case ProtoFragment:
		n = 8
	}
	e.proto, e.off = e.b[off], off+n
	if proto == ProtoFragment && len(e.b) >= off+4 && binary.BigEndian.Uint16(e.b[off+2:])&^7 != 0 {
		e.proto = ProtoNone
	}
	return proto, off, n, true
}
