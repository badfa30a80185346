package conntrack

import "github.com/moat-router/moat/stack/packet"

// Dir is a direction of a connection.
type Dir uint8

// The two directions: that of the first packet, and the other.
const (
	Original Dir = iota
	Reply
)

// Other is the opposite direction.
func (d Dir) Other() Dir { return d ^ 1 }

// Tuple identifies one direction of a connection, as nf_conntrack_tuple does. It is comparable, has no pointers and
// its zero value is no tuple. What SrcPort and DstPort hold depends on the protocol:
//
//	TCP, UDP, UDP-Lite, SCTP  source and destination port
//	ICMP, ICMPv6              SrcPort the id; DstPort type<<8 | code
//	GRE (version 1)           SrcPort and DstPort the call keys
//	anything else             0
type Tuple struct {
	Src, Dst         packet.Addr
	SrcPort, DstPort uint16
	Proto            uint8
	V6               bool
	Zone             uint16
}

// Info says how a packet relates to its connection, with the kernel's numbers (enum ip_conntrack_info).
type Info uint8

// The relations. The first two also occur in the reply direction. NewConn is IP_CT_NEW, the state NEW.
const (
	Established      Info = 0
	Related          Info = 1
	NewConn          Info = 2
	EstablishedReply Info = 3
	RelatedReply     Info = 4
	Untracked        Info = 7
)

// Dir is the direction that the packet travels in.
func (i Info) Dir() Dir {
	if i == EstablishedReply || i == RelatedReply {
		return Reply
	}
	return Original
}

// State is what --ctstate asks for, with the kernel's bit positions (XT_CONNTRACK_STATE_BIT).
type State uint16

// The states. SNAT and DNAT are virtual: they ask for the entry's status.
const (
	StateInvalid     State = 1 << 0
	StateEstablished State = 1 << 1
	StateRelated     State = 1 << 2
	StateNew         State = 1 << 3
	StateSNAT        State = 1 << 6
	StateDNAT        State = 1 << 7
	StateUntracked   State = 1 << 8
)

// Ref is what a packet carries of conntrack (skb->_nfct). The zero value is a packet that conntrack has not
// accepted: its state is INVALID.
type Ref struct {
	Conn *Conn // nil for INVALID and UNTRACKED
	Info Info  // Untracked, or with a Conn its relation to it

	// Template is what -j CT left for a packet that conntrack has not seen yet; nil otherwise.
	Template *Template
}

// State is the packet's --ctstate, without the virtual SNAT and DNAT bits.
func (r Ref) State() State {
	switch {
	case r.Info == Untracked:
		return StateUntracked
	case r.Template != nil:
		return StateNew // in the raw table, behind -j CT: Linux takes the template for a connection
	case r.Conn == nil:
		return StateInvalid
	}
	switch r.Info {
	case NewConn:
		return StateNew
	case Related, RelatedReply:
		return StateRelated
	}
	return StateEstablished
}

// Template is what -j CT prepares in the raw table (nf_ct_tmpl_alloc): immutable, owned by its rule.
type Template struct {
	Zone    uint16
	ZoneDir ZoneDir // which directions the zone counts for
	// ZoneFromMark takes the zone from the packet's mark (--zone mark).
	ZoneFromMark bool
	Helper       string // "" for none
	Timeout      string // name of a timeout policy; "" for none
	Events       uint32 // bit set of conntrack events to report; used if HasEvents
	ExpEvents    uint32
	HasEvents    bool
	HasExpEvents bool
}

// ZoneDir tells for which directions a zone counts (--zone, --zone-orig, --zone-reply). The zero value is both.
type ZoneDir uint8

// The zone directions.
const (
	ZoneBoth ZoneDir = iota
	ZoneOrig
	ZoneReply
)

// Status is the bit set ct->status, with the kernel's positions (enum ip_conntrack_status).
type Status uint32

// The status bits.
const (
	StatusExpected     Status = 1 << 0
	StatusSeenReply    Status = 1 << 1
	StatusAssured      Status = 1 << 2
	StatusConfirmed    Status = 1 << 3
	StatusSrcNAT       Status = 1 << 4
	StatusDstNAT       Status = 1 << 5
	StatusSeqAdjust    Status = 1 << 6
	StatusSrcNATDone   Status = 1 << 7
	StatusDstNATDone   Status = 1 << 8
	StatusDying        Status = 1 << 9
	StatusFixedTimeout Status = 1 << 10
	StatusTemplate     Status = 1 << 11
	StatusUntracked    Status = 1 << 12
	StatusHelper       Status = 1 << 13
	StatusOffload      Status = 1 << 14

	// StatusNATClash shares its position with UNTRACKED, which connections never have: a clash at confirm was resolved
	// by an entry that only answers find (IPS_NAT_CLASH).
	StatusNATClash = StatusUntracked

	StatusNATMask     = StatusSrcNAT | StatusDstNAT
	StatusNATDoneMask = StatusSrcNATDone | StatusDstNATDone
)
