package packet

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// The IPv4 options that a router acts on (RFC 791 3.1, RFC 2113).
const (
	optEnd         = 0
	optNop         = 1
	optRecordRoute = 7
	optTimestamp   = 68
	optLSRR        = 131
	optRouterAlert = 148
	optCIPSO       = 134
	optSSRR        = 137
	optCopied      = 0x80

	tsOnly      = 0 // timestamp flags: time only
	tsAndAddr   = 1 // address and time
	tsPrespec   = 3 // only at the addresses that are listed
	tsOverflows = 15
)

// IPOptions is what ReadOptions found and ForwardOptions still has to do (struct ip_options). Positions are offsets of
// an option in the datagram; 0 is none. The zero value is a packet without options.
type IPOptions struct {
	RecordRoute int
	Timestamp   int
	SourceRoute int
	Strict      bool // the source route is a strict one
	RouterAlert int

	cipso     int
	routeSlot int  // where record route got our address: the egress address goes there
	timeAddr  bool // the timestamp got our address
	time      bool // the timestamp got our time
	changed   bool // bytes were changed, and the header checksum has not followed
}

// OptionsEnv is what options need to know of the router.
type OptionsEnv struct {
	Local Addr // the router's own address towards the source, noted on arrival
	// Elsewhere tells whether an address is a unicast one that is not the router's: a prespecified timestamp at it is
	// not ours to fill.
	Elsewhere func(Addr) bool
	// Clock is the milliseconds since midnight UTC.
	Clock uint32
}

// ReadOptions checks the options of an IPv4 packet after its route is known, and fills in what the router notes on
// arrival: record route and timestamp (__ip_options_compile; scenario F06-ip-options). As in Linux, the header checksum
// follows only in ForwardOptions. If an option is malformed, ok is false and bad is its offset in the datagram: the
// pointer of the ICMP parameter problem, type 12 code 0, that is due (RFC 1812 5.2.4.1). Whether a source route
// is welcome is for the caller to say; it is not followed here.
func (p *Packet) ReadOptions(env OptionsEnv) (o IPOptions, bad int, ok bool) {
	if p.V6 {
		return o, 0, true
	}
	b, end := p.Data, p.HeaderLen()
	for at := header.IPv4MinimumSize; at < end; {
		switch b[at] {
		case optEnd:
			for at++; at < end; at++ {
				if b[at] != optEnd {
					b[at], o.changed = optEnd, true
				}
			}
			return o, 0, true
		case optNop:
			at++
			continue
		}
		if end-at < 2 || b[at+1] < 2 || at+int(b[at+1]) > end {
			return o, at, false
		}
		n := int(b[at+1])
		if at := o.read(b, at, n, &env); at != 0 {
			return o, at, false
		}
		at += n
	}
	return o, 0, true
}

// read handles the option of n bytes at at; not 0 is the offset of the mistake in it.
func (o *IPOptions) read(b []byte, at, n int, env *OptionsEnv) int {
	switch b[at] {
	case optLSRR, optSSRR:
		switch {
		case n < 3:
			return at + 1
		case b[at+2] < 4:
			return at + 2
		case o.SourceRoute != 0:
			return at
		}
		o.SourceRoute, o.Strict = at, b[at] == optSSRR
	case optRecordRoute:
		switch {
		case o.RecordRoute != 0:
			return at
		case n < 3:
			return at + 1
		case b[at+2] < 4:
			return at + 2
		}
		if ptr := int(b[at+2]); ptr <= n {
			if ptr+3 > n {
				return at + 2
			}
			slot := at + ptr - 1
			copy(b[slot:slot+4], env.Local.Wire(false))
			b[at+2] += 4
			o.routeSlot, o.changed = slot, true
		}
		o.RecordRoute = at
	case optCIPSO: // no domain of interpretation is known here (cipso_v4_validate)
		if o.cipso != 0 {
			return at
		}
		o.cipso = at
		if n < 8 {
			return at + 1
		}
		return at + 2
	case optTimestamp:
		return o.readTimestamp(b, at, n, env)
	case optRouterAlert:
		if n < 4 {
			return at + 1
		}
		if b[at+2]|b[at+3] == 0 {
			o.RouterAlert = at
		}
	}
	return 0
}

func (o *IPOptions) readTimestamp(b []byte, at, n int, env *OptionsEnv) int {
	switch {
	case o.Timestamp != 0:
		return at
	case n < 4:
		return at + 1
	case b[at+2] < 5:
		return at + 2
	}
	ptr, kind := int(b[at+2]), b[at+3]&15
	slot := at + ptr - 1
	switch {
	case ptr > n: // full
		if kind != tsPrespec {
			if b[at+3]>>4 == tsOverflows {
				return at + 3
			}
			b[at+3] += 1 << 4
			o.changed = true
		}
	case ptr+3 > n, (kind == tsAndAddr || kind == tsPrespec) && ptr+7 > n:
		return at + 2
	case kind == tsOnly:
		binary.BigEndian.PutUint32(b[slot:], env.Clock)
		b[at+2] += 4
		o.time, o.changed = true, true
	case kind == tsAndAddr:
		copy(b[slot:slot+4], env.Local.Wire(false))
		binary.BigEndian.PutUint32(b[slot+4:], env.Clock)
		b[at+2] += 8
		o.timeAddr, o.time, o.changed = true, true, true
	case kind == tsPrespec:
		if env.Elsewhere != nil && env.Elsewhere(Addr4(b[slot:])) {
			break
		}
		binary.BigEndian.PutUint32(b[slot+4:], env.Clock)
		b[at+2] += 8
		o.time, o.changed = true, true
	}
	o.Timestamp = at
	return 0
}

// ForwardOptions finishes the options of a packet that leaves: the address that record route noted on arrival becomes
// that of the egress (a timestamp's does not), and the header checksum is made anew if anything has changed (ip_forward_options). For local delivery
// egress is the zero Addr: the noted address stays.
func (p *Packet) ForwardOptions(o *IPOptions, egress Addr) {
	if o.routeSlot != 0 && !egress.IsZero() {
		copy(p.Data[o.routeSlot:o.routeSlot+4], egress.Wire(false))
	}
	if o.changed {
		SetIPv4Checksum(p.Data)
		o.changed = false
	}
}

// EchoOptions appends to dst the options that an answer to p carries: record route and timestamp go on, padded to
// whole words (__ip_options_echo, ip_options_build). o is what ReadOptions found in p, src the address that the answer
// comes from. The answer's own IPOptions are for what answers to the answer: an error about it. It is false where an
// option has no room for what it asks for: then there is no answer. A source route is not reversed.
func (p *Packet) EchoOptions(dst []byte, o *IPOptions, src Addr, env OptionsEnv) (options []byte, own IPOptions, ok bool) {
	from := len(dst)
	if at := o.RecordRoute; at != 0 {
		own.RecordRoute = header.IPv4MinimumSize
		dst = append(dst, p.Data[at:at+int(p.Data[at+1])]...)
		r := dst[from:]
		if ptr := int(r[2]); o.routeSlot != 0 && ptr <= len(r) {
			if ptr+3 > len(r) {
				return dst, own, false
			}
			own.routeSlot = own.RecordRoute + ptr - 1
			copy(r[ptr-1:], src.Wire(false))
			r[2] += 4
		}
	}
	if at := o.Timestamp; at != 0 {
		start := len(dst)
		dst = append(dst, p.Data[at:at+int(p.Data[at+1])]...)
		own.Timestamp = header.IPv4MinimumSize + start - from
		if !own.echoTimestamp(dst[start:], o, src, &env) {
			return dst, own, false
		}
	}
	if at := o.cipso; at != 0 {
		own.cipso = header.IPv4MinimumSize + len(dst) - from
		dst = append(dst, p.Data[at:at+int(p.Data[at+1])]...)
	}
	for (len(dst)-from)%4 != 0 {
		dst = append(dst, optEnd)
	}
	return dst, own, true
}

// echoTimestamp goes on with the timestamp option t that o was about.
func (own *IPOptions) echoTimestamp(t []byte, o *IPOptions, src Addr, env *OptionsEnv) bool {
	ptr := int(t[2])
	if ptr > len(t) {
		return true
	}
	own.time, own.timeAddr = o.time, o.timeAddr
	if o.timeAddr {
		if ptr+3 > len(t) {
			return false
		}
		copy(t[ptr-1:ptr+3], src.Wire(false))
		ptr += 4
	}
	if o.time {
		if ptr+3 > len(t) {
			return false
		}
		if t[3]&15 != tsPrespec {
			ptr += 4
		} else if own.time = ptr+7 <= len(t) && !(env.Elsewhere != nil && env.Elsewhere(Addr4(t[ptr-1:]))); own.time {
			ptr += 8
		}
	}
	if own.time {
		binary.BigEndian.PutUint32(t[ptr-5:], env.Clock)
	}
	t[2] = byte(ptr)
	return true
}

// FragmentOptions overwrites with no-operation every option that only the first fragment carries (RFC 791 3.1, the
// copied flag; ip_options_fragment). The header checksum is for the caller to make.
func FragmentOptions(opts []byte) {
	for at := 0; at < len(opts); {
		switch opts[at] {
		case optEnd:
			return
		case optNop:
			at++
			continue
		}
		if len(opts)-at < 2 || opts[at+1] < 2 || at+int(opts[at+1]) > len(opts) {
			return
		}
		n := int(opts[at+1])
		if opts[at]&optCopied == 0 {
			for i := range n {
				opts[at+i] = optNop
			}
		}
		at += n
	}
}
