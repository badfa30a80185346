package packet

// Headroom is what every buffer keeps free in front of the IP header: room for a virtio-net header and for growth.
const Headroom = 64

// MaxData is the largest datagram or super-segment: 65535 bytes of IPv4, 40 more for IPv6.
const MaxData = 65535 + 40

// GSO is the kind of super-segment, as in virtio-net.
type GSO uint8

// The kinds of super-segment.
const (
	GSONone GSO = iota
	GSOTCPv4
	GSOTCPv6
	GSOUDP // VIRTIO_NET_HDR_GSO_UDP_L4: datagrams of GSOSize payload bytes each
)

// Offload is what rides beside a datagram on a link that offloads: the virtio-net header in words. Offsets count
// from the first byte of the IP header. The zero value is an ordinary datagram whose checksums nobody has looked at.
type Offload struct {
	GSO       GSO
	ECN       bool   // TCP super-segment with CWR: only its first segment carries it
	GSOSize   uint16 // payload bytes of each segment but the last
	HdrLen    uint16 // bytes of headers that each segment repeats
	NeedsCsum bool   // the transport checksum holds only the uncomplemented pseudo-header sum
	CsumStart uint16
	CsumOff   uint16 // of the checksum field, from CsumStart
	CsumGood  bool   // the link vouches for the transport checksum (receive checksum offload)
}

// Piece is one fragment of a datagram as it arrived.
type Piece struct {
	Off uint16 // bytes, from the start of the fragmentable part
	Len uint16 // payload bytes
	DF  bool
}

// Packet is one datagram in a buffer that its owner may edit in place, with what Parse found in it. A Packet is
// owned by one worker at a time; views (IPv4, TCP, ...) point into it. After Parse has accepted it, no accessor
// can fail: lengths are proven once, at the door.
type Packet struct {
	// Data is the datagram from the first byte of the IP header. It lies in a larger buffer: Headroom bytes in front,
	// the rest of MaxData behind.
	Data []byte
	buf  []byte

	Offload
	Summed

	// What Parse found. For IPv6 Proto and L4 are those after the extension headers that can be walked.
	V6      bool
	Proto   uint8  // transport protocol; 59 (no next header) is possible
	L4      int    // offset of the transport header, or of a later fragment's payload
	FragOff int    // bytes; not 0: a later fragment, there is no transport header at L4
	MF      bool   // more fragments follow
	FragID  uint32 // identification: 16 bits in IPv4
	FragHdr int    // IPv6: offset of the fragment header, cut or whole; 0 if none. An atomic fragment has one, with FragOff 0 and !MF
	ExtBad  bool   // IPv6: the chain of extension headers is cut or cannot be walked

	// What reassembly left behind (Linux: frag_max_size). Empty for a datagram that came whole.
	Pieces  []Piece // in order of offset
	FragMax int     // size in bytes of the largest fragment that arrived, IP header included
	FragDF  bool    // IPv4: some fragment carried DF
	FragECN uint8   // ECN bits merged over all fragments
}

// New gives a packet with a buffer of its own of MaxData bytes.
func New() *Packet {
	p := &Packet{buf: make([]byte, Headroom+MaxData)}
	p.Data = p.buf[Headroom:Headroom]
	return p
}

// Buffer is the whole memory from Headroom on, for a link that reads into it; SetLen says how much arrived.
func (p *Packet) Buffer() []byte { return p.buf[Headroom:] }

// Front is the n bytes in front of the IP header (n <= Headroom), and then the datagram: what a link writes that
// prepends a header.
func (p *Packet) Front(n int) []byte { return p.buf[Headroom-n : Headroom+len(p.Data)] }

// Raw is the memory from n bytes in front of the IP header to the end of the buffer, for a link that reads a header
// and a datagram in one call.
func (p *Packet) Raw(n int) []byte { return p.buf[Headroom-n:] }

// SetLen makes Data the first n bytes of Buffer. Parsed fields are stale until Parse.
func (p *Packet) SetLen(n int) { p.Data = p.buf[Headroom : Headroom+n] }

// Load copies a datagram in and clears everything that rode along with the last one.
func (p *Packet) Load(b []byte) {
	p.Reset()
	p.SetLen(copy(p.buf[Headroom:], b))
}

// Reset clears everything but the buffer; Pieces keeps its capacity.
func (p *Packet) Reset() {
	b, pieces := p.buf, p.Pieces
	*p = Packet{}
	p.buf, p.Data, p.Pieces = b, b[Headroom:Headroom], pieces[:0]
}
