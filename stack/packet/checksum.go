package packet

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
)

// Delta is by how much the one's complement sum over some bytes has changed: the sum of ~old + new over the 16-bit
// words that were written (RFC 1624, equation 3). The zero value is no change. Deltas add up, so that all edits
// of a header are brought into a checksum in one step.
type Delta uint16

// Word adds the change of one 16-bit word.
func (d Delta) Word(old, new uint16) Delta { return d.add(^old).add(new) }

// Bytes adds the change of some bytes that start at an even offset of what the checksum covers; both slices have the
// same length. An odd last byte counts as if a zero followed.
func (d Delta) Bytes(old, new []byte) Delta {
	if len(old) > 60 || len(old)&3 != 0 || len(old) != len(new) {
		return d.add(^sum(old)).add(sum(new))
	}
	s := uint64(d)
	for ; len(old) >= 4 && len(new) >= 4; old, new = old[4:], new[4:] {
		s += uint64(^binary.BigEndian.Uint32(old)) + uint64(binary.BigEndian.Uint32(new))
	}
	return Delta(foldSum(s))
}

// Swap is the change as it counts when the bytes stand at an odd offset (RFC 1071 2.B).
func (d Delta) Swap() Delta { return d<<8 | d>>8 }

func (d Delta) add(v uint16) Delta { return Delta(checksum.Combine(uint16(d), v)) }

// Fix brings the change into the checksum that stands in the first two bytes of field. The result is never 0xffff,
// the negative zero: as in csum_replace4 of Linux, which gives 0 instead.
func (d Delta) Fix(field []byte) {
	s := checksum.Combine(^binary.BigEndian.Uint16(field), uint16(d))
	if s == 0 {
		s = 0xffff
	}
	binary.BigEndian.PutUint16(field, ^s)
}

// FixUDP is Fix for UDP, where a checksum of 0 says that there is none (RFC 768): it stays 0, and a sum that comes out
// as 0 is sent as 0xffff.
func (d Delta) FixUDP(field []byte) {
	if field[0]|field[1] == 0 {
		return
	}
	d.Fix(field)
	if field[0]|field[1] == 0 {
		field[0], field[1] = 0xff, 0xff
	}
}

// FixPartial brings the change into the uncomplemented sum that stands in the field of a NeedsCsum packet. Only
// changes of the pseudo-header belong there: whoever completes the checksum adds the rest.
func (d Delta) FixPartial(field []byte) {
	binary.BigEndian.PutUint16(field, checksum.Combine(binary.BigEndian.Uint16(field), uint16(d)))
}

// FixSum16 updates the checksum in the first two bytes of field for one 16-bit word that went from old to new
// (RFC 1624).
func FixSum16(field []byte, old, new uint16) { Delta(0).Word(old, new).Fix(field) }

// Sum is the internet checksum of b (RFC 1071), ready to be stored: complemented. Over bytes that hold a valid
// checksum it gives 0.
func Sum(b []byte) uint16 { return ^sum(b) }

// sum is the uncomplemented sum of b.
func sum(b []byte) uint16 { return sumFrom(0, b) }

// sumFrom goes on from a sum that is not folded. Addresses and headers are short and of whole 32-bit words: a plain loop
// is faster for them than what is made for payloads.
func sumFrom(s uint64, b []byte) uint16 {
	if len(b) > 60 || len(b)&3 != 0 {
		return checksum.Checksum(b, foldSum(s))
	}
	return foldSum(addWords(s, b))
}

// addWords adds the whole 32-bit words of b.
func addWords(s uint64, b []byte) uint64 {
	for ; len(b) >= 8; b = b[8:] {
		v := binary.BigEndian.Uint64(b)
		s += v>>32 + v&0xffffffff
	}
	if len(b) >= 4 {
		s += uint64(binary.BigEndian.Uint32(b))
	}
	return s
}

// foldSum folds a sum of 32-bit words, fewer than 2^32 of them, into 16 bits.
func foldSum(s uint64) uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s>>16 + s)
}

// PseudoSum is the uncomplemented sum of the pseudo-header of a datagram's transport protocol: addresses, protocol
// and length in bytes of transport header and payload (RFC 9293 3.1, RFC 8200 8.1). src and dst are 4 or 16 bytes.
func PseudoSum(src, dst []byte, proto uint8, length int) uint16 {
	s := checksum.Combine(sum(src), sum(dst))
	s = checksum.Combine(s, uint16(length>>16))
	return checksum.Combine(checksum.Combine(s, uint16(length)), uint16(proto))
}

// SetIPv4Checksum computes the header checksum of the IPv4 packet that b starts with.
func SetIPv4Checksum(b []byte) {
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], Sum(b[:int(b[0]&15)*4]))
}

// combineSum is the checksum over b and a pseudo-header sum, ready to be stored.
func combineSum(b []byte, pseudo uint16) uint16 { return ^checksum.Checksum(b, pseudo) }
