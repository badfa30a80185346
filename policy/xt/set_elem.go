package xt

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/gaissmai/bart"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

func newNets() map[setKey]*bart.Table[*setElem] { return map[setKey]*bart.Table[*setElem]{} }

// setExpandMax is the most elements that one range may stand for.
const setExpandMax = 1 << 18

// elems reads the text of an element. A range stands for many.
func (s *set) elems(text string) (out []setElem, err error) {
	parts := strings.Split(text, ",")
	if len(parts) != len(s.kind.parts) {
		return nil, fmt.Errorf("bad element %q: %s has %d parts", text, s.kind.name, len(s.kind.parts))
	}
	out = []setElem{{}}
	second := false
	for i, part := range s.kind.parts {
		switch part {
		case partIP:
			at := func(e *setElem) *packet.Addr { return &e.key.ip }
			if second {
				at = func(e *setElem) *packet.Addr { return &e.key.ip2 }
			}
			out, err = s.expandIP(out, parts[i], at, second)
			second = true
		case partNet:
			at := func(e *setElem, n netip.Prefix) { e.net = n }
			if s.kind.twoNets && i == 0 {
				at = func(e *setElem, n netip.Prefix) { e.key.ip, e.key.bits = packet.AddrFrom(n.Addr()), uint8(n.Bits()) }
			}
			out, err = s.expandNet(out, parts[i], at)
		case partPort, partNumber:
			out, err = s.expandPort(out, parts[i], part == partPort)
		case partMark:
			v, ok := ParseUint(parts[i], 0, 1<<32-1)
			if !ok {
				return nil, fmt.Errorf("bad mark %q", parts[i])
			}
			for j := range out {
				out[j].key.mark = uint32(v) & s.header.markmask
			}
		case partIface:
			for j := range out {
				out[j].key.iface = strings.TrimPrefix(parts[i], "physdev:")
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// expandIP reads an address; only IPv4 ones may be ranges, and of two only the first.
func (s *set) expandIP(in []setElem, text string, at func(*setElem) *packet.Addr, second bool) (out []setElem, err error) {
	fam := s.family
	lo, hi, err := addrRange(fam, text)
	if err != nil {
		return nil, err
	}
	if lo != hi && (second || fam == policy.V6) {
		return nil, fmt.Errorf("%q: a plain address is wanted here", text)
	}
	if m := s.header.netmask; m != 0 {
		lo, hi = maskBits(lo, fam == policy.V6, uint8(m)), maskBits(hi, fam == policy.V6, uint8(m))
	}
	if s.kind.notNull && isUnspecified(lo) {
		return nil, fmt.Errorf("%q: the null address cannot be stored in a %s set", text, s.kind.name)
	}
	if s.kind.bitmap && (lessAddr(lo, s.header.lo) || lessAddr(s.header.hi, hi)) {
		return nil, fmt.Errorf("%q is outside of the range of the set", text)
	}
	if tooMany(lo, hi, s.header.netmask, fam, len(in)) {
		return nil, fmt.Errorf("%q stands for more than %d elements", text, setExpandMax)
	}
	for ip := netip.AddrFrom16(lo); ; ip = nextAddr(ip, fam, s.header.netmask) {
		a := packet.Addr(ip.As16())
		for _, e := range in {
			*at(&e) = a
			out = append(out, e)
		}
		if !lessAddr(a, hi) {
			return out, nil
		}
	}
}

func (s *set) expandNet(in []setElem, text string, at func(*setElem, netip.Prefix)) (out []setElem, err error) {
	var nets []netip.Prefix
	if strings.Contains(text, "-") {
		lo, hi, err := addrRange(s.family, text)
		if err != nil {
			return nil, err
		}
		nets = coverRange(lo.IP(), hi.IP())
	} else {
		p, err := parseNet(s.family, text)
		if err != nil {
			return nil, err
		}
		nets = []netip.Prefix{p}
	}
	for _, n := range nets {
		for _, e := range in {
			at(&e, n)
			out = append(out, e)
		}
	}
	return out, nil
}

// expandPort reads "80", "tcp:80-90", "icmp:8/0" or "47:0"; without a protocol it is TCP.
func (s *set) expandPort(in []setElem, text string, withProto bool) (out []setElem, err error) {
	proto, rest := uint8(0), text
	if withProto {
		proto = protoTCP
		if name, port, ok := strings.Cut(text, ":"); ok {
			if name == "icmpv6" {
				name = "ipv6-icmp"
			}
			if proto, ok = ParseProtocol(name); !ok || proto == 0 {
				return nil, fmt.Errorf("unknown protocol %q in %q", name, text)
			}
			rest = port
		}
	}
	var lo, hi uint16
	if proto == protoICMP || proto == protoICMPv6 {
		lo, err = parseICMPKey(proto, rest)
		hi = lo
	} else if lo, hi, err = numberRange(rest); err != nil {
		lo, err = parsePort(rest, serviceProto(proto))
		hi = lo
	}
	if err != nil {
		return nil, fmt.Errorf("bad port %q", text)
	}
	if s.kind.bitmap && (lo < s.header.loPort || hi > s.header.hiPort) {
		return nil, fmt.Errorf("%q is outside of the range of the set", text)
	}
	if len(in)*(int(hi)-int(lo)+1) > setExpandMax {
		return nil, fmt.Errorf("%q stands for more than %d elements", text, setExpandMax)
	}
	for port := int(lo); port <= int(hi); port++ {
		for _, e := range in {
			e.key.proto, e.key.port = proto, uint16(port)
			out = append(out, e)
		}
	}
	return out, nil
}

// parseICMPKey reads type/code or the name of one.
func parseICMPKey(proto uint8, text string) (uint16, error) {
	if typ, code, ok := strings.Cut(text, "/"); ok {
		t, ok1 := ParseUint(typ, 0, 255)
		c, ok2 := ParseUint(code, 0, 255)
		if ok1 && ok2 {
			return uint16(t<<8 | c), nil
		}
	}
	for _, n := range icmpNamesOf(proto) {
		if n.name == text && n.typ != 255 {
			return uint16(n.typ)<<8 | uint16(n.lo), nil
		}
	}
	return 0, fmt.Errorf("bad ICMP type %q", text)
}

// icmpNamesOf are the names of ICMP types and codes that ipset knows: those of iptables, but for three.
func icmpNamesOf(proto uint8) []icmpName {
	if proto == protoICMP {
		return icmpv4Names
	}
	return ipsetNames6
}

var ipsetNames6 = slices.DeleteFunc(slices.Clone(icmpv6Names), func(n icmpName) bool {
	return n.name == "beyond-scope" || n.name == "failed-policy" || n.name == "reject-route"
})

// extensions reads what stands behind an element.
func (s *set) extensions(e *setElem, words []string, now packet.Time) error {
	h := &s.header
	var timeout *int64
	for i := 0; i < len(words); i++ {
		name := words[i]
		if name == "nomatch" {
			if !s.kind.hasNet() {
				return fmt.Errorf("nomatch belongs to types with networks")
			}
			e.nomatch = true
			continue
		}
		if i++; i == len(words) {
			return fmt.Errorf("%q is unknown or its value is missing", name)
		}
		word := words[i]
		v, ok := ParseUint(word, 0, 1<<64-1)
		has := false
		switch name {
		case "timeout":
			t := int64(v)
			timeout, has = &t, h.hasTimeout
		case "packets":
			e.packets, e.givenPackets, has = v, true, h.counters
		case "bytes":
			e.bytes, e.givenBytes, has = v, true, h.counters
		case "comment":
			e.comment, has, ok = word, h.comment, len(word) <= 255
		case "skbmark":
			mark, mask, hasMask := strings.Cut(word, "/")
			m := uint64(1<<32 - 1)
			if v, ok = parseHex(mark); ok && hasMask {
				m, ok = parseHex(mask)
			}
			e.mark, e.mask, e.hasMark, has = uint32(v), uint32(m), true, h.skbinfo
		case "skbprio":
			var hi, lo uint32
			n, err := fmt.Sscanf(word, "%x:%x", &hi, &lo)
			ok = err == nil && n == 2
			e.prio, e.hasPrio, has = hi<<16|lo&0xffff, true, h.skbinfo
		case "skbqueue":
			e.queue, e.hasQ, has = uint16(v), true, h.skbinfo
			ok = ok && v <= 65535
		default:
			return fmt.Errorf("%q is unknown", name)
		}
		if !has {
			return fmt.Errorf("%s: the set was created without it", name)
		}
		if !ok {
			return fmt.Errorf("bad value %q for %s", word, name)
		}
	}
	if h.hasTimeout {
		e.expires = h.expiry(timeout, now)
	}
	return nil
}

// parseHex reads a mark as ipset wants it: in hexadecimal.
func parseHex(word string) (uint64, bool) {
	v, ok := ParseUint(word, 0, 1<<32-1)
	return v, ok && strings.HasPrefix(word, "0x")
}

func (t *setTable) add(name, text string, words []string, exist bool, now packet.Time) error {
	s, err := t.known(name)
	if err != nil {
		return err
	}
	if len(s.kind.parts) == 0 {
		return t.addMember(s, text, words, exist, now)
	}
	es, err := s.elems(text)
	if err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	var ext setElem
	if err := s.extensions(&ext, words, now); err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range es {
		x := ext
		x.key, x.net = e.key, e.net
		if old := s.get(&x); old != nil && !old.dead(now) && !exist {
			return fmt.Errorf("set %s: %q is in it already", name, text)
		}
		if old := s.get(&x); old != nil {
			x.keepCounters(old)
		}
		if !s.put(&x, now) {
			return fmt.Errorf("set %s is full (maxelem %d)", name, s.header.maxelem)
		}
	}
	return nil
}

// addMember puts a set into a list, at the end or before or after another.
func (t *setTable) addMember(s *set, text string, words []string, exist bool, now packet.Time) error {
	m, err := t.known(text)
	if err != nil {
		return err
	}
	if len(m.kind.parts) == 0 {
		return fmt.Errorf("set %s: a list cannot be a member of a list", s.name)
	}
	e := &setElem{member: m}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := len(s.list)
	if len(words) >= 2 && (words[0] == "before" || words[0] == "after") {
		at = slices.IndexFunc(s.list, func(x *setElem) bool { return x.member.name == words[1] })
		if at < 0 {
			return fmt.Errorf("set %s: %q is not in it", s.name, words[1])
		}
		if words[0] == "after" {
			at++
		}
		words = words[2:]
	}
	if err := s.extensions(e, words, now); err != nil {
		return fmt.Errorf("set %s: %w", s.name, err)
	}
	if i := slices.IndexFunc(s.list, func(x *setElem) bool { return x.member == m }); i >= 0 {
		if !exist && !s.list[i].dead(now) {
			return fmt.Errorf("set %s: %q is in it already", s.name, text)
		}
		e.keepCounters(s.list[i])
		s.list[i] = e
		return nil
	}
	s.list = slices.Insert(s.list, at, e)
	return nil
}

func (t *setTable) del(name, text string, exist bool) error {
	s, err := t.known(name)
	if err != nil {
		return err
	}
	gone := fmt.Errorf("set %s: %q is not in it", name, text)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kind.parts) == 0 {
		n := len(s.list)
		s.list = slices.DeleteFunc(s.list, func(e *setElem) bool { return e.member.name == text })
		if len(s.list) == n && !exist {
			return gone
		}
		return nil
	}
	es, err := s.elems(text)
	if err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	for i := range es {
		old := s.get(&es[i])
		if old == nil && !exist {
			return gone
		}
		if old != nil {
			s.drop(old)
		}
	}
	return nil
}
