package packet

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// SetSrc writes the source address. IPv4 header checksum and transport checksum follow; a later fragment has no
// transport header and none is touched.
func (p *Packet) SetSrc(a Addr) {
	v := p.writable()
	v.setAddr(false, a)
}

// SetDst writes the destination address, as SetSrc does.
func (p *Packet) SetDst(a Addr) {
	v := p.writable()
	v.setAddr(true, a)
}

// SetEnd writes one end of a datagram of TCP, UDP, UDP-Lite or DCCP, address and port, and brings both changes into the
// checksums in one step: what SetDst and SetDstPort do together, or SetSrc and SetSrcPort. It is false, and nothing has
// changed, for other protocols and where the ports are not there.
func (p *Packet) SetEnd(dst bool, a *Addr, port uint16) bool {
	l := l4Of(p.Proto)
	if !l.ports || p.Proto == ProtoSCTP || len(p.Data) < p.L4+4 || p.FragOff != 0 || p.ExtBad {
		return false
	}
	p.pullTransport(l)
	off, n, field := 12, 4, p.L4
	if p.V6 {
		off, n = 8, 16
	}
	if dst {
		off += n
		field += 2
	}
	at, wire := p.Data[off:off+n], a.Wire(p.V6)
	d := Delta(0).Bytes(at, wire)
	copy(at, wire)
	if !p.V6 {
		d.Fix(p.Data[10:])
	}
	partial, was := p.partial(), p.Data[field:field+2]
	if !partial { // a partial sum holds the addresses only
		d = d.Word(binary.BigEndian.Uint16(was), port)
	}
	binary.BigEndian.PutUint16(was, port)
	fixTransport(p.Data[p.L4:], p.Proto, l, partial, d, true)
	return true
}

// writable is the view for an edit of addresses or ports: the transport header then lies in the first piece.
func (p *Packet) writable() view {
	p.pullTransport(l4Of(p.Proto))
	return p.view()
}

func (p *Packet) pullTransport(l *l4) {
	if len(p.Pieces) > 1 && int(l.min) <= p.L4Len() {
		p.Pull(p.L4 + int(l.min))
	}
}

// Pull makes the first n bytes of Data part of the first of Pieces, as the kernel does that needs a header in one
// stretch of memory to write to it (skb_ensure_writable): the geometry with which the datagram leaves changes with it.
// Edits of addresses and ports do so for the transport header.
func (p *Packet) Pull(n int) {
	if len(p.Pieces) < 2 {
		return
	}
	rest := 0
	for _, q := range p.Pieces[1:] {
		rest += int(q.Len)
	}
	for need := n - (len(p.Data) - rest); need > 0 && len(p.Pieces) > 1; {
		take := min(need, int(p.Pieces[1].Len))
		need -= take
		p.Pieces[0].Len += uint16(take)
		p.Pieces[1].Off += uint16(take)
		if p.Pieces[1].Len -= uint16(take); p.Pieces[1].Len == 0 {
			p.Pieces = append(p.Pieces[:1], p.Pieces[2:]...)
		}
	}
}

// Linearize forgets the geometry that the datagram came in but for FragMax, as what needs all of its payload in one
// stretch does (skb_linearize: connection tracking helpers that read payload, TCPMSS): it leaves in pieces as long as
// the longest fragment that came in.
func (p *Packet) Linearize() { p.Pieces = p.Pieces[:0] }

// SetSrcPort writes the source port of TCP, UDP, UDP-Lite, SCTP or DCCP; false for other protocols, and if the header
// is not there.
func (p *Packet) SetSrcPort(v uint16) bool { return p.setPort(0, v) }

// SetDstPort writes the destination port, as SetSrcPort does.
func (p *Packet) SetDstPort(v uint16) bool { return p.setPort(2, v) }

func (p *Packet) setPort(off int, port uint16) bool {
	if !HasPorts(p.Proto) {
		return false
	}
	v := p.writable()
	if len(v.transport()) < off+2 {
		return false
	}
	v.set16(off, port)
	if p.Proto == ProtoSCTP {
		p.setSCTPChecksum()
	}
	return true
}

// SetICMPID writes the id of an ICMP or ICMPv6 query. Whether the type has an id is for the caller to know.
func (p *Packet) SetICMPID(id uint16) bool {
	return (p.Proto == ProtoICMP || p.Proto == ProtoICMPv6) && p.L4Len() >= 8 && p.Set16(4, id)
}

// Set16 writes a 16-bit word of the transport header or payload, off (even) bytes from L4, and fixes the transport
// checksum; false if those bytes are not there. SCTP's CRC is left alone. At an odd offset the checksum follows as it
// would at an even one, which makes it wrong: so does TCPMSS of Linux to an option that is not aligned. Overwrite is
// right at any offset.
func (p *Packet) Set16(off int, v uint16) bool {
	w := p.view()
	if len(w.transport()) < off+2 {
		return false
	}
	w.set16(off, v)
	return true
}

// Set32 is Set16 for a 32-bit word: sequence and acknowledgement numbers.
func (p *Packet) Set32(off int, v uint32) bool {
	return p.L4Len() >= off+4 && p.Set16(off, uint16(v>>16)) && p.Set16(off+2, uint16(v))
}

// Overwrite puts bytes over those at off from L4, even or odd, and fixes the transport checksum; false if they are not
// all there.
func (p *Packet) Overwrite(off int, new []byte) bool {
	w := p.view()
	t := w.transport()
	if off < 0 || len(t) < off+len(new) {
		return false
	}
	d := Delta(0).Bytes(t[off:off+len(new)], new)
	if off&1 == 1 {
		d = d.Swap()
	}
	copy(t[off:], new)
	w.fixTransport(d, false)
	return true
}

// SetTOS writes the type of service byte, or the traffic class.
func (p *Packet) SetTOS(tos uint8) {
	if p.V6 {
		p.Data[0] = 6<<4 | tos>>4
		p.Data[1] = tos<<4 | p.Data[1]&15
		return
	}
	p.set4(0, binary.BigEndian.Uint16(p.Data)&0xff00|uint16(tos))
}

// SetDSCP writes the upper six bits of the TOS (RFC 2474).
func (p *Packet) SetDSCP(dscp uint8) { p.SetTOS(dscp<<2 | p.TOS()&3) }

// SetECN writes the lower two bits of the TOS (RFC 3168).
func (p *Packet) SetECN(ecn uint8) { p.SetTOS(p.TOS()&^3 | ecn&3) }

// SetTTL writes the time to live, or the hop limit.
func (p *Packet) SetTTL(ttl uint8) {
	if p.V6 {
		p.Data[7] = ttl
		return
	}
	p.set4(8, uint16(ttl)<<8|uint16(p.Data[9]))
}

// DecTTL takes one from the time to live, or from the hop limit (RFC 1812 5.3.1). It must not be 0.
func (p *Packet) DecTTL() { p.SetTTL(p.TTL() - 1) }

// SetDF writes the don't-fragment flag of an IPv4 packet.
func (p *Packet) SetDF(df bool) {
	w := binary.BigEndian.Uint16(p.Data[6:]) &^ 0x4000
	if df {
		w |= 0x4000
	}
	p.set4(6, w)
}

// SetID writes the identification of an IPv4 packet.
func (p *Packet) SetID(id uint16) {
	p.set4(4, id)
	p.FragID = uint32(id)
}

// set4 writes a word of the IPv4 header and fixes its checksum.
func (p *Packet) set4(off int, v uint16) {
	FixSum16(p.Data[10:], binary.BigEndian.Uint16(p.Data[off:]), v)
	binary.BigEndian.PutUint16(p.Data[off:], v)
}

// setLen writes the length field of the IP header for the current length of Data.
func (p *Packet) setLen() {
	if p.V6 {
		binary.BigEndian.PutUint16(p.Data[4:], uint16(len(p.Data)-header.IPv6MinimumSize))
		return
	}
	p.set4(2, uint16(len(p.Data)))
}

// Replace puts new in the place of oldLen bytes at off, which counts from the start of Data and lies at or behind the
// transport header's end: the payload edit of NAT helpers (nf_nat_mangle_tcp_packet, nf_nat_mangle_udp_packet).
// IP and UDP lengths follow, and the transport checksum is made anew (a UDP checksum of 0 stays 0; of a NeedsCsum
// packet the pseudo-header sum follows the length). It is false, and nothing has changed, if the bytes are not
// there or the datagram would not fit its length field. The geometry that reassembly left behind is forgotten but
// for FragMax.
func (p *Packet) Replace(off, oldLen int, new []byte) bool {
	was, grow := len(p.Data), len(new)-oldLen
	if p.FragOff != 0 || p.ExtBad || off < p.L4 || oldLen < 0 || off+oldLen > was {
		return false
	}
	limit := 65535
	if p.V6 {
		limit += header.IPv6MinimumSize
	}
	if was+grow > limit {
		return false
	}
	b := p.Data[:max(was, was+grow)]
	copy(b[off+len(new):], b[off+oldLen:was])
	copy(b[off:], new)
	p.Data = b[:was+grow]
	p.Linearize()
	p.setLen()
	t := p.Data[p.L4:]
	if p.Proto == ProtoUDP && len(t) >= header.UDPMinimumSize {
		binary.BigEndian.PutUint16(t[4:], uint16(len(t)))
	}
	if p.partial() {
		d := Delta(0).Word(uint16(was-p.L4), uint16(len(t)))
		if l := l4Of(p.Proto); l.sum && len(t) >= int(l.min) {
			d.FixPartial(t[l.csum:])
		}
		return true
	}
	p.SetTransportChecksum()
	return true
}

// InsertTCPOption puts an option of 4n bytes in front of all others, with data offset, lengths and checksum, all
// incrementally as TCPMSS does. It is false where it does not fit: a data offset of 15 words, or a length field.
func (p *Packet) InsertTCPOption(opt []byte) bool {
	opts, ok := p.TCPOptions()
	n := len(opt)
	if !ok || n&3 != 0 || len(opts)+n > 40 || len(p.Data)+n > 65535 {
		return false
	}
	off, was := p.L4+header.TCPMinimumSize, len(p.Data)
	p.Data = p.Data[:was+n]
	copy(p.Data[off+n:], p.Data[off:was])
	copy(p.Data[off:], opt)
	p.Linearize()
	p.setLen()
	v := p.view()
	v.fixTransport(Delta(0).Word(uint16(was-p.L4), uint16(was-p.L4+n)), true)
	v.fixTransport(Delta(^Sum(opt)), false)
	w := binary.BigEndian.Uint16(p.Data[p.L4+12:])
	v.set16(12, w+uint16(n/4)<<12)
	return true
}
