package packet

import "encoding/binary"

// ParamProblem is the ICMPv6 parameter problem that is due for a packet (RFC 4443 3.4): nothing if Send is false.
type ParamProblem struct {
	Send bool
	Code uint8
	Ptr  uint32 // offset of the mistake in the datagram
}

// The options that Linux knows hop by hop (RFC 8200 4.2, RFC 2711, RFC 5570, RFC 9486, RFC 2675).
const (
	tlvPad1        = 0
	tlvPadN        = 1
	tlvRouterAlert = 5
	tlvCALIPSO     = 7
	tlvIOAM        = 0x31
	tlvJumbo       = 0xc2
)

// CheckHopByHop reads the hop-by-hop options of an IPv6 packet, as Linux does before any hook (ipv6_parse_hopopts;
// scenario E10-hbh-dstopt). most is how many options other than padding are allowed (net.ipv6.max_hbh_opts_number: 8); a
// negative one refuses unknown options, too. alert tells whether there is a router alert. The packet lives on with
// ReasonNone; otherwise it dies, and the answer in problem is due.
func (p *Packet) CheckHopByHop(most int) (alert bool, problem ParamProblem, why Reason) {
	if !p.V6 || p.Data[6] != ProtoHopByHop {
		return false, problem, ReasonNone
	}
	return p.checkOptions(40, most, true)
}

// CheckDestOptions reads the destination options header at off, as the node does that the packet is for
// (ipv6_destopt_rcv). most is as for CheckHopByHop (net.ipv6.max_dst_opts_number: 8).
func (p *Packet) CheckDestOptions(off, most int) (problem ParamProblem, why Reason) {
	_, problem, why = p.checkOptions(off, most, false)
	return problem, why
}

// checkOptions walks the options of one header (ip6_parse_tlv).
func (p *Packet) checkOptions(at, most int, hopByHop bool) (alert bool, problem ParamProblem, why Reason) {
	b := p.Data
	if len(b) < at+8 || len(b) < at+(int(b[at+1])+1)*8 {
		return false, problem, ReasonIPv6ExtHeader
	}
	strict := most < 0
	if strict {
		most = -most
	}
	pad, end := 0, at+(int(b[at+1])+1)*8
	for off := at + 2; off < end; {
		kind := b[off]
		if kind == tlvPad1 {
			if pad++; pad > 7 {
				return alert, problem, ReasonIPv6ExtHeader
			}
			off++
			continue
		}
		if end-off < 2 || off+2+int(b[off+1]) > end {
			return alert, problem, ReasonIPv6ExtHeader
		}
		n := int(b[off+1]) + 2
		if kind == tlvPadN { // at most 7 bytes, all zero (RFC 4942 2.1.9.5)
			if pad += n; pad > 7 || !zeros(b[off+2:off+n]) {
				return alert, problem, ReasonIPv6ExtHeader
			}
			off += n
			continue
		}
		if most--; most < 0 {
			return alert, problem, ReasonIPv6ExtHeader
		}
		switch {
		case hopByHop && kind == tlvRouterAlert:
			if n != 4 {
				return alert, problem, ReasonIPv6ExtHeader
			}
			alert = true
		case hopByHop && kind == tlvCALIPSO: // no domain of interpretation is known here
			return alert, problem, ReasonIPv6ExtHeader
		case hopByHop && kind == tlvIOAM: // off by default: ignored, if it is aligned
			if off&3 != 0 {
				return alert, problem, ReasonIPv6ExtHeader
			}
		case hopByHop && kind == tlvJumbo:
			if problem, why = p.jumbo(off, n); why != ReasonNone {
				return alert, problem, why
			}
		default:
			if problem, ok := p.unknownOption(off, strict); !ok {
				return alert, problem, ReasonIPv6ExtHeader
			}
		}
		pad = 0
		off += n
	}
	return alert, problem, ReasonNone
}

// unknownOption does what the two upper bits of the option's type ask for (RFC 8200 4.2).
func (p *Packet) unknownOption(off int, strict bool) (problem ParamProblem, ok bool) {
	action := p.Data[off] >> 6
	switch {
	case strict || action == 1:
		return problem, false
	case action == 0:
		return problem, true
	case action == 3 && p.Data[24] == 0xff: // not if it went to a multicast address
		return problem, false
	}
	return ParamProblem{Send: true, Code: 2, Ptr: uint32(off)}, false
}

// jumbo checks the jumbo payload option (RFC 2675 3).
func (p *Packet) jumbo(off, n int) (problem ParamProblem, why Reason) {
	b := p.Data
	if n != 6 || off&3 != 2 {
		return problem, ReasonJumbo
	}
	size := binary.BigEndian.Uint32(b[off+2:])
	switch {
	case size <= 65535:
		return ParamProblem{Send: true, Ptr: uint32(off + 2)}, ReasonJumbo
	case b[4]|b[5] != 0:
		return ParamProblem{Send: true, Ptr: uint32(off)}, ReasonJumbo
	case uint64(size) > uint64(len(b)-40):
		return problem, ReasonIPTruncated
	}
	return problem, ReasonJumbo // no buffer of ours holds one that is honest
}

func zeros(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
