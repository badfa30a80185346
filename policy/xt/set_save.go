package xt

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/moat-router/moat/stack/packet"
)

// SaveSets appends all sets as "ipset save" would print them, elements in the order of their text.
func (s *Shared) SaveSets(b []byte, now packet.Time) []byte {
	s.sets.mu.RLock()
	defer s.sets.mu.RUnlock()
	// Lists stand last: their members must exist when they are read back.
	for _, lists := range []bool{false, true} {
		for _, x := range s.sets.order {
			if (len(x.kind.parts) == 0) == lists {
				b = x.save(b, now)
			}
		}
	}
	return b
}

func (s *set) save(b []byte, now packet.Time) []byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	h := &s.header
	b = fmt.Appendf(b, "create %s %s", s.name, s.kind.name)
	switch {
	case len(s.kind.parts) == 0:
		b = fmt.Appendf(b, " size %d", h.size)
	case s.kind.name == "bitmap:port":
		b = fmt.Appendf(b, " range %d-%d", h.loPort, h.hiPort)
	case s.kind.bitmap:
		b = fmt.Appendf(b, " range %s-%s", h.lo, h.hi)
	default:
		b = fmt.Appendf(b, " family %s hashsize %d maxelem %d", [...]string{"inet", "inet6"}[s.family], h.hashsize, h.maxelem)
	}
	if h.markmask != 1<<32-1 {
		b = fmt.Appendf(b, " markmask 0x%08x", h.markmask)
	}
	if h.netmask != 0 {
		b = fmt.Appendf(b, " netmask %d", h.netmask)
	}
	if h.hasTimeout {
		b = fmt.Appendf(b, " timeout %d", int64(h.timeout/time.Second))
	}
	for _, f := range []struct {
		on   bool
		name string
	}{{h.counters, " counters"}, {h.comment, " comment"}, {h.forceadd, " forceadd"}, {h.skbinfo, " skbinfo"}} {
		if f.on {
			b = append(b, f.name...)
		}
	}
	if !s.any {
		b = fmt.Appendf(b, " bucketsize %d", h.bucketsize)
		if h.initval != "" {
			b = append(append(b, " initval "...), h.initval...)
		}
	}
	b = append(b, '\n')
	var lines []string
	for _, e := range append(s.all(), s.list...) {
		if !e.dead(now) {
			lines = append(lines, string(s.saveElem(nil, e, now)))
		}
	}
	if s.list == nil {
		slices.Sort(lines)
	}
	for _, l := range lines {
		b = append(append(b, l...), '\n')
	}
	return b
}

func (s *set) saveElem(b []byte, e *setElem, now packet.Time) []byte {
	b = append(append(append(b, "add "...), s.name...), ' ')
	b = s.appendElem(b, e)
	h := &s.header
	if e.nomatch {
		b = append(b, " nomatch"...)
	}
	if h.hasTimeout {
		left := int64(0)
		if e.expires != 0 {
			left = max(int64(e.expires.Sub(now)/time.Second), 1)
		}
		b = fmt.Appendf(b, " timeout %d", left)
	}
	if h.counters {
		b = fmt.Appendf(b, " packets %d bytes %d", e.packets, e.bytes)
	}
	if e.comment != "" {
		b = fmt.Appendf(b, " comment %q", e.comment)
	}
	if e.hasMark {
		b = appendHex(append(b, " skbmark "...), uint64(e.mark))
		if e.mask != 1<<32-1 {
			b = appendHex(append(b, '/'), uint64(e.mask))
		}
	}
	if e.hasPrio {
		b = fmt.Appendf(b, " skbprio %x:%x", e.prio>>16, e.prio&0xffff)
	}
	if e.hasQ {
		b = strconv.AppendUint(append(b, " skbqueue "...), uint64(e.queue), 10)
	}
	return b
}

// appendElem prints the element itself: "10.0.0.0/8,tcp:80".
func (s *set) appendElem(b []byte, e *setElem) []byte {
	if e.member != nil {
		return append(b, e.member.name...)
	}
	ip := e.key.ip
	for i, part := range s.kind.parts {
		if i > 0 {
			b = append(b, ',')
		}
		switch part {
		case partIP:
			b = netip.AddrFrom16(ip).Unmap().AppendTo(b)
			ip = e.key.ip2
		case partNet:
			n := e.net
			if s.kind.twoNets && i == 0 {
				n = prefixOf(e.key.ip, int(e.key.bits))
			}
			if n.IsSingleIP() {
				b = n.Addr().AppendTo(b)
			} else {
				b = n.AppendTo(b)
			}
		case partMark:
			b = fmt.Appendf(b, "0x%08x", e.key.mark)
		case partPort:
			b = appendProtoPort(b, e.key.proto, e.key.port)
		case partNumber:
			b = strconv.AppendUint(b, uint64(e.key.port), 10)
		case partIface:
			b = append(b, e.key.iface...)
		}
	}
	return b
}

func appendProtoPort(b []byte, proto uint8, port uint16) []byte {
	b = append(append(b, ProtocolName(proto)...), ':')
	if proto == protoICMP || proto == protoICMPv6 {
		// The name of exactly this code stands before that of the type, which means code 0.
		for _, whole := range []bool{false, true} {
			for _, n := range icmpNamesOf(proto) {
				if uint16(n.typ)<<8|uint16(n.lo) == port && (n.lo != n.hi) == whole {
					return append(b, n.name...)
				}
			}
		}
		return fmt.Appendf(b, "%d/%d", port>>8, port&0xff)
	}
	return strconv.AppendUint(b, uint64(port), 10)
}
