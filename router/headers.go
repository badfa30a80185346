package router

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/moat-router/moat/stack/packet"
)

// putHeader4 writes an IPv4 header of hdr bytes (options, if any, are already in place) for a packet of len(b) bytes.
func putHeader4(b []byte, hdr int, proto, tos, ttl uint8, id uint16, df bool, src, dst packet.Addr) {
	b[0], b[1] = 0x40|uint8(hdr/4), tos
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], 0)
	if df {
		b[6] = 0x40
	}
	b[8], b[9], b[10], b[11] = ttl, proto, 0, 0
	copy(b[12:16], src.Wire(false))
	copy(b[16:20], dst.Wire(false))
	h := header.IPv4(b)
	h.SetChecksum(^h.CalculateChecksum())
}

// putHeader6 writes an IPv6 header for a packet of len(b) bytes.
func putHeader6(b []byte, next, class, hops uint8, src, dst packet.Addr) {
	b[0], b[1], b[2], b[3] = 0x60|class>>4, class<<4, 0, 0
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-header.IPv6MinimumSize))
	b[6], b[7] = next, hops
	copy(b[8:24], src[:])
	copy(b[24:40], dst[:])
}
