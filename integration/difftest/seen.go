package difftest

import (
	"fmt"
	"strings"

	"github.com/moat-router/moat/stack/packet"
)

// seen is a packet that left the router, in the words in which the next packets are written.
type seen struct {
	v6           bool
	dev          string // where it left
	src, dst     string
	proto        uint8
	sport, dport string // numbers or "$variables"; for ICMP queries sport is the id
	typ          uint8  // ICMP
	seq, ack     uint32
	flags        string // TCP, as in the notation
	length       int    // payload bytes of UDP, TCP and ICMP queries
	ttl          int
	id           uint64
	frag         bool // a fragment, or an atomic one
	err          bool // an ICMP error
}

// look reads a packet that left on dev; ok is false for what cannot be answered.
func look(dev string, b []byte) (s seen, ok bool) {
	p := packet.New()
	p.Load(b)
	if p.Parse() != packet.ReasonNone {
		return s, false
	}
	s = seen{v6: p.V6, dev: dev, src: p.Src().String(), dst: p.Dst().String(), proto: p.Proto,
		frag: p.FragOff != 0 || p.MF || p.FragHdr != 0}
	if p.FragOff != 0 || p.V6 != strings.Contains(s.src, ":") || p.V6 != strings.Contains(s.dst, ":") {
		return s, false
	}
	get := func(name string) uint64 { v, _ := packet.Get(b, name); return v }
	s.ttl, s.id = int(get("ip.ttl")+get("ip6.hlim")), get("ip.id")
	l4 := b[min(p.L4, len(b)):]
	switch {
	case s.proto == 17 && len(l4) >= 8:
		s.sport, s.dport, s.length = number(get("udp.sport")), number(get("udp.dport")), len(l4)-8
	case s.proto == 6 && len(l4) >= 20:
		s.sport, s.dport = number(get("tcp.sport")), number(get("tcp.dport"))
		s.seq, s.ack = uint32(get("tcp.seq")), uint32(get("tcp.ack"))
		s.length = max(0, len(l4)-int(l4[12]>>4)*4)
		for i, c := range "FSRPAUEC" {
			if l4[13]>>i&1 != 0 {
				s.flags += string(c)
			}
		}
	case s.proto == 132 && len(l4) >= 12:
		s.sport, s.dport = number(uint64(l4[0])<<8|uint64(l4[1])), number(uint64(l4[2])<<8|uint64(l4[3]))
	case (s.proto == 1 || s.proto == 58) && len(l4) >= 8:
		s.typ = l4[0]
		s.err = s.proto == 58 && s.typ < 128 || s.proto == 1 && strings.ContainsRune("\x03\x04\x05\x0b\x0c", rune(s.typ))
		s.sport, s.length = number(get("icmp.id")), len(l4)-8
	}
	return s, true
}

func number(v uint64) string { return fmt.Sprint(v) }

// ip is the IP layer of a packet between these two ends.
func ip(v6 bool, src, dst string, extra ...string) string {
	kind := "ip4"
	if v6 {
		kind = "ip6"
	}
	return strings.TrimSpace(kind + " " + src + ">" + dst + " " + strings.Join(extra, " "))
}

// quote is the packet as a router or host behind dev would quote it in an ICMP error.
func (s *seen) quote(dataLen int) string {
	hops := fmt.Sprintf("ttl=%d", max(1, s.ttl-1))
	if s.v6 {
		hops = fmt.Sprintf("hlim=%d", max(1, s.ttl-1))
	} else {
		hops += fmt.Sprintf(" id=%d", s.id)
	}
	if s.sport == "" {
		return "" // the transport header is cut
	}
	q := ip(s.v6, s.src, s.dst, hops)
	switch s.proto {
	case 17:
		return fmt.Sprintf("%s / udp %s>%s len=%d", q, s.sport, s.dport, min(s.length, dataLen))
	case 6:
		flags := s.flags
		if flags == "" {
			flags = "-"
		}
		return fmt.Sprintf("%s / tcp %s>%s %s seq=%d ack=%d len=%d", q, s.sport, s.dport, flags, s.seq, s.ack, min(s.length, dataLen))
	case 1, 58:
		if !s.err {
			return fmt.Sprintf("%s / %s %d/0 id=%s seq=1 len=%d", q, icmp(s.v6), s.typ, s.sport, min(s.length, dataLen))
		}
	}
	return ""
}

func icmp(v6 bool) string {
	if v6 {
		return "icmp6"
	}
	return "icmp"
}
