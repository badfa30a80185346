package conntrack

import (
	"time"

	"github.com/moat-router/moat/stack/packet"
)

// track hands the packet to its protocol's tracker (nf_conntrack_handle_packet).
func (x *look) track() verdict {
	switch x.p.Proto {
	case packet.ProtoTCP:
		return x.trackTCP()
	case packet.ProtoUDP:
		return x.trackUDP()
	case packet.ProtoUDPLite:
		return x.trackUDPLite()
	case packet.ProtoICMP, packet.ProtoICMPv6:
		return x.trackICMP()
	case packet.ProtoSCTP:
		return x.trackSCTP()
	case packet.ProtoGRE:
		return x.trackGRE()
	}
	x.refresh(x.timeouts().Generic)
	return accept
}

// refresh gives the connection a new deadline, unless it is fixed, and counts the packet (nf_ct_refresh_acct).
func (x *look) refresh(d time.Duration) {
	if x.c.Status()&StatusFixedTimeout == 0 {
		x.t.refresh(x.c, x.now.Add(d))
	}
	x.account()
}

func (x *look) account() {
	if e := x.c.extension(); e != nil && e.hasAcct {
		e.acct[x.dir].packets.Add(1)
		e.acct[x.dir].bytes.Add(uint64(len(x.p.Data)))
	}
}

// assure makes the connection one that is not dropped early, and tells of it.
func (x *look) assure() {
	if x.c.Status()&StatusAssured == 0 && x.c.SetStatus(StatusAssured)&StatusAssured == 0 {
		x.c.cache(CauseAssured)
	}
}

// udpState is what UDP keeps.
type udpState struct {
	stream packet.Time // from when on two-way traffic makes a stream
}

// streamAfter is how long a flow must last before it counts as a stream.
const streamAfter = 2 * time.Second

func (x *look) trackUDP() verdict {
	if len(x.l4) < 8 {
		return x.invalid("short packet")
	}
	if n := int(be16(x.l4[4:])); n > len(x.l4) && x.p.GSO == packet.GSONone || n < 8 && !(n == 0 && x.p.GSO != packet.GSONone) {
		return x.invalid("truncated/malformed packet")
	}
	if !x.sumOK() {
		return x.invalid("bad checksum")
	}
	t, s := x.timeouts(), x.c.Status()
	if s&StatusConfirmed == 0 {
		x.c.udp().stream = x.now.Add(streamAfter)
	}
	if s&StatusSeenReply == 0 {
		x.refresh(t.UDP)
		return accept
	}
	if x.now <= x.c.udp().stream {
		x.refresh(t.UDP)
		return accept
	}
	x.refresh(t.UDPStream)
	if s&StatusNATClash == 0 {
		x.assure()
	}
	return accept
}

func (x *look) trackUDPLite() verdict {
	if len(x.l4) < 8 {
		return x.invalid("short packet")
	}
	if cover := int(be16(x.l4[4:])); cover != 0 && (cover < 8 || cover > len(x.l4)) {
		return x.invalid("invalid checksum coverage")
	}
	if be16(x.l4[6:]) == 0 {
		return x.invalid("checksum missing")
	}
	if !x.sumOK() {
		return x.invalid("bad checksum")
	}
	x.twoWay(x.timeouts().UDP, x.timeouts().UDPStream)
	return accept
}

// twoWay refreshes with the second timeout once a reply was seen, and the connection is then assured.
func (x *look) twoWay(unreplied, replied time.Duration) {
	s := x.c.Status()
	if s&StatusSeenReply == 0 {
		x.refresh(unreplied)
		return
	}
	x.refresh(replied)
	if s&StatusNATClash == 0 {
		x.assure()
	}
}

// greState keeps the timeouts that a PPTP helper may stretch, in seconds: the listing prints them.
type greState struct {
	timeout, stream uint32
}

func (x *look) trackGRE() verdict {
	g := x.c.gre()
	if x.c.Status()&StatusConfirmed == 0 {
		t := x.timeouts()
		g.timeout, g.stream = uint32(t.GRE/time.Second), uint32(t.GREStream/time.Second)
	}
	x.twoWay(time.Duration(g.timeout)*time.Second, time.Duration(g.stream)*time.Second)
	return accept
}
