package ctfmt

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// AppendFlow appends the line of "conntrack -L", without a line end.
func AppendFlow(b []byte, f *Flow, o Options) []byte {
	b = appendFlow(b, f, o)
	if m := f.Mark; m == 0 {
		b = append(b, "mark=0 "...)
	} else {
		b = appendNumber(b, "mark=", uint64(m))
	}
	b = appendTail(b, f, o)
	b = appendNumber(b, "use=", uint64(f.Use))
	return appendEnd(b, f, o)
}

// AppendEvent appends the line of "conntrack -E", without a line end.
func AppendEvent(b []byte, e *Event, o Options) []byte {
	if o.Timestamp {
		b = fmt.Appendf(b, "[%d.%06d]\t", e.Time.Unix(), e.Time.Nanosecond()/1000)
	}
	b = fmt.Appendf(b, "%9s ", "["+e.Kind.String()+"]")
	if e.Expectation != nil {
		return AppendExpectation(b, e.Expectation, o)
	}
	b = appendFlow(b, e.Flow, o)
	if e.Flow.Mark != 0 {
		b = appendNumber(b, "mark=", uint64(e.Flow.Mark))
	}
	return appendEnd(appendTail(b, e.Flow, o), e.Flow, o)
}

// appendFlow is everything up to [ASSURED], with a blank at the end.
func appendFlow(b []byte, f *Flow, o Options) []byte {
	if o.Extended {
		name, num := l3Name(f.Orig.V6)
		b = fmt.Appendf(b, "%-8s %d ", name, num)
	}
	b = fmt.Appendf(b, "%-8s %d ", L4Name(f.Orig.Proto), f.Orig.Proto)
	if f.Timeout >= 0 {
		b = append(strconv.AppendInt(b, f.Timeout, 10), ' ')
	}
	if f.State != "" {
		b = append(append(b, f.State...), ' ')
	}
	b = appendTuple(b, &f.Orig, false)
	if f.Zone != 0 && f.ZoneDir == conntrack.ZoneOrig {
		b = appendNumber(b, "zone-orig=", uint64(f.Zone))
	}
	b = appendCounters(b, f, conntrack.Original)
	if f.Status&conntrack.StatusSeenReply == 0 {
		b = append(b, "[UNREPLIED] "...)
	}
	b = appendTuple(b, &f.Reply, false)
	if f.Zone != 0 && f.ZoneDir == conntrack.ZoneReply {
		b = appendNumber(b, "zone-reply=", uint64(f.Zone))
	}
	b = appendCounters(b, f, conntrack.Reply)
	if f.Status&conntrack.StatusAssured != 0 {
		b = append(b, "[ASSURED] "...)
	}
	return b
}

func appendTail(b []byte, f *Flow, o Options) []byte {
	if f.Zone != 0 && f.ZoneDir == conntrack.ZoneBoth {
		b = appendNumber(b, "zone=", uint64(f.Zone))
	}
	if d, ok := f.Delta(); ok {
		b = appendNumber(b, "delta-time=", uint64(max(d, 0)))
	}
	if o.KTimestamp && !f.Start.IsZero() {
		b = append(f.Start.AppendFormat(append(b, "[start="...), time.ANSIC), "] "...)
		if !f.Stop.IsZero() {
			b = append(f.Stop.AppendFormat(append(b, "[stop="...), time.ANSIC), "] "...)
		}
	}
	if f.Helper != "" {
		b = append(append(append(b, "helper="...), f.Helper...), ' ')
	}
	return b
}

func appendEnd(b []byte, f *Flow, o Options) []byte {
	if o.ID {
		b = appendNumber(b, "id=", uint64(f.ID))
	}
	if o.Labels {
		b = appendLabels(b, &f.Labels)
	}
	return trimBlank(b)
}

func appendLabels(b []byte, labels *[16]byte) []byte {
	sep := "labels="
	for bit := range 128 {
		if labels[bit/8]&(1<<(bit%8)) != 0 {
			b = strconv.AppendInt(append(b, sep...), int64(bit), 10)
			sep = ","
		}
	}
	if sep == "," {
		b = append(b, ' ')
	}
	return b
}

// appendTuple writes addresses as inet_ntop does, or with full as the kernel's %pI6 does, all digits.
func appendTuple(b []byte, t *conntrack.Tuple, full bool) []byte {
	b = append(appendAddr(append(b, "src="...), t.Src, full), ' ')
	b = append(appendAddr(append(b, "dst="...), t.Dst, full), ' ')
	if full && PortsOf(t.Proto) == ZeroPorts {
		return b
	}
	return appendPorts(b, t)
}

func appendPorts(b []byte, t *conntrack.Tuple) []byte {
	switch PortsOf(t.Proto) {
	case Ports, ZeroPorts:
		return fmt.Appendf(b, "sport=%d dport=%d ", t.SrcPort, t.DstPort)
	case ICMPPorts:
		return fmt.Appendf(b, "type=%d code=%d id=%d ", t.DstPort>>8, t.DstPort&0xff, t.SrcPort)
	case GREKeys:
		return fmt.Appendf(b, "srckey=%#x dstkey=%#x ", t.SrcPort, t.DstPort)
	}
	return b
}

func appendAddr(b []byte, a packet.Addr, full bool) []byte {
	if full && !a.Is4() {
		return append(b, netip.AddrFrom16(a).StringExpanded()...)
	}
	if a.IsZero() {
		return append(b, "::"...)
	}
	return a.IP().AppendTo(b)
}

func appendCounters(b []byte, f *Flow, d conntrack.Dir) []byte {
	if !f.Acct {
		return b
	}
	return fmt.Appendf(b, "packets=%d bytes=%d ", f.Packets[d], f.Bytes[d])
}

func appendNumber(b []byte, name string, n uint64) []byte {
	return append(strconv.AppendUint(append(b, name...), n, 10), ' ')
}

func trimBlank(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == ' ' {
		return b[:n-1]
	}
	return b
}

// AppendExpectation appends the line of "conntrack -L expect", without a line end.
func AppendExpectation(b []byte, e *Expectation, o Options) []byte {
	if o.Extended {
		name, num := l3Name(e.Tuple.V6)
		b = fmt.Appendf(b, "%-8s %d ", name, num)
	}
	b = fmt.Appendf(b, "%d proto=%d ", max(e.Timeout, 0), e.Tuple.Proto)
	b = appendTuple(b, &e.Tuple, false)
	b = appendMask(b, e)
	b = append(appendAddr(append(b, "master-src="...), e.Master.Src, false), ' ')
	b = append(appendAddr(append(b, "master-dst="...), e.Master.Dst, false), ' ')
	b = appendPorts(b, &e.Master)
	switch {
	case e.Permanent && e.Inactive:
		b = append(b, "PERMANENT,INACTIVE "...)
	case e.Permanent:
		b = append(b, "PERMANENT "...)
	case e.Inactive:
		b = append(b, "INACTIVE "...)
	}
	b = appendNumber(b, "class=", uint64(e.Class))
	if e.Helper != "" {
		b = append(append(append(b, "helper="...), e.Helper...), ' ')
	}
	return trimBlank(b)
}

func appendMask(b []byte, e *Expectation) []byte {
	m := e.Mask
	m.Proto = e.Tuple.Proto
	for i, a := range []packet.Addr{m.Src, m.Dst} {
		b = append(b, []string{"mask-src=", "mask-dst="}[i]...)
		if e.Tuple.V6 {
			b = appendAddr(b, a, false)
		} else {
			b = packet.Addr4(a[12:]).IP().AppendTo(b)
		}
		b = append(b, ' ')
	}
	return appendPorts(b, &m)
}

// AppendProc appends a line of /proc/net/nf_conntrack, without a line end.
func AppendProc(b []byte, f *Flow) []byte {
	name, num := l3Name(f.Orig.V6)
	return AppendIPConntrack(fmt.Appendf(b, "%-8s %d ", name, num), f)
}

// AppendIPConntrack appends a line of the older /proc/net/ip_conntrack, which lacks the network protocol.
func AppendIPConntrack(b []byte, f *Flow) []byte {
	b = fmt.Appendf(b, "%-8s %d %d ", conntrack.ProtoName(f.Orig.Proto), f.Orig.Proto, max(f.Timeout, 0))
	if f.State != "" {
		b = append(append(b, f.State...), ' ')
	}
	b = appendTuple(b, &f.Orig, true)
	if f.ZoneDir == conntrack.ZoneOrig {
		b = appendNumber(b, "zone-orig=", uint64(f.Zone))
	}
	b = appendCounters(b, f, conntrack.Original)
	if f.Status&conntrack.StatusSeenReply == 0 {
		b = append(b, "[UNREPLIED] "...)
	}
	b = appendTuple(b, &f.Reply, true)
	if f.ZoneDir == conntrack.ZoneReply {
		b = appendNumber(b, "zone-reply=", uint64(f.Zone))
	}
	b = appendCounters(b, f, conntrack.Reply)
	if f.Status&conntrack.StatusAssured != 0 {
		b = append(b, "[ASSURED] "...)
	}
	b = appendNumber(b, "mark=", uint64(f.Mark))
	if f.ZoneDir == conntrack.ZoneBoth {
		b = appendNumber(b, "zone=", uint64(f.Zone))
	}
	if d, ok := f.Delta(); ok {
		b = appendNumber(b, "delta-time=", uint64(max(d, 0)))
	}
	return trimBlank(appendNumber(b, "use=", uint64(f.Use+1)))
}
