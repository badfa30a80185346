package host

import (
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/moat-router/moat/stack/packet"
)

// Lengths that Linux's choice of a first window depends on.
const (
	tcpHeaders4     = header.IPv4MinimumSize + header.TCPMinimumSize
	tcpHeaders6     = header.IPv6MinimumSize + header.TCPMinimumSize
	tcpTimestampLen = 12 // TCPOLEN_TSTAMP_ALIGNED
)

// lookLikeLinux edits what can be seen of a TCP stack from outside, in this one place. gVisor already lays out its
// options as Linux does. What differs:
//
//   - Don't Fragment is set on every IPv4 segment, and the identification of a SYN/ACK or a reset is 0, since the
//     socket that sends it is not connected (measured: scenario B24);
//   - the window of a SYN or SYN/ACK is the largest multiple of the announced MSS (less the timestamp option in a
//     SYN/ACK) that 16 bits hold: 64240 for an MTU of 1500, 65160 with timestamps (tcp_select_initial_window).
//
// A window that is smaller than the one that gVisor has in mind takes nothing from the connection: the next segment
// announces the rest.
func lookLikeLinux(p *packet.Packet) {
	b := p.Data
	l4 := header.IPv6MinimumSize
	if len(b) < header.IPv4MinimumSize {
		return
	}
	v4 := b[0]>>4 == 4
	if v4 {
		ip := header.IPv4(b)
		l4 = int(ip.HeaderLength())
		if ip.Protocol() != uint8(header.TCPProtocolNumber) || ip.FragmentOffset() != 0 || ip.More() {
			return
		}
	} else if len(b) < header.IPv6MinimumSize || b[6] != uint8(header.TCPProtocolNumber) {
		return
	}
	if len(b) < l4+header.TCPMinimumSize {
		return
	}
	t := header.TCP(b[l4:])
	flags := t.Flags()
	if v4 {
		ip := header.IPv4(b)
		id := ip.ID()
		if flags&header.TCPFlagRst != 0 || flags&header.TCPFlagSyn != 0 && flags&header.TCPFlagAck != 0 {
			id = 0
		}
		ip.SetFlagsFragmentOffset(header.IPv4FlagDontFragment, 0)
		ip.SetID(id)
		packet.SetIPv4Checksum(b[:l4])
	}
	if flags&header.TCPFlagSyn != 0 && int(t.DataOffset()) >= header.TCPMinimumSize && int(t.DataOffset()) <= len(t) {
		setFirstWindow(t, flags&header.TCPFlagAck != 0)
	}
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
