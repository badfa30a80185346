package packet

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
)

// Summed is what has been found out about the transport checksum by computing it: what Linux keeps in an skb's
// ip_summed, csum and csum_valid. Who asks again is answered from it, also where an edit has made the answer untrue: a
// prefix translation that breaks a checksum, a hop limit that makes a sum over the whole packet stale. CsumGood and
// NeedsCsum stand above it. The zero value: nobody has computed anything. Parse sets it.
type Summed struct {
	kept  sumKept
	right bool   // the last computation found the checksum right (csum_valid)
	head  uint16 // IPv6: the sum of the header's first eight bytes then
}

type sumKept uint8

const (
	sumNone    sumKept = iota // CHECKSUM_NONE
	sumWhole                  // CHECKSUM_COMPLETE: the sum of the whole packet, computed here
	sumTrusted                // CHECKSUM_UNNECESSARY
)

// VerifySum is TransportSumOK for connection tracking at PREROUTING, and remembers the answer.
func (p *Packet) VerifySum() bool {
	if p.CsumGood || p.NeedsCsum || p.trustsSum() {
		return true
	}
	ok := p.TransportSumOK()
	switch p.Proto {
	case ProtoSCTP:
		if ok {
			p.kept = sumTrusted
		}
	case ProtoUDPLite: // may have covered a part only
		p.right = ok
	default:
		p.noteSum(ok)
	}
	return ok
}

// SumOK tells whether the sum over the whole packet is right, as hooks behind connection tracking ask (nf_ip_checksum,
// nf_ip6_checksum). arriving is for PREROUTING and INPUT; elsewhere a sum that is kept counts as right unseen. Protocols
// without a checksum count as if they had one at their first byte. Linux sums over the IPv4 header, too. That makes a
// difference only where options were noted and the header's own checksum has not followed yet.
func (p *Packet) SumOK(arriving bool) bool {
	if p.CsumGood || p.NeedsCsum || p.kept == sumWhole && !arriving || p.trustsSum() {
		return true
	}
	b, sum := p.L4Bytes(), uint16(0)
	if !p.V6 {
		sum = checksum.Checksum(p.Data[:p.HeaderLen()], 0)
	}
	if p.V6 || p.Proto == ProtoTCP || p.Proto == ProtoUDP {
		src, dst := p.Src(), p.Dst()
		sum = checksum.Combine(sum, PseudoSum(src.Wire(p.V6), dst.Wire(p.V6), p.Proto, len(b)))
	}
	ok := checksum.Checksum(b, sum) == 0xffff
	p.noteSum(ok)
	return ok
}

// trustsSum compares a sum that is kept with the packet as it is now, and then trusts it for good.
func (p *Packet) trustsSum() bool {
	if p.kept == sumWhole && p.SumStands() {
		p.kept = sumTrusted
	}
	return p.kept == sumTrusted
}

func (p *Packet) noteSum(ok bool) {
	p.kept, p.right = sumWhole, ok
	if p.V6 {
		p.head = p.sumHead()
	}
}

// SumUnnecessary tells whether nobody needs to compute the checksum (skb_csum_unnecessary).
func (p *Packet) SumUnnecessary() bool {
	return p.CsumGood || p.NeedsCsum || p.right || p.kept == sumTrusted
}

// SumStands tells whether what is known of the checksum makes it right at the packet's end, in a socket: a kept sum does
// while the first eight bytes of an IPv6 header add up as they did then. New addresses are not noticed, as they stand in
// the header and in the pseudo-header alike.
func (p *Packet) SumStands() bool {
	return p.kept == sumTrusted || p.kept == sumWhole && p.right && (!p.V6 || p.head == p.sumHead())
}

// SumStale tells whether a sum is kept that says that the checksum is wrong, true or not.
func (p *Packet) SumStale() bool { return p.kept == sumWhole && !p.SumStands() }

// ForwardSum is what forwarding does to a kept sum: it is forgotten, but not that it was right (skb_forward_csum).
func (p *Packet) ForwardSum() {
	if p.kept == sumWhole {
		p.kept = sumNone
	}
}

func (p *Packet) sumHead() uint16 {
	h := binary.BigEndian.Uint64(p.Data)
	return foldSum(h>>32 + h&0xffffffff)
}
