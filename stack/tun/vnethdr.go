package tun

import (
	"encoding/binary"

	"github.com/moat-router/moat/stack/packet"
)

// hdrLen is sizeof(struct virtio_net_hdr): flags, gso_type, hdr_len, gso_size, csum_start, csum_offset. The legacy
// header of a TUN is in the machine's byte order.
const hdrLen = 10

// Values of struct virtio_net_hdr (virtio 1.2, 5.1.6).
const (
	flagNeedsCsum = 1
	flagDataValid = 2

	gsoNone  = 0
	gsoTCPv4 = 1
	gsoTCPv6 = 4
	gsoUDPL4 = 5
	gsoECN   = 0x80
)

// Where the checksum field lies in the headers that can be segmented.
const (
	tcpCsumOff = 16
	udpCsumOff = 6
	udpHdrLen  = 8
	tcpMinLen  = 20
)

// decode turns the header that the kernel put in front of p.Data into p.Offload. It returns false if the two
// contradict each other; p is then not to be used. The kernel's hdr_len is only a hint (the linear part of its
// buffer), so HdrLen is taken from the transport header.
func decode(h []byte, p *packet.Packet) bool {
	o := &p.Offload
	n := len(p.Data)
	o.CsumGood = h[0]&flagDataValid != 0
	if h[0]&flagNeedsCsum != 0 {
		o.NeedsCsum = true
		o.CsumStart = binary.NativeEndian.Uint16(h[6:])
		o.CsumOff = binary.NativeEndian.Uint16(h[8:])
		if int(o.CsumStart)+int(o.CsumOff)+2 > n {
			return false
		}
	}
	kind := h[1] &^ gsoECN
	if kind == gsoNone {
		return h[1] == gsoNone
	}
	if !o.NeedsCsum { // nothing would say where the transport header starts
		return false
	}
	l4 := int(o.CsumStart)
	switch kind {
	case gsoTCPv4, gsoTCPv6:
		if o.CsumOff != tcpCsumOff || l4+tcpMinLen > n {
			return false
		}
		size := int(p.Data[l4+12]>>4) * 4
		if size < tcpMinLen {
			return false
		}
		o.HdrLen = uint16(l4 + size)
		o.GSO, o.ECN = packet.GSOTCPv4, h[1]&gsoECN != 0
		if kind == gsoTCPv6 {
			o.GSO = packet.GSOTCPv6
		}
	case gsoUDPL4:
		if o.CsumOff != udpCsumOff || h[1]&gsoECN != 0 {
			return false
		}
		o.HdrLen, o.GSO = uint16(l4+udpHdrLen), packet.GSOUDP
	default:
		return false
	}
	o.GSOSize = binary.NativeEndian.Uint16(h[4:])
	return o.GSOSize > 0 && int(o.HdrLen) <= n && l4+udpHdrLen <= n
}

// encode writes p.Offload as the header that the kernel expects.
func encode(h []byte, o *packet.Offload) {
	clear(h[:hdrLen])
	if o.NeedsCsum {
		h[0] = flagNeedsCsum
		binary.NativeEndian.PutUint16(h[6:], o.CsumStart)
		binary.NativeEndian.PutUint16(h[8:], o.CsumOff)
	}
	if o.GSO == packet.GSONone {
		return
	}
	h[1] = [...]byte{packet.GSOTCPv4: gsoTCPv4, packet.GSOTCPv6: gsoTCPv6, packet.GSOUDP: gsoUDPL4}[o.GSO]
	if o.ECN {
		h[1] |= gsoECN
	}
	binary.NativeEndian.PutUint16(h[2:], o.HdrLen)
	binary.NativeEndian.PutUint16(h[4:], o.GSOSize)
}
