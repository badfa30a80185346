package xt

import (
	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

// setDims are the "src,dst" behind a set's name: which end of the packet each part of an element is compared with.
type setDims struct {
	n   int
	dst [setMaxDims]bool
}

const setMaxDims = 6 // IPSET_DIM_MAX

func (d *setDims) append(b []byte) []byte {
	for i := range d.n {
		if i > 0 {
			b = append(b, ',')
		}
		if d.dst[i] {
			b = append(b, "dst"...)
		} else {
			b = append(b, "src"...)
		}
	}
	return b
}

// setQuery is what a packet has of the kind of a set.
type setQuery struct {
	key        setKey
	first, net packet.Addr // of the kinds with two networks, and with one
}

// read reads from a packet what a set compares. It is false where the packet has nothing of the kind, for instance no
// ports.
func (q *setQuery) read(s *set, p *policy.Packet, d *setDims) (ok bool) {
	if d.n < len(s.kind.parts) || !s.wants(p.V6) {
		return false
	}
	k, second := &q.key, false
	for i, part := range s.kind.parts {
		switch part {
		case partIP, partNet:
			a := p.Src()
			if d.dst[i] {
				a = p.Dst()
			}
			if part == partNet {
				if s.kind.twoNets && i == 0 {
					q.first = a
				} else {
					q.net = a
				}
				continue
			}
			if s.header.netmask != 0 {
				a = maskBits(a, p.V6, uint8(s.header.netmask))
			}
			if s.kind.bitmap && (!p.V6 && (lessAddr(a, s.header.lo) || lessAddr(s.header.hi, a)) || p.V6) {
				return false
			}
			if second {
				k.ip2 = a
			} else {
				k.ip = a
			}
			second = true
		case partPort:
			if k.port, k.proto, ok = portOf(p, d.dst[i]); !ok {
				return false
			}
		case partNumber:
			if k.port, k.proto, ok = portOf(p, d.dst[i]); !ok || k.proto != protoTCP && k.proto != protoUDP ||
				k.port < s.header.loPort || k.port > s.header.hiPort {
				return false
			}
			k.proto = 0
		case partMark:
			k.mark = p.Mark & s.header.markmask
		case partIface:
			dev := p.In
			if d.dst[i] {
				dev = p.Out
			}
			if dev == nil {
				return false
			}
			k.iface = dev.Name
		}
	}
	return true
}

func lessAddr(a, b packet.Addr) bool {
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

// portHeader is how much of a transport header must be there before its ports count.
var portHeader = [256]int{protoTCP: 20, protoUDP: 8, protoUDPLite: 8, protoSCTP: 12}

// portOf is the port of a packet as sets see it, with its protocol: of ICMP the type and code, of other protocols
// without ports 0 (ip_set_getport.c).
func portOf(p *policy.Packet, dst bool) (port uint16, proto uint8, ok bool) {
	if p.V6 && !p.HasL4() {
		return 0, 0, false // the kernel walks IPv6 headers as conntrack does; a later fragment has none for it
	}
	switch p.Proto {
	case protoTCP, protoUDP, protoUDPLite, protoSCTP:
		src, to, ok := p.Ports()
		if dst {
			src = to
		}
		return src, p.Proto, ok && p.L4Len() >= portHeader[p.Proto]
	case protoICMP, protoICMPv6:
		if t := p.L4Bytes(); len(t) >= 8 && (p.Proto == protoICMPv6) == p.V6 {
			return uint16(t[0])<<8 | uint16(t[1]), p.Proto, true
		}
		return 0, 0, false
	}
	return 0, p.Proto, p.Proto != 0
}

// setTest is what a rule asks of a set beside membership.
type setTest struct {
	returnNomatch      bool
	noUpdate, noSub    bool
	packetsOp, bytesOp setOp
	packets, bytes     uint64
}

// setOp compares a counter.
type setOp uint8

const (
	opNone setOp = iota
	opEQ
	opNE
	opLT
	opGT
)

func (op setOp) holds(have, want uint64) bool {
	switch op {
	case opEQ:
		return have == want
	case opNE:
		return have != want
	case opLT:
		return have < want
	case opGT:
		return have > want
	}
	return true
}

// test tells whether the packet is in the set, and gives a copy of the element that covers it. Counters are moved.
func (s *set) test(p *policy.Packet, d *setDims, q *setTest) (e setElem, in bool) {
	if len(s.kind.parts) == 0 {
		return s.testList(p, d, q)
	}
	var w setQuery
	if !w.read(s, p, d) {
		return e, false
	}
	if !s.header.counters {
		s.mu.RLock()
		defer s.mu.RUnlock()
	} else {
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	s.covering(&w, p.Now, func(hit *setElem) bool {
		if !s.passes(hit, p, q, !q.noUpdate) {
			return false
		}
		e, in = *hit, hit.nomatch == (s.kind.hasNet() && q.returnNomatch)
		return true
	})
	return e, in
}

// passes moves the counters of an element and compares them.
func (s *set) passes(e *setElem, p *policy.Packet, q *setTest, update bool) bool {
	if !s.header.counters {
		return true
	}
	if update {
		e.packets++
		e.bytes += uint64(len(p.Data))
	}
	return q.packetsOp.holds(e.packets, q.packets) && q.bytesOp.holds(e.bytes, q.bytes)
}

// testList asks the members in their order. What the rule wants of counters it wants of the list's own.
func (s *set) testList(p *policy.Packet, d *setDims, q *setTest) (setElem, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := setTest{returnNomatch: q.returnNomatch, noUpdate: q.noUpdate || q.noSub}
	for _, m := range s.list {
		if m.dead(p.Now) {
			continue
		}
		e, in := m.member.test(p, d, &sub)
		if !in || !s.passes(m, p, q, !q.noUpdate) {
			continue
		}
		if s.header.skbinfo {
			e = *m
		}
		return e, true
	}
	return setElem{}, false
}

// addPacket adds what the packet has of the set's kind; an element that is there already is only refreshed with
// exist. It tells whether the packet is in now because of it.
func (s *set) addPacket(p *policy.Packet, d *setDims, exist bool, timeout *int64) bool {
	if len(s.kind.parts) == 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, m := range s.list {
			if !m.dead(p.Now) && m.member.addPacket(p, d, exist, timeout) {
				return true
			}
		}
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.elemOf(p, d)
	if !ok {
		return false
	}
	if old := s.get(e); old != nil {
		if !old.dead(p.Now) && !exist {
			return false
		}
		if !s.kind.bitmap {
			e.comment = old.comment // whose words no packet has; bitmaps lose them in Linux
		}
	}
	if s.header.hasTimeout {
		e.expires = s.header.expiry(timeout, p.Now)
	}
	return s.put(e, p.Now)
}

// delPacket takes out what the packet would have added.
func (s *set) delPacket(p *policy.Packet, d *setDims) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kind.parts) == 0 {
		for _, m := range s.list {
			if !m.dead(p.Now) && m.member.delPacket(p, d) {
				return true
			}
		}
		return false
	}
	e, ok := s.elemOf(p, d)
	if !ok {
		return false
	}
	old := s.get(e)
	if old != nil {
		s.drop(old)
	}
	return old != nil
}

// elemOf makes an element of a packet. Its network has the longest prefix length that the set knows, or the full one.
func (s *set) elemOf(p *policy.Packet, d *setDims) (*setElem, bool) {
	var q setQuery
	if !q.read(s, p, d) || s.kind.notNull && isUnspecified(q.key.ip) {
		return nil, false
	}
	e := &setElem{key: q.key, packets: 1, bytes: uint64(len(p.Data))} // this packet counts
	if s.kind.hasNet() {
		e.net = prefixOf(q.net, longest(&s.bits, p.V6))
	}
	if s.kind.twoNets {
		n := longest(&s.first, p.V6)
		e.key.ip, e.key.bits = maskBits(q.first, p.V6, uint8(n)), uint8(n)
	}
	return e, true
}

// longest is the longest prefix length that is in use, or the full one.
func longest(used *[129]int, v6 bool) int {
	full := addrBits(policy.FamilyOf(v6))
	for n := full; n > 0; n-- {
		if used[n] > 0 {
			return n
		}
	}
	return full
}
