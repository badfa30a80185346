package nat

import (
	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// TranslateICMP translates a RELATED ICMP error by the binding of the connection that it is about: the quoted packet
// and the error's own addresses (nf_nat_icmp_reply_translation, nf_nat_icmpv6_reply_translation; RFC 5508 REQ-4, 5).
// m is the manip of the hook. It is false where the error must be dropped: it is a redirect
// about a translated connection, or the quote is cut before what has to be changed.
//
// For a client 192.168.1.10:5000 behind SNAT to 10.0.0.2 an error from 198.51.100.9 quotes 10.0.0.2:5000. At PREROUTING
// the destination manip of the reply direction makes the quote's source and the error's destination 192.168.1.10.
func TranslateICMP(t *conntrack.Table, p *packet.Packet, ref conntrack.Ref, m Manip) bool {
	q, ok := p.Quote()
	inside := 8 + 20 // the header of the error and that of the quoted packet are asked for in one stretch, changed or not
	if p.V6 {
		inside = 8 + 40
	}
	if p.L4Len() < inside {
		return false
	}
	p.Pull(p.L4 + inside)
	if typ := p.L4Bytes()[0]; !p.V6 && typ == 5 || p.V6 && typ == 137 {
		s := ref.Conn.Status()
		if s&conntrack.StatusNATDoneMask != conntrack.StatusNATDoneMask || s&conntrack.StatusNATMask != 0 {
			return false
		}
	}
	if !changes(ref, m) {
		return true
	}
	if !ok {
		return false
	}
	p.CompleteChecksum()
	if !q.Bad {
		q.Pull()
	}
	// The quoted packet went the other way, so its other end is changed.
	var e end
	endOf(&e, ref, m)
	if !manipQuote(&q, ref.Conn.Tuple(conntrack.Original).Proto, &e, m) {
		return false
	}
	q.Close()
	if m == ManipSrc {
		p.SetSrc(e.addr)
	} else {
		p.SetDst(e.addr)
	}
	p.PutTransportChecksum() // the sum may have been trusted and wrong: it is computed, as in Linux, and not carried on
	return true
}
