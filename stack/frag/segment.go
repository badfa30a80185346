package frag

import (
	"encoding/binary"
	"errors"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/moat-router/moat/stack/packet"
)

// headersLen is the length of all headers of a super-segment; false if they are not whole.
func headersLen(p *packet.Packet) (int, bool) {
	if p.IsFragment() {
		return 0, false
	}
	switch p.GSO {
	case packet.GSOTCPv4, packet.GSOTCPv6:
		if p.Proto != packet.ProtoTCP {
			return 0, false
		}
	case packet.GSOUDP:
		if p.Proto != packet.ProtoUDP {
			return 0, false
		}
	}
	return p.PayloadOff()
}

// NetworkLen is the length in bytes of the longest segment of a super-segment, IP header included
// (skb_gso_network_seglen); of an ordinary datagram its own.
func NetworkLen(p *packet.Packet) int {
	n, ok := headersLen(p)
	if p.GSO == packet.GSONone || !ok {
		return p.Len()
	}
	return min(p.Len(), n+int(p.GSOSize))
}

// Segment cuts a super-segment into what its sender would have sent without offload, one after the other in out, with
// complete checksums: IPv4 ids count up, TCP sequence numbers go on, FIN and PSH stay with the last and CWR with
// the first (tcp_gso_segment, __udp_gso_segment). A super-segment whose headers are not what it claims is
// ErrUncuttable.
func Segment(p, out *packet.Packet, emit func(*packet.Packet) error) error {
	hlen, ok := headersLen(p)
	size := int(p.GSOSize)
	if !ok || size == 0 {
		return ErrUncuttable
	}
	pay := p.Data[hlen:]
	for i, off := 0, 0; i == 0 || off < len(pay); i, off = i+1, off+size {
		end := min(off+size, len(pay))
		out.Reset()
		out.SetLen(hlen + end - off)
		copy(out.Data, p.Data[:hlen])
		copy(out.Data[hlen:], pay[off:end])
		b := out.Data
		if p.V6 {
			binary.BigEndian.PutUint16(b[4:], uint16(len(b)-header.IPv6MinimumSize))
		} else {
			binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
			binary.BigEndian.PutUint16(b[4:], p.ID()+uint16(i))
			packet.SetIPv4Checksum(b)
		}
		out.Parse()
		if p.GSO == packet.GSOUDP {
			binary.BigEndian.PutUint16(b[p.L4+4:], uint16(len(b)-p.L4))
		} else {
			segmentTCP(header.TCP(b[p.L4:]), off, off > 0, end == len(pay))
		}
		if p.NeedsCsum {
			// The sender's partial sum holds but for the length: what is wrong with it stays wrong (th->check + delta).
			out.Offload = packet.Offload{NeedsCsum: true, CsumStart: p.CsumStart, CsumOff: p.CsumOff}
			packet.Delta(0).Word(uint16(p.L4Len()), uint16(out.L4Len())).FixPartial(b[int(p.CsumStart)+int(p.CsumOff):])
			out.CompleteChecksum()
		} else {
			out.PutTransportChecksum()
		}
		if err := emit(out); err != nil {
			return err
		}
	}
	return nil
}

// First is the first segment of a super-segment, for a quote: it is the Cutter's, until its next use. What is no
// super-segment, or claims to be one and is not, is p itself.
func (c *Cutter) First(p *packet.Packet) *packet.Packet {
	first := p
	if p.GSO != packet.GSONone {
		Segment(p, c.segment, func(s *packet.Packet) error {
			first = s
			return errEnough
		})
	}
	return first
}

var errEnough = errors.New("that was enough")

// segmentTCP gives a segment its place in the stream.
func segmentTCP(t header.TCP, off int, later, last bool) {
	const fin, psh, cwr = 1, 8, 0x80
	t.SetSequenceNumber(t.SequenceNumber() + uint32(off))
	f := uint8(t.Flags())
	if !last {
		f &^= fin | psh
	}
	if later {
		f &^= cwr
	}
	t.SetFlags(f)
}
