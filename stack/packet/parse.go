package packet

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// Parse is the door: what Linux checks in ip_rcv_core and ip6_rcv_core before any hook. It proves version, lengths and
// IPv4 header checksum, cuts off trailing bytes and fills in the parsed fields. A transport header that is cut or
// missing is no death here: conntrack calls it INVALID, matches do not match or drop, and accessors say what is there.
// A chain of extension headers that cannot be walked sets ExtBad. Addresses are not judged: that needs to know
// the router.
func (p *Packet) Parse() Reason {
	b := p.Data
	if len(b) == 0 {
		return ReasonEmpty
	}
	switch b[0] >> 4 {
	case 4:
		return p.parse4(b)
	case 6:
		return p.parse6(b)
	}
	return ReasonIPVersion
}

func (p *Packet) parse4(b []byte) Reason {
	if len(b) < header.IPv4MinimumSize {
		return ReasonIPTruncated
	}
	ihl, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	switch {
	case ihl < header.IPv4MinimumSize:
		return ReasonIPHeaderLength
	case ihl > len(b):
		return ReasonIPTruncated
	case Sum(b[:ihl]) != 0:
		return ReasonIPChecksum
	case total > len(b):
		return ReasonIPTruncated
	case total < ihl:
		return ReasonIPHeaderLength
	}
	w := binary.BigEndian.Uint16(b[6:])
	p.Data = b[:total]
	p.V6, p.Proto, p.L4 = false, b[9], ihl
	p.FragOff, p.MF, p.FragID = int(w&0x1fff)*8, w&0x2000 != 0, uint32(binary.BigEndian.Uint16(b[4:]))
	p.FragHdr, p.ExtBad = 0, false
	p.Summed = Summed{}
	return ReasonNone
}

func (p *Packet) parse6(b []byte) Reason {
	if len(b) < header.IPv6MinimumSize {
		return ReasonIPTruncated
	}
	n := int(binary.BigEndian.Uint16(b[4:]))
	switch {
	case n == 0 && b[6] == ProtoHopByHop:
		// A jumbogram, if the option says so. Linux lets it be as long as it came and looks at the option later.
		if len(b) > MaxData {
			return ReasonJumbo
		}
		n = len(b) - header.IPv6MinimumSize
	case n+header.IPv6MinimumSize > len(b):
		return ReasonIPTruncated
	}
	p.Data = b[:header.IPv6MinimumSize+n]
	c := walkExt(p.Data)
	p.V6, p.Proto, p.L4 = true, c.proto, c.off
	p.FragOff, p.MF, p.FragID = c.fragOff, c.mf, c.id
	p.FragHdr, p.ExtBad = c.fragHdr, c.bad
	p.Summed = Summed{}
	return ReasonNone
}
