package packet

// The transport protocols and IPv6 extension headers that this package knows, by their IANA numbers.
const (
	ProtoHopByHop = 0
	ProtoICMP     = 1
	ProtoIGMP     = 2
	ProtoTCP      = 6
	ProtoUDP      = 17
	ProtoDCCP     = 33
	ProtoRouting  = 43
	ProtoFragment = 44
	ProtoGRE      = 47
	ProtoESP      = 50
	ProtoAH       = 51
	ProtoICMPv6   = 58
	ProtoNone     = 59
	ProtoDstOpts  = 60
	ProtoSCTP     = 132
	ProtoUDPLite  = 136
)

// l4 is what edits need to know of a transport header. The zero row is a protocol without ports and without a
// checksum that an address takes part in.
type l4 struct {
	min    uint8 // bytes that must be there before the checksum is touched, as in nf_nat_proto.c
	csum   uint8 // offset of the internet checksum
	pseudo bool  // it covers the pseudo-header
	sum    bool  // there is an internet checksum
	ports  bool  // source and destination port stand in the first four bytes
}

var l4s = [256]l4{
	ProtoTCP:     {min: 20, csum: 16, sum: true, pseudo: true, ports: true},
	ProtoUDP:     {min: 8, csum: 6, sum: true, pseudo: true, ports: true},
	ProtoUDPLite: {min: 8, csum: 6, sum: true, pseudo: true, ports: true},
	ProtoDCCP:    {min: 4, ports: true}, // Linux 6.18 tracks and translates it as a protocol that it does not know: its checksum is left alone
	ProtoSCTP:    {min: 12, ports: true},
	ProtoICMP:    {min: 8, csum: 2, sum: true},
	ProtoICMPv6:  {min: 8, csum: 2, sum: true, pseudo: true},
}

func l4Of(proto uint8) *l4 { return &l4s[proto] }

// HasPorts tells whether a protocol's header starts with a source and a destination port.
func HasPorts(proto uint8) bool { return l4Of(proto).ports }

// isExt tells whether a number is an IPv6 extension header that ends or continues a chain (ipv6_ext_hdr).
func isExt(proto uint8) bool {
	switch proto {
	case ProtoHopByHop, ProtoRouting, ProtoFragment, ProtoAH, ProtoNone, ProtoDstOpts:
		return true
	}
	return false
}
