package nat

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// done is the status bit that says that a manip of a connection is decided; changed, that it changes something.
var (
	done    = [2]conntrack.Status{conntrack.StatusSrcNATDone, conntrack.StatusDstNATDone}
	changed = [2]conntrack.Status{conntrack.StatusSrcNAT, conntrack.StatusDstNAT}
)

// Initialized tells whether the manip of the connection is decided: rules are not asked again (nf_nat_initialized).
func Initialized(c *conntrack.Conn, m Manip) bool { return c.Status()&done[m] != 0 }

// Setup decides a manip of a new connection (nf_nat_setup_info): it looks for a tuple within the range that nobody has
// and makes the reply tuple its answer. The range may be exhausted; as in Linux the packet then goes on and dies
// at confirm, with ReasonNATExhausted, unless the other manip comes out of the clash.
func Setup(t *conntrack.Table, now packet.Time, c *conntrack.Conn, r *Range, m Manip, rng *rand.Rand) packet.Reason {
	if c.Status()&conntrack.StatusConfirmed != 0 {
		return packet.ReasonNone
	}
	if Initialized(c, m) {
		return packet.ReasonNATDrop
	}
	// What goes out is the inverse of what comes back; this has the other manip in it, if that came first.
	cur, ok := c.Tuple(conntrack.Reply).Invert()
	if !ok {
		return packet.ReasonNATDrop
	}
	cur.Zone = c.Tuple(conntrack.Original).Zone
	s := search{t: t, now: now, c: c, r: *r, m: m, rng: rng}
	next, free := s.unique(cur)
	if !free {
		c.Exhausted()
	}
	if next != cur {
		reply, _ := next.Invert()
		reply.Zone = c.Tuple(conntrack.Reply).Zone
		c.SetReply(reply)
		c.SetStatus(changed[m])
	}
	if m == ManipSrc {
		t.IndexSource(c)
	}
	c.SetStatus(done[m])
	return packet.ReasonNone
}

// NullBinding decides that nothing is to be changed (nf_nat_alloc_null_binding): the address stays. The port may have to
// give way all the same, if a DNAT has led two flows to the same tuple.
func NullBinding(t *conntrack.Table, now packet.Time, c *conntrack.Conn, m Manip, rng *rand.Rand) packet.Reason {
	reply := c.Tuple(conntrack.Reply)
	a := reply.Dst
	if m == ManipDst {
		a = reply.Src
	}
	return Setup(t, now, c, &Range{Flags: MapIPs, MinAddr: a, MaxAddr: a}, m, rng)
}

// search looks for a tuple that nobody has.
type search struct {
	t   *conntrack.Table
	now packet.Time
	c   *conntrack.Conn
	r   Range // a copy, so that the caller's need not outlive it
	m   Manip
	rng *rand.Rand
}

const randomAll = ProtoRandom | RandomFully

// unique is get_unique_tuple. It reports whether the tuple is free.
func (s *search) unique(orig conntrack.Tuple) (conntrack.Tuple, bool) {
	r := &s.r
	// 1: what the source has already, at another destination (RFC 4787 REQ-1, as far as Linux has it), or no change.
	if s.m == ManipSrc && r.Flags&randomAll == 0 {
		if r.holds(&orig) {
			if !s.takenFirst(&orig) {
				return orig, true
			}
		} else if k, ok := s.sameMapping(&orig); ok && !s.taken(&k) {
			return k, true
		}
	}
	// 2: an address.
	k := orig
	r.pickAddr(&k, s.m, s.c.Zone())
	// 3: a port, if the one it has is not in the range or not free.
	if r.Flags&randomAll == 0 {
		if r.Flags&ProtoSpecified != 0 {
			if r.Flags&ProtoOffset == 0 && r.holdsPort(&k, s.m) {
				if r.MinPort == r.MaxPort {
					return k, !s.taken(&k)
				}
				if !s.taken(&k) {
					return k, true
				}
			}
		} else if s.m == ManipDst && packet.HasPorts(k.Proto) || !s.taken(&k) {
			return k, true // a destination port is changed only where a rule says so, whoever has the tuple
		}
	}
	return s.pickPort(k)
}

// taken tells whether replies to k would be another connection's (nf_nat_used_tuple).
func (s *search) taken(k *conntrack.Tuple) bool {
	reply := s.replyOf(k)
	return s.t.Taken(s.now, &reply, s.c)
}

func (s *search) replyOf(k *conntrack.Tuple) conntrack.Tuple {
	reply, _ := k.Invert()
	reply.Zone = s.c.Tuple(conntrack.Reply).Zone
	return reply
}

// takenFirst is taken for the tuple as it came. Both ends of a flow may have sent at the same time and been met by two
// workers: if neither connection is translated, and each is the other's reply, the tuple counts as free and confirm
// resolves the clash (nf_nat_used_tuple_new).
func (s *search) takenFirst(k *conntrack.Tuple) bool {
	if !s.taken(k) {
		return false
	}
	if !conntrack.AllowsClash(k.Proto) || s.c.Status()&conntrack.StatusNATMask != 0 {
		return true
	}
	ref, ok := s.t.Find(s.now, *k)
	if !ok {
		if ref, ok = s.t.Find(s.now, s.replyOf(k)); !ok {
			return false
		}
	}
	defer s.t.Release(&ref)
	o := ref.Conn
	return o.Status()&conntrack.StatusNATMask != 0 || !equal(o, conntrack.Original, s.c, conntrack.Reply) || !equal(o, conntrack.Reply, s.c, conntrack.Original)
}

// equal compares tuples of two connections without their zones (nf_ct_tuple_equal).
func equal(a *conntrack.Conn, d conntrack.Dir, b *conntrack.Conn, e conntrack.Dir) bool {
	k := *a.Tuple(d)
	k.Zone = b.Tuple(e).Zone
	return k == *b.Tuple(e)
}

// sameMapping is the source that another connection of the same original source was given, if the range allows it
// (find_appropriate_src).
func (s *search) sameMapping(orig *conntrack.Tuple) (k conntrack.Tuple, ok bool) {
	k = *orig
	s.t.SameSource(orig, func(reply *conntrack.Tuple) bool {
		out, _ := reply.Invert()
		k.Src, k.SrcPort = out.Src, out.SrcPort
		ok = s.r.holds(&k)
		return !ok
	})
	return k, ok
}

// holds tells whether a source is in the range (nf_in_range).
func (r *Range) holds(k *conntrack.Tuple) bool {
	if r.Flags&MapIPs != 0 && (less(&k.Src, &r.MinAddr) || less(&r.MaxAddr, &k.Src)) {
		return false
	}
	return r.Flags&ProtoSpecified == 0 || r.holdsPort(k, ManipSrc)
}

// holdsPort tells whether the port, id or key that m changes is in the range (l4proto_in_range).
func (r *Range) holdsPort(k *conntrack.Tuple, m Manip) bool {
	v := k.SrcPort
	switch k.Proto {
	case packet.ProtoICMP, packet.ProtoICMPv6: // the id is the same in both directions
	case packet.ProtoGRE, packet.ProtoTCP, packet.ProtoUDP, packet.ProtoUDPLite, packet.ProtoSCTP:
		if m == ManipDst {
			v = k.DstPort
		}
	default:
		return true
	}
	return v >= r.MinPort && v <= r.MaxPort
}

func less(a, b *packet.Addr) bool { return string(a[:]) < string(b[:]) }

// pickAddr is find_best_ips_proto: one address of the range by a hash over source and destination, so that a client is
// seen with the same address by the same server, and by all of them with --persistent.
func (r *Range) pickAddr(k *conntrack.Tuple, m Manip, zone uint16) {
	if r.Flags&MapIPs == 0 {
		return
	}
	field := &k.Src
	if m == ManipDst {
		field = &k.Dst
	}
	if r.MinAddr == r.MaxAddr {
		*field = r.MinAddr
		return
	}
	src, dst := words(&k.Src, k.V6), words(&k.Dst, k.V6)
	minA, maxA := words(&r.MinAddr, k.V6), words(&r.MaxAddr, k.V6)
	last := 0
	if k.V6 {
		last = 3
	}
	persistent := r.Flags&Persistent != 0
	var seed uint32
	if !persistent {
		seed = dst[last] ^ uint32(zone)
	}
	j := jhash2(src[:], seed)
	full := false // an earlier word is below the maximum: the others may be anything
	var out [4]uint32
	for i := 0; i <= last; i++ {
		lo, dist := uint32(0), ^uint32(0)
		if !full {
			lo = swap(minA[i])
			dist = swap(maxA[i]) - lo + 1
		}
		out[i] = swap(lo + uint32(uint64(j)*uint64(dist)>>32))
		if out[i] != maxA[i] {
			full = true
		}
		switch {
		case persistent:
		case m == ManipDst:
			j ^= out[i] // the destination that it looks at is the new one
		default:
			j ^= dst[i]
		}
	}
	at := field.Wire(k.V6)
	for i := 0; i <= last; i++ {
		binary.LittleEndian.PutUint32(at[4*i:], out[i])
	}
}

// words are an address as the kernel's nf_inet_addr on a little-endian machine: network order in four words, IPv4 in
// the first.
func words(a *packet.Addr, v6 bool) (w [4]uint32) {
	b := a.Wire(v6)
	for i := 0; i < len(b); i += 4 {
		w[i/4] = binary.LittleEndian.Uint32(b[i:])
	}
	return w
}

func swap(v uint32) uint32 {
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], v)
	return binary.BigEndian.Uint32(b[:])
}
