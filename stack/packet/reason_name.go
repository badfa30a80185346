package packet

// reasonNames are what metrics, traces and logs call a reason. Names are interface: they are never changed, only added.
var reasonNames = [NumReasons]string{
	ReasonNone: "none",

	ReasonEmpty: "empty", ReasonIPVersion: "ip_version", ReasonIPTruncated: "ip_truncated",
	ReasonIPHeaderLength: "ip_header_length", ReasonIPChecksum: "ip_checksum", ReasonIPv6ExtHeader: "ipv6_ext_header",
	ReasonIPOptions: "ip_options", ReasonMartianSource: "martian_source", ReasonMartianDest: "martian_dest", ReasonJumbo: "jumbo",
	ReasonOffload: "offload", ReasonIPv6Disabled: "ipv6-disabled",

	ReasonFragMalformed: "frag_malformed", ReasonFragOverlap: "frag_overlap", ReasonFragTimeout: "frag_timeout",
	ReasonFragLimit: "frag_limit", ReasonFragDuplicate: "frag_duplicate", ReasonFragQueued: "frag_queued",

	ReasonRawDrop: "raw_drop", ReasonConntrackInvalid: "conntrack_invalid", ReasonConntrackFull: "conntrack_full",
	ReasonMangleDrop: "mangle_drop", ReasonNATDrop: "nat_drop", ReasonNATExhausted: "nat_exhausted",
	ReasonNATUntranslatable: "nat_untranslatable", ReasonNATFiltered: "nat_filtered", ReasonFilterDrop: "filter_drop", ReasonReject: "reject",
	ReasonHotDrop: "hotdrop", ReasonHelperDrop: "helper_drop", ReasonConfirmClash: "confirm_clash", ReasonStolen: "stolen",

	ReasonNoRoute: "no_route", ReasonUnreachableRoute: "unreachable_route", ReasonProhibitRoute: "prohibit_route",
	ReasonBlackholeRoute: "blackhole_route", ReasonRPFilter: "rp_filter", ReasonForwardingOff: "forwarding_off",
	ReasonTTL: "ttl", ReasonTooBig: "too_big", ReasonNotForUs: "not_for_us", ReasonSourceRoute: "source_route",
	ReasonLinkScope: "link_scope",

	ReasonNoSocket: "no_socket", ReasonNoProtocol: "no_protocol", ReasonLocalIgnored: "local_ignored",
	ReasonLocalChecksum: "local_checksum", ReasonHostFull: "host_full",

	ReasonLinkDown: "link_down", ReasonLinkFull: "link_full", ReasonLinkError: "link_error", ReasonFragFailed: "frag_failed",
	ReasonRateLimit: "rate_limit", ReasonLoop: "loop",
}

// String is the name under which metrics count the reason: moat_drops_total{reason="frag_overlap"}.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return "unknown"
}
