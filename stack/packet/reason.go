package packet

// Reason names why a packet died. Every exit of the walk that is not a delivery has one, with a counter
// (moat metrics: moat_drops_total{reason="..."}); the zero value, ReasonNone, means that it lives.
type Reason uint8

// The reasons in the order in which the walk can meet them.
const (
	ReasonNone Reason = iota

	// 2: is it an IP datagram? (RFC 791, RFC 8200; ip_rcv, ip6_rcv)
	ReasonEmpty          // no byte at all
	ReasonIPVersion      // neither 4 nor 6, or not the family of its field
	ReasonIPTruncated    // shorter than its header, or than its total/payload length
	ReasonIPHeaderLength // IHL below 5, or total length below the header's
	ReasonIPChecksum     // IPv4 header checksum
	ReasonIPv6ExtHeader  // extension header chain cut or malformed
	ReasonIPOptions      // IPv4 option malformed or not allowed (source route)
	ReasonMartianSource  // source address that may not stand there
	ReasonMartianDest    // destination address that may not be routed
	ReasonJumbo          // jumbogram, or a length that no buffer of ours holds
	ReasonOffload        // virtio metadata that are not about this packet
	ReasonIPv6Disabled   // IPv6 on an interface that has it switched off (disable_ipv6)

	// 3: wait until it is whole
	ReasonFragMalformed // offset, length or size impossible (RFC 8200 4.5; ping of death)
	ReasonFragOverlap   // partial overlap: the datagram dies (RFC 5722)
	ReasonFragTimeout   // not whole in time
	ReasonFragLimit     // over the memory limit, in total or for this source
	ReasonFragDuplicate // the same bytes again: ignored
	ReasonFragQueued    // not a death: held until the rest comes

	// 4–10: policy
	ReasonRawDrop
	ReasonConntrackInvalid // conntrack itself refused (not the state INVALID, which rules may accept)
	ReasonConntrackFull    // nf_conntrack_max reached and nothing could be dropped early
	ReasonMangleDrop
	ReasonNATDrop           // the nat table said DROP
	ReasonNATExhausted      // no free tuple in the range
	ReasonNATUntranslatable // quoted packet or redirect that cannot be translated
	ReasonNATFiltered       // to a NAT binding that does not let this sender call (--filtering)
	ReasonFilterDrop        // DROP rule or policy
	ReasonReject            // REJECT: answered, then dropped
	ReasonHotDrop           // a match found the packet broken (ip_tables' hotdrop)
	ReasonHelperDrop        // a helper refused the payload
	ReasonConfirmClash      // lost the race for its tuple at confirm
	ReasonStolen            // kept by a target (TPROXY and the like)

	// 7, 8: routing and forwarding (RFC 1812 5.3)
	ReasonNoRoute
	ReasonUnreachableRoute
	ReasonProhibitRoute
	ReasonBlackholeRoute
	ReasonRPFilter
	ReasonForwardingOff
	ReasonTTL
	ReasonTooBig   // DF or IPv6 and larger than the egress MTU
	ReasonNotForUs // broadcast, multicast, link-local scope: never forwarded
	ReasonSourceRoute
	ReasonLinkScope // link-local address may not leave its link

	// 8a: local delivery
	ReasonNoSocket     // no service listens: answered with port unreachable or reset
	ReasonNoProtocol   // protocol unknown here: answered with protocol unreachable
	ReasonLocalIgnored // for us, and rightly without an answer
	ReasonLocalChecksum
	ReasonHostFull // the ring to the host stack was full

	// 11: out
	ReasonLinkDown
	ReasonLinkFull
	ReasonLinkError
	ReasonFragFailed // could not be cut to fit
	ReasonRateLimit  // ICMP error suppressed by icmp_ratelimit
	ReasonLoop       // the router sent itself a packet too many times over

	NumReasons
)
