package control

import (
	"net/netip"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/router/control/ctfmt"
)

// Side is what a filter asks of one tuple.
type Side struct {
	Src, Dst               netip.Prefix
	SrcPort, DstPort       uint16
	HasSrcPort, HasDstPort bool
}

// Filter says which flows are meant. The zero value means all.
type Filter struct {
	Orig, Reply    Side
	Family         uint8 // 4, 6; 0 both
	Proto          uint8
	HasProto       bool
	State          string
	Mark, MarkMask uint32
	HasMark        bool
	Status         conntrack.Status
	Unreplied      bool
	Zone           uint16
	ZoneDir        conntrack.ZoneDir
	HasZone        bool
	ID             uint32
	HasID          bool
	ICMP           [3]uint16 // type, code, id
	HasICMP        [3]bool
	NAT            [2]NATFilter // source, destination
	AnyNAT         NATFilter
	Labels         []int

	portOption, keyOption string
}

// NATFilter asks whether a flow is translated, and to which address and port.
type NATFilter struct {
	On   bool
	Addr netip.Prefix
	Port uint16
}

// Match tells whether f is meant.
func (x *Filter) Match(f *ctfmt.Flow) bool {
	switch {
	case x.Family == 4 && f.Orig.V6, x.Family == 6 && !f.Orig.V6,
		x.HasProto && f.Orig.Proto != x.Proto,
		!x.Orig.match(&f.Orig), !x.Reply.match(&f.Reply),
		x.State != "" && f.State != x.State,
		x.HasMark && f.Mark&x.MarkMask != x.Mark,
		f.Status&x.Status != x.Status,
		x.Unreplied && f.Status&conntrack.StatusSeenReply != 0,
		x.HasZone && f.Zone != x.Zone, x.HasZone && x.ZoneDir != conntrack.ZoneBoth && f.ZoneDir != x.ZoneDir,
		x.HasID && f.ID != x.ID,
		x.HasICMP[0] && f.Orig.DstPort>>8 != x.ICMP[0], x.HasICMP[1] && f.Orig.DstPort&0xff != x.ICMP[1], x.HasICMP[2] && f.Orig.SrcPort != x.ICMP[2],
		x.HasICMP != [3]bool{} && ctfmt.PortsOf(f.Orig.Proto) != ctfmt.ICMPPorts,
		x.NAT[0].On && !x.NAT[0].source(f), x.NAT[1].On && !x.NAT[1].destination(f),
		x.AnyNAT.On && !x.AnyNAT.source(f) && !x.AnyNAT.destination(f):
		return false
	}
	for _, l := range x.Labels {
		if f.Labels[l/8]&(1<<(l%8)) == 0 {
			return false
		}
	}
	return true
}

func (s *Side) match(t *conntrack.Tuple) bool {
	return (!s.Src.IsValid() || s.Src.Contains(t.Src.IP())) && (!s.Dst.IsValid() || s.Dst.Contains(t.Dst.IP())) &&
		(!s.HasSrcPort || s.SrcPort == t.SrcPort) && (!s.HasDstPort || s.DstPort == t.DstPort)
}

// source: the reply goes to somebody else than the sender.
func (n *NATFilter) source(f *ctfmt.Flow) bool {
	ports := ctfmt.PortsOf(f.Orig.Proto) == ctfmt.Ports
	if f.Status&conntrack.StatusSrcNATDone == 0 {
		return false
	}
	if f.Reply.Dst == f.Orig.Src && !(ports && f.Reply.DstPort != f.Orig.SrcPort) {
		return false
	}
	return (!n.Addr.IsValid() || n.Addr.Contains(f.Reply.Dst.IP())) && (n.Port == 0 || ports && f.Reply.DstPort == n.Port)
}

// destination: the reply comes from somebody else than the one who was addressed.
func (n *NATFilter) destination(f *ctfmt.Flow) bool {
	ports := ctfmt.PortsOf(f.Orig.Proto) == ctfmt.Ports
	if f.Status&conntrack.StatusDstNATDone == 0 {
		return false
	}
	if f.Reply.Src == f.Orig.Dst && !(ports && f.Reply.SrcPort != f.Orig.DstPort) {
		return false
	}
	return (!n.Addr.IsValid() || n.Addr.Contains(f.Reply.Src.IP())) && (n.Port == 0 || ports && f.Reply.SrcPort == n.Port)
}
