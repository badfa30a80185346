package packet

// SettleOffload looks at the metadata once Parse has run. It returns false where they are not about this datagram: a
// checksum inside the IP header or behind the end; a super-segment of another protocol or family, with its header elsewhere, or in a fragment. The
// kernel's own are always right, but who may send raw packets with a virtio header may claim anything. A super-segment that
// fits into one segment is none, as in virtio_net_hdr_to_skb.
func (p *Packet) SettleOffload() bool {
	if p.NeedsCsum && (int(p.CsumStart) < p.L4 || int(p.CsumStart)+int(p.CsumOff)+2 > len(p.Data)) {
		return false
	}
	fits := p.partial() && !p.IsFragment()
	switch p.GSO {
	case GSONone:
		return true
	case GSOTCPv4:
		fits = fits && p.Proto == ProtoTCP && !p.V6
	case GSOTCPv6:
		fits = fits && p.Proto == ProtoTCP && p.V6
	case GSOUDP:
		fits = fits && p.Proto == ProtoUDP
	default:
		fits = false
	}
	if fits && len(p.Data) <= int(p.HdrLen)+int(p.GSOSize) {
		p.GSO, p.ECN, p.GSOSize, p.HdrLen = GSONone, false, 0, 0
	}
	return fits
}
