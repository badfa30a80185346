package packet

import "encoding/binary"

// view is what edits work on: a whole datagram or one quoted in an ICMP error, from its IP header to its last byte.
// It is the one path for both families and for both kinds.
type view struct {
	b       []byte
	v6      bool
	proto   uint8
	l4      int  // offset of the transport header; bytes at and behind it may be missing
	noL4    bool // a later fragment, or a chain that cannot be walked: no transport header
	partial bool // the checksum field holds the uncomplemented pseudo-header sum

}

// addrOff is where the source address stands, and how long an address is. The destination follows it.
func (v *view) addrOff() (off, n int) {
	if v.v6 {
		return 8, 16
	}
	return 12, 4
}

// transport is the bytes from the transport header on that are there.
func (v *view) transport() []byte {
	if v.noL4 || v.l4 > len(v.b) {
		return nil
	}
	return v.b[v.l4:]
}

// setAddr writes an address and brings the change into the IPv4 header checksum and into the transport checksum.
func (v *view) setAddr(dst bool, a Addr) {
	off, n := v.addrOff()
	if dst {
		off += n
	}
	field := v.b[off : off+n]
	d := Delta(0).Bytes(field, a.Wire(v.v6))
	copy(field, a.Wire(v.v6))
	if !v.v6 {
		d.Fix(v.b[10:])
	}
	v.fixTransport(d, true)
}

// set16 writes a word of the transport header, off bytes into it, and brings the change into its checksum.
func (v *view) set16(off int, new uint16) {
	field := v.transport()[off : off+2]
	d := Delta(0).Word(binary.BigEndian.Uint16(field), new)
	binary.BigEndian.PutUint16(field, new)
	v.fixTransport(d, false)
}

// fixTransport brings a change of the addresses (pseudo) or of the transport header into the transport checksum,
// if there is one and its header is there: not in later fragments, nor in quotes that are cut before it.
func (v *view) fixTransport(d Delta, pseudo bool) {
	fixTransport(v.transport(), v.proto, l4Of(v.proto), v.partial, d, pseudo)
}

func fixTransport(t []byte, proto uint8, l *l4, partial bool, d Delta, pseudo bool) {
	if !l.sum || len(t) < int(l.min) || pseudo && !l.pseudo {
		return
	}
	field := t[l.csum:][:2]
	switch {
	case partial:
		if pseudo {
			d.FixPartial(field)
		}
	case proto == ProtoUDP:
		d.FixUDP(field)
	case proto == ProtoUDPLite: // has no "none": a 0 is changed like any other, and never sent (RFC 3828 3.1)
		d.Fix(field)
		if field[0]|field[1] == 0 {
			field[0], field[1] = 0xff, 0xff
		}
	default:
		d.Fix(field)
	}
}

func (v *view) src() Addr {
	if v.v6 {
		return Addr6(v.b[8:])
	}
	return Addr4(v.b[12:])
}

func (v *view) dst() Addr {
	if v.v6 {
		return Addr6(v.b[24:])
	}
	return Addr4(v.b[16:])
}
