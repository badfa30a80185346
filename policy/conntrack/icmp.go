package conntrack

import (
	"encoding/binary"

	"github.com/moat-router/moat/stack/packet"
)

// icmp looks at ICMP before any tuple is looked up: errors belong to the connection that they quote, neighbour
// discovery is untracked. It reports whether the matter is settled.
func (x *look) icmp(ref *Ref) (done bool) {
	proto := x.p.Proto
	if proto != packet.ProtoICMP && proto != packet.ProtoICMPv6 || x.p.V6 != (proto == packet.ProtoICMPv6) {
		return false
	}
	if len(x.l4) < 8 {
		return x.bad("short packet")
	}
	if !x.sumOK() {
		if x.p.V6 {
			return x.bad("ICMPv6 checksum failed")
		}
		return x.bad("bad hw icmp checksum")
	}
	typ := x.l4[0]
	if x.p.V6 {
		switch typ {
		case 130, 131, 132, 133, 134, 135, 136, 143: // MLD and neighbour discovery
			ref.Info = Untracked
			return true
		case 137:
			return x.redirect6(ref)
		}
	} else if typ > 18 {
		return x.bad("invalid icmp type")
	}
	if !x.p.IsICMPError() {
		return false
	}
	q, ok := x.p.Quote()
	if !ok || q.Bad {
		return x.error()
	}
	return x.related(ref, q.Src(), q.Dst(), q.Proto(), q.L4Bytes())
}

// related is nf_conntrack_inet_error. The quoted packet went the other way than the error, so the error's tuple is the
// quoted one turned around; and it must go to where that connection's packets go.
func (x *look) related(ref *Ref, src, dst packet.Addr, proto uint8, l4 []byte) bool {
	k := Tuple{Src: src, Dst: dst, Proto: proto, V6: x.p.V6}
	if !k.readPorts(l4) {
		return x.error()
	}
	inner, ok := k.Invert()
	if !ok {
		return x.error()
	}
	c, d := x.t.lookup(x.now, &inner, x.zones)
	if c == nil {
		return x.error()
	}
	if outer, want := x.p.Dst(), c.tuple[d].Dst; outer != want {
		if x.logs(x.p.Proto) {
			b := append([]byte("outer daddr "), inner.appendAddr(nil, &outer)...)
			x.log(x.p.Proto, string(inner.appendAddr(append(b, " != inner "...), &want)))
		}
		c.put()
		return x.error()
	}
	ref.Conn, ref.Info = c, Related
	if d == Reply {
		ref.Info = RelatedReply
	}
	return true
}

// redirect6 is a neighbour discovery redirect: it quotes a packet in its redirected header option (RFC 4861 4.6.3). As
// in Linux only the first option is looked at, and the length that it gives itself is not.
func (x *look) redirect6(ref *Ref) bool {
	src := x.p.Src()
	const fixed = 40 // the message without options
	if len(x.l4) < fixed {
		return x.bad("short redirect")
	}
	if src[0] != 0xfe || src[1]&0xc0 != 0x80 || x.p.TTL() != 255 {
		return x.bad("invalid saddr or hoplimit for redirect")
	}
	if x.l4[1] != 0 {
		return x.error()
	}
	opts := x.l4[fixed:]
	if len(opts) < 2 || opts[1] == 0 {
		return x.bad("redirect without options")
	}
	if opts[0] != 4 {
		return x.error()
	}
	// The option's eight bytes stand in front of the quoted packet like the header of an error.
	inner := *x.p
	inner.L4 += fixed
	q, ok := inner.Quote()
	if !ok || q.Bad {
		return x.error()
	}
	return x.related(ref, q.Src(), q.Dst(), q.Proto(), q.L4Bytes())
}

// error counts an ICMP message that conntrack takes for INVALID.
func (x *look) error() bool {
	x.t.stats.error.Add(1)
	return true
}

func (x *look) bad(msg string) bool {
	x.invalid(msg)
	return x.error()
}

// trackICMP is the tracker of ICMP and ICMPv6 queries: only a request begins a connection, and the answer does not end
// it, so that duplicates of it still pass.
func (x *look) trackICMP() verdict {
	if x.p.V6 != (x.p.Proto == packet.ProtoICMPv6) {
		return invalid
	}
	timeout := x.timeouts().ICMP
	switch typ := x.c.tuple[Original].DstPort >> 8; {
	case !x.p.V6 && (typ == 8 || typ == 13 || typ == 15 || typ == 17):
	case x.p.V6 && (typ == 128 || typ == 139):
		timeout = x.timeouts().ICMPv6
	default:
		return invalid
	}
	x.refresh(timeout)
	return accept
}

// sumOK checks the transport checksum where the kernel does: at PREROUTING, unless nf_conntrack_checksum is off.
func (x *look) sumOK() bool {
	return x.hook.Local || !x.par.Checksum || x.p.VerifySum()
}

// logs tells whether nf_conntrack_log_invalid asks for a protocol.
func (x *look) logs(proto uint8) bool {
	l := x.par.LogInvalid
	return l != 0 && (l == 255 || l == proto) && x.t.OnInvalid != nil
}

func (x *look) log(proto uint8, msg string) { x.t.OnInvalid(x.p, x.hook, proto, msg) }

// invalid logs a reason without details and is the verdict of the same name.
func (x *look) invalid(msg string) verdict {
	if x.logs(x.p.Proto) {
		x.log(x.p.Proto, msg)
	}
	return invalid
}

func be16(b []byte) uint16 { return binary.BigEndian.Uint16(b) }
func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }
