package scenario

import (
	"encoding/binary"
	"fmt"

	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

// Offload is what a sender leaves to the device: it rides beside the packets of a step, as a virtio-net header does. The
// packets themselves are written down whole and with complete checksums.
type Offload struct {
	// Partial leaves the transport checksum of TCP and UDP to the device (VIRTIO_NET_HDR_F_NEEDS_CSUM).
	Partial bool `json:"partial,omitempty"`
	// GSO makes super-segments of TCP and UDP packets with more payload than that, in bytes: what their segments hold each.
	// Their checksums are partial.
	GSO int `json:"gso,omitempty"`
}

// takesAll is what an interface with Interface.Offload takes.
var takesAll = link.Offloads{Csum: true, TSO4: true, TSO6: true, USO: true}

// Of gives a packet as its sender hands it to the device, and the metadata beside it. Fragments and other protocols go as
// they are. b stays as it is.
func (o Offload) Of(b []byte) (data []byte, m packet.Offload, err error) {
	if !o.Partial && o.GSO == 0 {
		return b, m, nil
	}
	if o.GSO < 0 || o.GSO > 0xffff {
		return nil, m, fmt.Errorf("gso %d: segments hold 1 to 65535 bytes", o.GSO)
	}
	p := packet.New()
	p.Load(b)
	if p.Parse() != packet.ReasonNone || p.IsFragment() {
		return b, m, nil
	}
	at, ok := map[uint8]int{packet.ProtoTCP: 16, packet.ProtoUDP: 6}[p.Proto]
	head, whole := p.PayloadOff()
	if !ok || !whole {
		return b, m, nil
	}
	src, dst := p.Src(), p.Dst()
	binary.BigEndian.PutUint16(p.Data[p.L4+at:], packet.PseudoSum(src.Wire(p.V6), dst.Wire(p.V6), p.Proto, p.L4Len()))
	m = packet.Offload{NeedsCsum: true, CsumStart: uint16(p.L4), CsumOff: uint16(at)}
	if o.GSO == 0 || len(b) <= head+o.GSO {
		return p.Data, m, nil
	}
	m.GSOSize, m.HdrLen = uint16(o.GSO), uint16(head)
	switch {
	case p.Proto == packet.ProtoUDP:
		m.GSO = packet.GSOUDP
	case p.V6:
		m.GSO = packet.GSOTCPv6
	default:
		m.GSO = packet.GSOTCPv4
	}
	const cwr = 0x80
	m.ECN = p.Proto == packet.ProtoTCP && p.Data[p.L4+13]&cwr != 0
	return p.Data, m, nil
}
