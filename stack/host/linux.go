package host

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/moat-router/moat/stack/packet"
)

// tcpTimestampLen is what the timestamp option takes from each segment (TCPOLEN_TSTAMP_ALIGNED).
const tcpTimestampLen = 12

// lookLikeLinux edits what can be seen of a TCP stack from outside, in this one place. gVisor already lays out its
// options as Linux does. What differs:
//
//   - Don't Fragment is set on every IPv4 segment, and on every UDP datagram that was not cut, and the identification of a SYN/ACK or a reset is 0, since the
//     socket that sends it is not connected (measured: scenario B24);
//   - the window of a SYN or SYN/ACK is the largest multiple of the announced MSS (less the timestamp option in a
//     SYN/ACK) that 16 bits hold: 64240 for an MTU of 1500, 65160 with timestamps (tcp_select_initial_window).
//
// A window that is smaller than the one that gVisor has in mind takes nothing from the connection: the next segment
// announces the rest.
func lookLikeLinux(p *packet.Packet) {
	b := p.Data
	at := tcpAt(b)
	if at == 0 {
		dontFragmentUDP(b)
		return
	}
	t := header.TCP(b[at:])
	flags := t.Flags()
	if b[0]>>4 == 4 {
		ip := header.IPv4(b)
		id := ip.ID()
		if flags&header.TCPFlagRst != 0 || flags&header.TCPFlagSyn != 0 && flags&header.TCPFlagAck != 0 {
			id = 0
		}
		ip.SetFlagsFragmentOffset(header.IPv4FlagDontFragment, 0)
		ip.SetID(id)
		packet.SetIPv4Checksum(b[:at])
	}
	if flags&header.TCPFlagSyn != 0 {
		setFirstWindow(t, flags&header.TCPFlagAck != 0)
	}
}

// dontFragmentUDP sets Don't Fragment on a datagram that the sender did not have to cut: ip_no_pmtu_disc is 0.
func dontFragmentUDP(b []byte) {
	if len(b) < header.IPv4MinimumSize || b[0]>>4 != 4 || b[9] != uint8(header.UDPProtocolNumber) {
		return
	}
	ip := header.IPv4(b)
	if n := int(ip.HeaderLength()); n >= header.IPv4MinimumSize && n <= len(b) && !ip.More() && ip.FragmentOffset() == 0 {
		ip.SetFlagsFragmentOffset(header.IPv4FlagDontFragment, 0)
		packet.SetIPv4Checksum(b[:n])
	}
}

// tcpAt is the offset of the TCP header in a whole segment that gVisor made, which has no extension headers; 0 if it is
// something else. The header, with its options, lies inside of b.
func tcpAt(b []byte) int {
	at := 0
	switch {
	case len(b) > header.IPv6MinimumSize && b[0]>>4 == 6 && b[6] == uint8(header.TCPProtocolNumber):
		at = header.IPv6MinimumSize
	case len(b) > header.IPv4MinimumSize && b[0]>>4 == 4 && b[9] == uint8(header.TCPProtocolNumber):
		at = int(b[0]&15) * 4
		if ip := header.IPv4(b); at < header.IPv4MinimumSize || ip.More() || ip.FragmentOffset() != 0 {
			return 0
		}
	}
	if at == 0 || len(b) < at+header.TCPMinimumSize {
		return 0
	}
	if n := int(b[at+header.TCPDataOffset]>>4) * 4; n < header.TCPMinimumSize || at+n > len(b) {
		return 0
	}
	return at
}

func setFirstWindow(t header.TCP, answer bool) {
	o := header.ParseSynOptions(t.Options(), answer)
	mss := int(o.MSS)
	if answer && o.TS {
		mss -= tcpTimestampLen
	}
	if mss <= 0 {
		return
	}
	old := t.WindowSize()
	window := uint16(0xffff / mss * mss)
	t.SetWindowSize(window)
	packet.FixSum16(t[header.TCPChecksumOffset:header.TCPChecksumOffset+2], old, window)
}

// announceMTU makes a SYN or SYN/ACK of the stack announce the MSS of the way that it takes, as Linux does
// (ipv4_default_advmss, ip6_default_advmss): gVisor announces that of the interface which has the local address. The
// window follows, being a multiple of it.
func announceMTU(p *packet.Packet, of func(src, dst packet.Addr) (mtu int, ok bool)) {
	at := tcpAt(p.Data)
	if at == 0 {
		return
	}
	t := header.TCP(p.Data[at:])
	if t.Flags()&header.TCPFlagSyn == 0 {
		return
	}
	src, dst := endsOf(p.Data)
	mtu, ok := of(src, dst)
	if !ok {
		return
	}
	const leastMSS, mostMSS = 256, 65535 - header.TCPMinimumSize
	if at != header.IPv6MinimumSize {
		mtu = min(mtu, 65535) // IPV4_MAX_PMTU
	}
	mss := uint16(min(max(mtu-at-header.TCPMinimumSize, leastMSS), mostMSS))
	for o := t.Options(); len(o) >= header.TCPOptionMSSLength; {
		switch o[0] {
		case header.TCPOptionEOL:
			return
		case header.TCPOptionNOP:
			o = o[1:]
			continue
		case header.TCPOptionMSS:
			if old := binary.BigEndian.Uint16(o[2:]); old != mss {
				binary.BigEndian.PutUint16(o[2:], mss)
				packet.FixSum16(t[header.TCPChecksumOffset:header.TCPChecksumOffset+2], old, mss)
				setFirstWindow(t, t.Flags()&header.TCPFlagAck != 0)
			}
			return
		}
		if o[1] < 2 || int(o[1]) > len(o) {
			return
		}
		o = o[o[1]:]
	}
}

// endsOf are the addresses of an IP packet that is long enough to have them.
func endsOf(b []byte) (src, dst packet.Addr) {
	if b[0]>>4 == 4 {
		return packet.Addr4(b[12:]), packet.Addr4(b[16:])
	}
	return packet.Addr6(b[8:24]), packet.Addr6(b[24:40])
}
