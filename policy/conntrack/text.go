package conntrack

import (
	"encoding/hex"
	"strconv"
	"time"

	"github.com/moat-router/moat/stack/packet"
)

// StateName is the name of the TCP or SCTP state; "" for other protocols.
func (c *Conn) StateName() string {
	switch c.tuple[Original].Proto {
	case packet.ProtoTCP:
		return c.TCPState().String()
	case packet.ProtoSCTP:
		mu := &c.lock
		mu.Lock()
		defer mu.Unlock()
		return c.sctp().state.String()
	}
	return ""
}

// ProtoName is how conntrack names a protocol that it has a tracker for; "unknown" for all others (since 6.17 also DCCP).
func ProtoName(proto uint8) string {
	switch proto {
	case packet.ProtoICMP:
		return "icmp"
	case packet.ProtoTCP:
		return "tcp"
	case packet.ProtoUDP:
		return "udp"
	case packet.ProtoGRE:
		return "gre"
	case packet.ProtoSCTP:
		return "sctp"
	case packet.ProtoUDPLite:
		return "udplite"
	case packet.ProtoICMPv6:
		return "icmpv6"
	}
	return "unknown"
}

// AppendProc appends the connection's line of /proc/net/nf_conntrack, without a newline (ct_seq_show).
func (c *Conn) AppendProc(b []byte, now packet.Time) []byte {
	o, r := &c.tuple[Original], &c.tuple[Reply]
	if o.V6 {
		b = append(b, "ipv6     10 "...)
	} else {
		b = append(b, "ipv4     2 "...)
	}
	name := ProtoName(o.Proto)
	b = append(b, name...)
	for n := len(name); n < 8; n++ {
		b = append(b, ' ')
	}
	b = append(b, ' ')
	b = number(b, int64(o.Proto))
	b = number(append(b, ' '), seconds(c.Expires().Sub(now)))
	b = append(b, ' ')
	if o.Proto == packet.ProtoGRE {
		g := c.gre()
		b = number(append(b, "timeout="...), int64(g.timeout))
		b = number(append(b, ", stream_timeout="...), int64(g.stream))
		b = append(b, ' ')
	} else if s := c.StateName(); s != "" {
		b = append(append(b, s...), ' ')
	}
	status := c.Status()
	b = o.AppendProc(b)
	b = c.appendZone(b, Original)
	b = c.appendAcct(b, Original)
	if status&StatusSeenReply == 0 {
		b = append(b, "[UNREPLIED] "...)
	}
	b = r.AppendProc(b)
	b = c.appendZone(b, Reply)
	b = c.appendAcct(b, Reply)
	if status&StatusAssured != 0 {
		b = append(b, "[ASSURED] "...)
	}
	b = number(append(b, "mark="...), int64(c.Mark()))
	if c.zoneDir() == ZoneBoth {
		b = number(append(b, " zone="...), int64(o.Zone))
	}
	if e := c.extension(); e != nil && e.hasStamp {
		b = number(append(b, " delta-time="...), seconds(now.Sub(packet.Time(e.start.Load()))))
	}
	return number(append(b, " use="...), int64(max(c.refs.Load(), 1)))
}

// zoneDir is the direction in which the connection is in its zone.
func (c *Conn) zoneDir() ZoneDir {
	switch o, r := c.tuple[Original].Zone, c.tuple[Reply].Zone; {
	case o == r && o == 0:
		if e := c.extension(); e != nil {
			return e.zoneDir
		}
	case o != r && r == 0:
		return ZoneOrig
	case o != r:
		return ZoneReply
	}
	return ZoneBoth
}

// appendZone appends the zone of one direction, if it is that direction's alone.
func (c *Conn) appendZone(b []byte, d Dir) []byte {
	word := "zone-orig="
	if d == Reply {
		word = "zone-reply="
	}
	if c.zoneDir() != [...]ZoneDir{Original: ZoneOrig, Reply: ZoneReply}[d] {
		return b
	}
	return append(number(append(b, word...), int64(c.tuple[d].Zone)), ' ')
}

func (c *Conn) appendAcct(b []byte, d Dir) []byte {
	e := c.extension()
	if e == nil || !e.hasAcct {
		return b
	}
	b = number(append(b, "packets="...), int64(e.acct[d].packets.Load()))
	b = number(append(b, " bytes="...), int64(e.acct[d].bytes.Load()))
	return append(b, ' ')
}

// AppendProc appends "src=.. dst=.. " and the protocol's part, each word with a space behind it. IPv6 addresses stand
// there in full.
func (k *Tuple) AppendProc(b []byte) []byte {
	b = k.appendAddr(append(b, "src="...), &k.Src)
	b = k.appendAddr(append(b, " dst="...), &k.Dst)
	b = append(b, ' ')
	return k.appendPorts(b)
}

// AppendText is AppendProc with IPv6 addresses in their short form, as conntrack(8) prints them.
func (k *Tuple) AppendText(b []byte) []byte {
	b = k.Src.IP().AppendTo(append(b, "src="...))
	b = k.Dst.IP().AppendTo(append(b, " dst="...))
	b = append(b, ' ')
	return k.appendPorts(b)
}

func (k *Tuple) appendPorts(b []byte) []byte {
	switch k.Proto {
	case packet.ProtoICMP, packet.ProtoICMPv6:
		b = number(append(b, "type="...), int64(k.DstPort>>8))
		b = number(append(b, " code="...), int64(k.DstPort&0xff))
		b = number(append(b, " id="...), int64(k.SrcPort))
	case packet.ProtoTCP, packet.ProtoUDP, packet.ProtoUDPLite, packet.ProtoSCTP:
		b = number(append(b, "sport="...), int64(k.SrcPort))
		b = number(append(b, " dport="...), int64(k.DstPort))
	case packet.ProtoGRE:
		b = strconv.AppendUint(append(b, "srckey=0x"...), uint64(k.SrcPort), 16)
		b = strconv.AppendUint(append(b, " dstkey=0x"...), uint64(k.DstPort), 16)
	default:
		return b
	}
	return append(b, ' ')
}

func (k *Tuple) appendAddr(b []byte, a *packet.Addr) []byte {
	if !k.V6 {
		return a.IP().AppendTo(b)
	}
	for i := 0; i < 16; i += 2 {
		if i > 0 {
			b = append(b, ':')
		}
		b = hex.AppendEncode(b, a[i:i+2])
	}
	return b
}

// AppendProc appends the expectation's line of /proc/net/nf_conntrack_expect, without a newline (exp_seq_show).
func (e *Expect) AppendProc(b []byte, now packet.Time) []byte {
	b = number(b, seconds(e.deadline.Sub(now)))
	l3 := int64(2)
	if e.Tuple.V6 {
		l3 = 10
	}
	b = number(append(b, " l3proto = "...), l3)
	b = number(append(b, " proto="...), int64(e.Tuple.Proto))
	b = e.Tuple.AppendProc(append(b, ' '))
	sep := ""
	for i, name := range [...]string{"PERMANENT", "INACTIVE", "USERSPACE"} {
		if e.Flags>>i&1 != 0 {
			b = append(append(b, sep...), name...)
			sep = ","
		}
	}
	if i := e.Info(now); i.Helper != "" {
		if sep != "" {
			b = append(b, ' ')
		}
		b = append(b, i.Helper...)
		if i.Class != "" {
			b = append(append(b, '/'), i.Class...)
		}
	}
	return b
}

// statusNames are the bits of Status in their order, as ctnetlink's listeners name them.
var statusNames = [...]string{
	"EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED", "SRC_NAT", "DST_NAT", "SEQ_ADJUST", "SRC_NAT_DONE", "DST_NAT_DONE",
	"DYING", "FIXED_TIMEOUT", "TEMPLATE", "UNTRACKED", "HELPER",
}

// Names are the names of the bits that are set, in bit order.
func (s Status) Names() (names []string) {
	for i, n := range statusNames {
		if s>>i&1 != 0 {
			names = append(names, n)
		}
	}
	return names
}

// seconds is what is left, rounded down; a live entry never shows less than 0.
func seconds(d time.Duration) int64 { return int64(max(d, 0) / time.Second) }

func number(b []byte, v int64) []byte { return strconv.AppendInt(b, v, 10) }

// ProcLines are the lines of /proc/net/nf_conntrack, oldest connection first. Entries whose time has run out, and those
// that only answer replies after a clash, are not listed.
func (t *Table) ProcLines(now packet.Time) (lines []string) {
	all, done := t.Sorted()
	defer done()
	for _, c := range all {
		if c.Expires() > now && c.status.Load()&flagNoForward == 0 {
			lines = append(lines, string(c.AppendProc(nil, now)))
		}
	}
	return lines
}

// ExpectLines are the lines of /proc/net/nf_conntrack_expect, oldest first.
func (t *Table) ExpectLines(now packet.Time) (lines []string) {
	t.RangeExpects(func(e *Expect) bool {
		if e.deadline > now {
			lines = append(lines, string(e.AppendProc(nil, now)))
		}
		return true
	})
	return lines
}
