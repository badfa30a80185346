package defrag

import (
	"encoding/binary"

	"github.com/moat-router/moat/stack/packet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// maxLen is the largest total length of IPv4 and the largest payload length of IPv6.
const maxLen = 65535

// fragment is what the book wants to know of one fragment.
type fragment struct {
	key
	off, end int  // of its payload in the fragmentable part, bytes
	more     bool // more fragments follow
	df       bool
	ecn      uint8  // 1 << the ECN field
	size     int    // bytes of the datagram that carried it
	raw      []byte // that datagram
	head     int    // raw[:head] stands in front of the payload of the whole: IPv4 header; IPv6 unfragmentable part
	at       int    // where the payload begins in raw
	payload  []byte
	nhOff    int   // IPv6: where raw names the fragment header
	next     uint8 // IPv6: what the fragment header names
	csumGood bool
	dev      int // device on which it arrived
}

// key says which fragments belong together.
type key struct {
	src, dst packet.Addr
	id       uint32
	user     uint32
	in       int // IPv6: interface, where the scope of the key is one
	proto    uint8
	kind     kind
}

// kind is which of Linux's three reassemblies a fragment meets; each has its own limits and memory.
type kind uint8

const (
	kind4      kind = iota // IPv4, for conntrack and for local delivery
	kind6                  // IPv6 conntrack
	kind6Local             // IPv6 local delivery
	kinds
)

func (k kind) v6() bool { return k != kind4 }

// look is what a first look at a datagram says.
type look uint8

const (
	notFragment look = iota
	aFragment
	broken // a fragment that dies before its queue is looked for
)

// read4 reads a parsed IPv4 datagram.
func read4(p *packet.Packet, in int, user uint32) (f fragment, is look) {
	b := p.Data
	h := header.IPv4(b)
	flags := binary.BigEndian.Uint16(b[6:])
	if flags&0x3fff == 0 {
		return f, notFragment
	}
	ihl := int(h.HeaderLength())
	f = fragment{
		key:  key{src: packet.Addr4(b[12:]), dst: packet.Addr4(b[16:]), id: uint32(h.ID()), user: user, proto: b[9], kind: kind4},
		off:  int(flags&0x1fff) * 8,
		more: flags&0x2000 != 0, df: flags&0x4000 != 0,
		ecn: 1 << (b[1] & 3), raw: b, head: ihl, at: ihl, payload: b[ihl:], csumGood: p.CsumGood, dev: in,
	}
	f.end = f.off + len(f.payload)
	return f, aFragment
}

// read6 reads a parsed IPv6 datagram. It is no fragment if it has no fragment header that can be reached.
func read6(p *packet.Packet, in int, user uint32) (f fragment, is look) {
	b := p.Data
	nhOff, at := fragHeader(b)
	end := at + header.IPv6FragmentHeaderSize
	switch {
	case at == 0 || header.IPv6(b).PayloadLength() == 0: // a jumbogram has no use for fragments
		return f, notFragment
	case end > len(b):
		return f, broken
	}
	h := header.IPv6Fragment(b[at:])
	tos, _ := header.IPv6(b).TOS()
	f = fragment{
		key:  key{src: packet.Addr6(b[8:]), dst: packet.Addr6(b[24:]), id: h.ID(), user: user, kind: kind6},
		off:  int(h.FragmentOffset()) * 8,
		more: h.More(),
		ecn:  1 << (tos & 3), size: len(b), raw: b, head: at, at: end, payload: b[end:],
		nhOff: nhOff, next: h.NextHeader(), csumGood: p.CsumGood, dev: in,
	}
	if user == UserLocal {
		f.kind = kind6Local
	}
	if scoped(f.dst) {
		f.key.in = in
	}
	f.end = f.off + len(f.payload)
	switch {
	case f.kind == kind6Local && f.off == 0 && !f.more:
		return f, notFragment // RFC 6946: local delivery passes an atomic fragment over
	case f.headersCut() && f.kind == kind6:
		return f, notFragment // Linux's conntrack lets it pass as it is (measured)
	case f.headersCut():
		return f, broken
	}
	return f, aFragment
}

// ParamProblem is the code and pointer of the ICMPv6 Parameter Problem that local delivery owes the sender of p, which
// Add has dropped for UserLocal with ReasonFragMalformed (RFC 8200 4.5; measured). Not ok: none is due. Conntrack
// never answers.
func ParamProblem(p *packet.Packet) (code uint8, ptr uint32, ok bool) {
	if !p.V6 {
		return 0, 0, false
	}
	f, is := read6(p, 0, UserLocal)
	switch {
	case is == broken && f.headersCut():
		return 3, 0, true // first fragment without all headers (RFC 7112)
	case is != aFragment:
		return 0, 0, false
	case f.end > maxLen:
		return 0, uint32(f.head) + 2, true // the offset is wrong
	case f.more && f.end&7 != 0:
		return 0, 4, true // the payload length is wrong
	}
	return 0, 0, false
}

// scoped tells whether an IPv6 destination means something on one link only (multicast, fe80::/10).
func scoped(a packet.Addr) bool { return a[0] == 0xff || a[0] == 0xfe && a[1]&0xc0 == 0x80 }

// The extension headers that Linux can walk (ipv6_ext_hdr).
const (
	nhHopByHop = 0
	nhTCP      = 6
	nhUDP      = 17
	nhRouting  = 43
	nhFragment = 44
	nhAuth     = 51
	nhICMPv6   = 58
	nhNone     = 59
	nhDestOpts = 60
)

func walkable(nh uint8) bool {
	switch nh {
	case nhHopByHop, nhRouting, nhFragment, nhAuth, nhNone, nhDestOpts:
		return true
	}
	return false
}

// extLen is the length in bytes of the extension header nh that begins b (len(b) >= 2).
func extLen(nh uint8, b []byte) int {
	if nh == nhAuth {
		return (int(b[1]) + 2) * 4
	}
	return (int(b[1]) + 1) * 8
}

// fragHeader finds the fragment header of an IPv6 datagram, at 0 if there is none, and the byte that names it.
func fragHeader(b []byte) (nhOff, at int) {
	nhOff, at = 6, header.IPv6MinimumSize
	for nh := b[nhOff]; nh != nhFragment; nh = b[nhOff] {
		if !walkable(nh) || nh == nhNone || at+2 > len(b) {
			return 0, 0
		}
		nhOff, at = at, at+extLen(nh, b[at:])
	}
	if at > len(b) {
		return 0, 0
	}
	return nhOff, at
}

// headersCut tells whether a first fragment lacks a header up to and including the transport header (RFC 7112;
// ipv6frag_thdr_truncated). A chain that cannot be walked is not for us to judge.
func (f *fragment) headersCut() bool {
	if f.off != 0 {
		return false
	}
	nh, b := f.next, f.payload
	for walkable(nh) && nh != nhNone {
		if len(b) < 2 {
			return false
		}
		n := extLen(nh, b)
		if nh == nhFragment {
			if len(b) < 4 || binary.BigEndian.Uint16(b[2:])&^7 != 0 {
				return false
			}
			n = 8
		}
		nh = b[0]
		if n > len(b) {
			return !walkable(nh)
		}
		b = b[n:]
	}
	need := 1
	switch nh {
	case nhTCP:
		need = header.TCPMinimumSize
	case nhUDP, nhICMPv6:
		need = 8
	case nhNone:
		return false
	}
	return len(b) < need
}
