package packet

import (
	"encoding/binary"
	"hash/crc32"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
)

// TransportSumOK tells whether the transport checksum is right, as nf_conntrack_checksum asks: TCP, UDP, UDP-Lite,
// ICMP and ICMPv6 by internet checksum, SCTP by its CRC, all others are right. A checksum that the link vouches
// for or that is still to be completed counts as right, and so does a UDP checksum of 0. The sum runs to the end of the
// datagram whatever UDP's length says; UDP-Lite has a coverage of its own. A header that is cut is wrong. Like Linux,
// it deviates from RFC 3828: UDP-Lite is verified with UDP's protocol number in the pseudo-header, so that what a sender
// computes rightly is wrong here.
func (p *Packet) TransportSumOK() bool {
	if p.CsumGood || p.NeedsCsum {
		return true
	}
	t, l := p.L4Bytes(), l4Of(p.Proto)
	if p.Proto == ProtoSCTP {
		return len(t) >= int(l.min) && binary.LittleEndian.Uint32(t[8:]) == sctpCRC(t)
	}
	if !l.sum {
		return true
	}
	if len(t) < int(l.min) {
		return false
	}
	if p.Proto == ProtoUDP && t[6]|t[7] == 0 {
		return true
	}
	proto := p.Proto
	if proto == ProtoUDPLite {
		if t[6]|t[7] == 0 {
			return false
		}
		proto = ProtoUDP
	}
	c, ok := covered(p.Proto, t)
	return ok && sumFrom(p.pseudo(l, proto, len(t)), c) == 0xffff
}

// covered is the part of a datagram that its transport checksum covers: of UDP-Lite what its header says (RFC 3828 3.1),
// which may be impossible.
func covered(proto uint8, t []byte) ([]byte, bool) {
	if proto != ProtoUDPLite {
		return t, true
	}
	n := int(binary.BigEndian.Uint16(t[4:]))
	if n == 0 {
		return t, true
	}
	if n < 8 || n > len(t) {
		return t, false
	}
	return t[:n], true
}

// SetTransportChecksum computes the transport checksum over header and payload, for datagrams that the router builds or
// whose payload was edited. A UDP checksum of 0 stays 0: there was none. Not for fragments; NeedsCsum is
// over.
func (p *Packet) SetTransportChecksum() {
	t, l := p.L4Bytes(), l4Of(p.Proto)
	if p.Proto == ProtoSCTP {
		p.setSCTPChecksum()
		return
	}
	if !l.sum || len(t) < int(l.min) || p.IsFragment() {
		return
	}
	if p.partial() {
		p.NeedsCsum = false
	} else if p.Proto == ProtoUDP && t[6]|t[7] == 0 {
		return
	}
	p.PutTransportChecksum()
}

// PutTransportChecksum is SetTransportChecksum for a header that has just been written: a UDP field of 0 gets its sum,
// too.
func (p *Packet) PutTransportChecksum() {
	t, l := p.L4Bytes(), l4Of(p.Proto)
	if p.Proto == ProtoSCTP {
		p.setSCTPChecksum()
		return
	}
	if !l.sum || len(t) < int(l.min) {
		return
	}
	field := t[l.csum:][:2]
	field[0], field[1] = 0, 0
	c, _ := covered(p.Proto, t)
	s := ^sumFrom(p.pseudo(l, p.Proto, len(t)), c)
	if s == 0 && (p.Proto == ProtoUDP || p.Proto == ProtoUDPLite) {
		s = 0xffff
	}
	binary.BigEndian.PutUint16(field, s)
}

// CompleteChecksum finishes the checksum of a NeedsCsum packet, as a NIC would (skb_checksum_help): before it is cut,
// quoted, captured or sent where nobody else does it. A sum of 0 becomes 0xffff for every protocol. A start that lies
// outside of the datagram is left alone.
func (p *Packet) CompleteChecksum() {
	if p.NeedsCsum {
		p.Offload.CompleteChecksum(p.Data)
		p.NeedsCsum = false
	}
}

// CompleteChecksum does so in a copy of the datagram that o rode beside, if its checksum is partial.
func (o Offload) CompleteChecksum(datagram []byte) {
	start, at := int(o.CsumStart), int(o.CsumStart)+int(o.CsumOff)
	if !o.NeedsCsum || at+2 > len(datagram) {
		return
	}
	s := ^checksum.Checksum(datagram[start:], 0)
	if s == 0 {
		s = 0xffff
	}
	binary.BigEndian.PutUint16(datagram[at:], s)
}

// pseudo is the pseudo-header sum for n bytes of a transport protocol, not folded; 0 for protocols without.
func (p *Packet) pseudo(l *l4, proto uint8, n int) uint64 {
	if !l.pseudo {
		return 0
	}
	s := uint64(n) + uint64(proto)
	ends := p.Data[12:20]
	if p.V6 {
		ends = p.Data[8:40]
	}
	return addWords(s, ends)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sctpCRC is the CRC32c over an SCTP packet whose checksum field counts as zero (RFC 9260 6.8, appendix A).
func sctpCRC(t []byte) uint32 {
	c := ^crc32.Update(0, castagnoli, t[:8])
	for range 4 { // four zero bytes
		c = castagnoli[byte(c)] ^ c>>8
	}
	return crc32.Update(^c, castagnoli, t[12:])
}

func (p *Packet) setSCTPChecksum() {
	if t := p.L4Bytes(); len(t) >= 12 && !p.partial() && !p.IsFragment() {
		binary.LittleEndian.PutUint32(t[8:], sctpCRC(t))
	}
}
