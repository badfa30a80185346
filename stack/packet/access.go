package packet

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// IPv4 is the header and payload of an IPv4 packet; not to be asked for with V6.
func (p *Packet) IPv4() header.IPv4 { return header.IPv4(p.Data) }

// IPv6 is the header and payload of an IPv6 packet; only to be asked for with V6.
func (p *Packet) IPv6() header.IPv6 { return header.IPv6(p.Data) }

// Len is the length in bytes as rules count it: IP header and everything behind.
func (p *Packet) Len() int { return len(p.Data) }

// HeaderLen is the length of the IP header: of IPv4 with its options, of IPv6 always 40.
func (p *Packet) HeaderLen() int {
	if p.V6 {
		return header.IPv6MinimumSize
	}
	return int(p.Data[0]&15) * 4
}

// Src is the source address.
func (p *Packet) Src() Addr {
	if p.V6 {
		return Addr6(p.Data[8:])
	}
	return Addr4(p.Data[12:])
}

// Ends writes the addresses to where they are wanted: it saves the copies that Src and Dst make.
func (p *Packet) Ends(src, dst *Addr) {
	le := binary.LittleEndian
	if p.V6 {
		d := p.Data[8:40]
		le.PutUint64(src[:8], le.Uint64(d))
		le.PutUint64(src[8:], le.Uint64(d[8:]))
		le.PutUint64(dst[:8], le.Uint64(d[16:]))
		le.PutUint64(dst[8:], le.Uint64(d[24:]))
		return
	}
	d := p.Data[12:20]
	const mapped = 0xffff << 16
	le.PutUint64(src[:8], 0)
	le.PutUint64(src[8:], mapped|uint64(le.Uint32(d))<<32)
	le.PutUint64(dst[:8], 0)
	le.PutUint64(dst[8:], mapped|uint64(le.Uint32(d[4:]))<<32)
}

// Dst is the destination address.
func (p *Packet) Dst() Addr {
	if p.V6 {
		return Addr6(p.Data[24:])
	}
	return Addr4(p.Data[16:])
}

// TOS is the type of service byte, or the traffic class: DSCP in the upper six bits, ECN in the lower two.
func (p *Packet) TOS() uint8 {
	if p.V6 {
		return p.Data[0]<<4 | p.Data[1]>>4
	}
	return p.Data[1]
}

// TTL is the time to live, or the hop limit.
func (p *Packet) TTL() uint8 {
	if p.V6 {
		return p.Data[7]
	}
	return p.Data[8]
}

// FlowLabel is the 20 bits of an IPv6 flow label; 0 for IPv4.
func (p *Packet) FlowLabel() uint32 {
	if !p.V6 {
		return 0
	}
	return binary.BigEndian.Uint32(p.Data) & 0xfffff
}

// ID is the identification of an IPv4 packet; of IPv6 the lower 16 bits of the fragment header's.
func (p *Packet) ID() uint16 { return uint16(p.FragID) }

// DF is the don't-fragment flag. IPv6 is never fragmented by routers: true.
func (p *Packet) DF() bool { return p.V6 || p.Data[6]&0x40 != 0 }

// Options are the IPv4 options with their padding; nil if there are none.
func (p *Packet) Options() []byte {
	if p.V6 || p.L4 == header.IPv4MinimumSize {
		return nil
	}
	return p.Data[header.IPv4MinimumSize:p.L4]
}

// IsFragment tells whether this is one of several pieces. An atomic fragment (RFC 6946) is not.
func (p *Packet) IsFragment() bool { return p.MF || p.FragOff != 0 }

// HasL4 tells whether conntrack can find a transport protocol (nf_conntrack's get_l4proto): not in later fragments, not
// behind a broken chain, not for "no next header". How much of its header is there is another question: L4Len. An IPv6
// extension header may even reach behind the end of the packet; a protocol without ports is tracked all the same.
func (p *Packet) HasL4() bool {
	return p.FragOff == 0 && !p.ExtBad && !(p.V6 && p.Proto == ProtoNone)
}

// L4Bytes is the transport header and payload; nil for later fragments and behind a broken chain.
func (p *Packet) L4Bytes() []byte {
	if p.FragOff != 0 || p.ExtBad || p.L4 > len(p.Data) {
		return nil
	}
	return p.Data[p.L4:]
}

// L4Len is the number of bytes in L4Bytes.
func (p *Packet) L4Len() int { return len(p.L4Bytes()) }

// Ports are source and destination port, if the protocol has them and four bytes of its header are there.
func (p *Packet) Ports() (src, dst uint16, ok bool) {
	v := p.view()
	return v.ports()
}

func (v *view) ports() (src, dst uint16, ok bool) {
	t := v.transport()
	if len(t) < 4 || !HasPorts(v.proto) {
		return 0, 0, false
	}
	return binary.BigEndian.Uint16(t), binary.BigEndian.Uint16(t[2:]), true
}

// TCP is the TCP header and payload, if twenty bytes are there. Its data offset is not proven: ask TCPOptions and
// Payload, not the methods of header.TCP.
func (p *Packet) TCP() (header.TCP, bool) {
	t := p.L4Bytes()
	return header.TCP(t), p.Proto == ProtoTCP && len(t) >= header.TCPMinimumSize
}

// TCPOptions are the bytes between the fixed header and the data offset; false if the header is cut or its data offset
// impossible.
func (p *Packet) TCPOptions() ([]byte, bool) {
	t, ok := p.TCP()
	if !ok {
		return nil, false
	}
	n := int(t[12]>>4) * 4
	if n < header.TCPMinimumSize || n > len(t) {
		return nil, false
	}
	return t[header.TCPMinimumSize:n], true
}

// UDP is the header and payload of UDP or UDP-Lite, if eight bytes are there. Its length field is not proven.
func (p *Packet) UDP() (header.UDP, bool) {
	t := p.L4Bytes()
	return header.UDP(t), (p.Proto == ProtoUDP || p.Proto == ProtoUDPLite) && len(t) >= header.UDPMinimumSize
}

// ICMPv4 is the ICMP header and what follows, if eight bytes are there.
func (p *Packet) ICMPv4() (header.ICMPv4, bool) {
	t := p.L4Bytes()
	return header.ICMPv4(t), p.Proto == ProtoICMP && len(t) >= header.ICMPv4MinimumSize
}

// ICMPv6 is the ICMPv6 header and what follows, if eight bytes are there.
func (p *Packet) ICMPv6() (header.ICMPv6, bool) {
	t := p.L4Bytes()
	return header.ICMPv6(t), p.Proto == ProtoICMPv6 && len(t) >= 8
}

// PayloadOff is the offset in Data of what TCP, UDP or UDP-Lite carry; false if the header is cut or malformed, or for
// other protocols.
func (p *Packet) PayloadOff() (int, bool) {
	switch p.Proto {
	case ProtoTCP:
		o, ok := p.TCPOptions()
		return p.L4 + header.TCPMinimumSize + len(o), ok
	case ProtoUDP, ProtoUDPLite:
		_, ok := p.UDP()
		return p.L4 + header.UDPMinimumSize, ok
	}
	return 0, false
}

// Payload is what TCP, UDP or UDP-Lite carry; nil as PayloadOff is false.
func (p *Packet) Payload() []byte {
	off, ok := p.PayloadOff()
	if !ok {
		return nil
	}
	return p.Data[off:]
}

func (p *Packet) view() view {
	return view{b: p.Data, v6: p.V6, proto: p.Proto, l4: p.L4, noL4: p.FragOff != 0 || p.ExtBad, partial: p.partial()}
}

// partial tells whether the transport checksum is still to be completed. A NeedsCsum that starts elsewhere is that of
// an encapsulated header; the outer checksum is then an ordinary one.
func (p *Packet) partial() bool { return p.NeedsCsum && int(p.CsumStart) == p.L4 }
