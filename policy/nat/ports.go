package nat

import (
	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

const (
	maxAttempts = 128 // looks at the first offset; every further round has half as many
	minAttempts = 16  // and none has fewer
	harder      = 32  // attempts left, from which on a connection in TIME_WAIT is pushed aside
)

// pickPort is nf_nat_l4proto_unique_tuple: a free port, id or key for the tuple, within a bounded number of looks. It
// reports whether it found one.
func (s *search) pickPort(k conntrack.Tuple) (conntrack.Tuple, bool) {
	r := &s.r
	field := &k.SrcPort
	lo, size := uint32(r.MinPort), uint32(r.MaxPort)-uint32(r.MinPort)+1
	given := r.Flags&ProtoSpecified != 0
	switch k.Proto {
	case packet.ProtoICMP, packet.ProtoICMPv6:
		if !given {
			lo, size = 0, 65536
		}
	case packet.ProtoGRE:
		// Keys are a PPTP helper's: without a master the tuple stays.
		if s.c.Master() == nil {
			return k, !s.taken(&k)
		}
		if s.m == ManipDst {
			field = &k.DstPort
		}
		if !given {
			lo, size = 1, 65535
		}
	case packet.ProtoTCP, packet.ProtoUDP, packet.ProtoUDPLite, packet.ProtoSCTP:
		if s.m == ManipDst {
			field = &k.DstPort
		}
		switch {
		case given && r.MaxPort < r.MinPort:
			lo, size = uint32(r.MaxPort), uint32(r.MinPort)-uint32(r.MaxPort)+1
		case given:
		case s.m == ManipDst:
			return k, !s.taken(&k) // a destination port is changed only where a rule says so
		default:
			lo, size = portClass(*field)
		}
	default:
		return k, !s.taken(&k)
	}
	var off uint16
	switch {
	case r.Flags&ProtoOffset != 0:
		off = *field - r.BasePort
	case r.Flags&randomAll != 0 || s.m != ManipDst:
		off = uint16(s.rng.Uint32())
	}
	attempts := min(size, maxAttempts)
	for {
		for i := range attempts {
			*field = uint16(lo + uint32(off)%size)
			off++
			if !s.takenHarder(&k, attempts-i) {
				return k, true
			}
		}
		if attempts >= size || attempts < minAttempts {
			return k, false
		}
		attempts /= 2
		off = uint16(s.rng.Uint32())
	}
}

// portClass is where a port may move to without a rule that says so: privileged ports stay privileged.
func portClass(port uint16) (lo, size uint32) {
	switch {
	case port < 512:
		return 1, 511
	case port < 1024:
		return 600, 1024 - 600
	}
	return 1024, 65536 - 1024
}

// takenHarder is taken, but with few attempts left a new TCP connection takes over the tuple of one that was closed,
// if its own sequence numbers lie behind it (nf_nat_used_tuple_harder; RFC 6191).
func (s *search) takenHarder(k *conntrack.Tuple, left uint32) bool {
	if left > harder || k.Proto != packet.ProtoTCP || s.c.TCPState() != conntrack.TCPSynSent {
		return s.taken(k)
	}
	ref, ok := s.t.Find(s.now, s.replyOf(k))
	if !ok {
		return false
	}
	defer s.t.Release(&ref)
	old := ref.Conn
	const refuse = conntrack.StatusFixedTimeout | conntrack.StatusDying
	if ref.Info.Dir() == conntrack.Original || old.TCPState() < conntrack.TCPTimeWait ||
		old.Status()&refuse != 0 || old.Status()&conntrack.StatusSrcNAT == 0 {
		return true
	}
	if int32(s.c.TCPEnd(conntrack.Original)-old.TCPEnd(conntrack.Original)) <= 0 {
		return true
	}
	return !s.t.Kill(s.now, old)
}
