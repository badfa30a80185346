package packet

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// Quote is the packet that an ICMP error carries, and the edits that are made to it. It is read as leniently as the
// kernel does: any version and header length, truncated anywhere behind the addresses. Every edit keeps the quoted
// checksums as right or wrong as they were; Close then makes the error's own checksum:
//
//	if q, ok := p.Quote(); ok {
//		q.SetSrc(public)
//		q.SetSrcPort(sport)
//		q.Close()
//	}
type Quote struct {
	view
	outer *Packet

	FragOff int  // bytes; not 0: the quoted packet is a later fragment
	Bad     bool // no transport header can be found: a later fragment, or an extension header chain that is cut
}

// IsICMPError tells whether a datagram is an ICMP error that quotes a packet: ICMP destination unreachable, source
// quench, redirect, time exceeded and parameter problem; every ICMPv6 type below 128 (RFC 4443 2.1).
func (p *Packet) IsICMPError() bool {
	t := p.L4Bytes()
	if len(t) < 8 {
		return false
	}
	switch p.Proto {
	case ProtoICMP:
		switch t[0] {
		case 3, 4, 5, 11, 12:
			return !p.V6
		}
	case ProtoICMPv6:
		return p.V6 && t[0] < 128
	}
	return false
}

// Quote is a view on the packet behind an ICMP header, whatever the ICMP type says. It is false where not even the
// quoted IP header is whole, or where the header is longer than what is quoted (nf_ct_get_tuplepr fails there).
func (p *Packet) Quote() (q Quote, ok bool) {
	t := p.L4Bytes()
	if len(t) < 8 || p.Proto != ProtoICMP && p.Proto != ProtoICMPv6 {
		return q, false
	}
	q.outer = p
	q.b, q.v6 = t[8:], p.V6
	if !q.v6 {
		if len(q.b) < header.IPv4MinimumSize {
			return q, false
		}
		q.proto, q.l4 = q.b[9], int(q.b[0]&15)*4
		q.FragOff = int(binary.BigEndian.Uint16(q.b[6:])&0x1fff) * 8
		q.noL4 = q.FragOff != 0
		q.Bad = q.noL4
		return q, q.l4 <= len(q.b)
	}
	if len(q.b) < header.IPv6MinimumSize {
		return q, false
	}
	c := walkExt(q.b)
	q.proto, q.l4, q.FragOff = c.proto, c.off, c.fragOff
	q.Bad = c.bad || c.fragOff != 0 || c.proto == ProtoNone
	q.noL4 = q.Bad
	return q, true
}

// Pull does for the quoted transport header what Packet.Pull does for a header: it is going to be edited. Of TCP and SCTP
// eight bytes are enough where there are no more (nf_nat_proto.c).
func (q *Quote) Pull() {
	n := int(l4Of(q.proto).min)
	if have := len(q.L4Bytes()); n > have {
		n = min(8, have)
	}
	q.outer.Pull(q.outer.L4 + 8 + q.l4 + n)
}

// Bytes is the quoted packet, from its IP header to the end of the error.
func (q *Quote) Bytes() []byte { return q.b }

// V6 is the quoted packet's family: the error's.
func (q *Quote) V6() bool { return q.v6 }

// Proto is the quoted transport protocol, for IPv6 behind the extension headers that can be walked.
func (q *Quote) Proto() uint8 { return q.proto }

// L4 is the offset of the quoted transport header in Bytes.
func (q *Quote) L4() int { return q.l4 }

// L4Bytes is what is quoted of the transport header and payload; nil if there is none.
func (q *Quote) L4Bytes() []byte { return q.transport() }

// L4Len is the number of bytes in L4Bytes.
func (q *Quote) L4Len() int { return len(q.transport()) }

// Src is the quoted source address.
func (q *Quote) Src() Addr { return q.src() }

// Dst is the quoted destination address.
func (q *Quote) Dst() Addr { return q.dst() }

// Ports are the quoted ports, if the protocol has ports and four bytes of its header are quoted.
func (q *Quote) Ports() (src, dst uint16, ok bool) { return q.ports() }

// SetSrc writes the quoted source address.
func (q *Quote) SetSrc(a Addr) { q.setAddr(false, a) }

// SetDst writes the quoted destination address.
func (q *Quote) SetDst(a Addr) { q.setAddr(true, a) }

// SetSrcPort writes the quoted source port; false if the quote does not reach so far, or the protocol has no ports.
//
// A quoted SCTP packet gets a new CRC over what is quoted of it, as in Linux (sctp_manip_pkt).
func (q *Quote) SetSrcPort(v uint16) bool { return q.setPort(0, v) }

// SetDstPort writes the quoted destination port; false as for SetSrcPort.
func (q *Quote) SetDstPort(v uint16) bool { return q.setPort(2, v) }

// SetICMPID writes the id of a quoted ICMP query; false if it is not quoted. Whether the type has an id is for the
// caller to know.
func (q *Quote) SetICMPID(v uint16) bool {
	return q.setL4(4, v, len(q.transport()) >= 8 && (q.proto == ProtoICMP || q.proto == ProtoICMPv6))
}

// Set16 writes a word of the quoted transport header, off (even) bytes into it, with its checksum; false if it is not
// quoted. GRE keys go this way.
func (q *Quote) Set16(off int, v uint16) bool { return q.setL4(off, v, true) }

func (q *Quote) setPort(off int, v uint16) bool {
	if !q.setL4(off, v, HasPorts(q.proto)) {
		return false
	}
	if t := q.transport(); q.proto == ProtoSCTP && len(t) >= 12 {
		binary.LittleEndian.PutUint32(t[8:], sctpCRC(t))
	}
	return true
}

func (q *Quote) setL4(off int, v uint16, can bool) bool {
	if !can || len(q.transport()) < off+2 {
		return false
	}
	q.set16(off, v)
	return true
}

// Close computes the checksum of the ICMP error around the quote, from the addresses that the error has now. As in
// Linux (nf_nat_icmp_reply_translation) it is made anew: an error that came in with a wrong one, and that conntrack
// was told to trust, leaves with a right one. It may be called again after further edits.
func (q *Quote) Close() {
	if !q.outer.partial() {
		q.outer.PutTransportChecksum()
	}
}
