package ctfmt

import (
	"fmt"
	"strings"
	"time"

	"github.com/moat-router/moat/policy/conntrack"
)

// The frame of an XML listing: the header stands before the first flow, and only if there is one.
const (
	XMLHeader = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<conntrack>\n"
	XMLFooter = "</conntrack>\n"
)

// AppendFlowXML appends the element of "conntrack -L -o xml", without a line end.
func AppendFlowXML(b []byte, f *Flow, o Options) []byte {
	b = append(b, "<flow>"...)
	return appendXML(b, f, o, true)
}

// AppendEventXML appends the element of "conntrack -E -o xml". Expectations are written as a flow with the tuple alone,
// of type new or destroy.
func AppendEventXML(b []byte, e *Event, o Options) []byte {
	b = fmt.Appendf(b, "<flow type=%q>", strings.ToLower(e.Kind.String()))
	if e.Expectation != nil {
		b = appendTupleXML(b, "expected", &e.Expectation.Tuple, nil, 0)
		return append(b, "</flow>"...)
	}
	b = appendXML(b, e.Flow, o, false)
	if o.Timestamp {
		t := e.Time
		when := fmt.Sprintf("<when><hour>%d</hour><min>%02d</min><sec>%02d</sec><wday>%d</wday><day>%d</day><month>%d</month><year>%d</year></when></flow>",
			t.Hour(), t.Minute(), t.Second(), int(t.Weekday())+1, t.Day(), int(t.Month()), t.Year())
		b = append(b[:len(b)-len("</flow>")], when...)
	}
	return b
}

func appendXML(b []byte, f *Flow, o Options, dump bool) []byte {
	b = appendTupleXML(b, "original", &f.Orig, f, conntrack.Original)
	b = appendTupleXML(b, "reply", &f.Reply, f, conntrack.Reply)
	b = append(b, `<meta direction="independent">`...)
	if f.State != "" {
		b = fmt.Appendf(b, "<state>%s</state>", f.State)
	}
	if f.Timeout >= 0 {
		b = fmt.Appendf(b, "<timeout>%d</timeout>", f.Timeout)
	}
	if dump || f.Mark != 0 {
		b = fmt.Appendf(b, "<mark>%d</mark>", f.Mark)
	}
	if f.Zone != 0 && f.ZoneDir == conntrack.ZoneBoth {
		b = fmt.Appendf(b, "<zone>%d</zone>", f.Zone)
	}
	if dump {
		b = fmt.Appendf(b, "<use>%d</use>", f.Use)
	}
	b = fmt.Appendf(b, "<id>%d</id>", f.ID)
	if f.Status&conntrack.StatusAssured != 0 {
		b = append(b, "<assured/>"...)
	}
	if f.Status&conntrack.StatusSeenReply == 0 {
		b = append(b, "<unreplied/>"...)
	}
	if d, ok := f.Delta(); ok {
		b = fmt.Appendf(b, "<deltatime>%d</deltatime>", max(d, 0))
	}
	if o.KTimestamp && !f.Start.IsZero() {
		b = append(appendTimeXML(append(b, "<timestamp>"...), "start", f.Start), appendTimeXML(nil, "stop", f.Stop)...)
		b = append(b, "</timestamp>"...)
	}
	b = append(b, "</meta>"...)
	if f.Helper != "" {
		b = fmt.Appendf(b, "<helper>%s</helper>", f.Helper)
	}
	return append(b, "</flow>"...)
}

func appendTimeXML(b []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	return fmt.Appendf(b, "<%s>%d</%s>", name, t.UnixNano(), name)
}

// appendTupleXML writes one direction; f is nil where there are no counters. ICMP's numbers are left out, as
// conntrack-tools does.
func appendTupleXML(b []byte, dir string, t *conntrack.Tuple, f *Flow, d conntrack.Dir) []byte {
	name, num := l3Name(t.V6)
	b = fmt.Appendf(b, `<meta direction="%s"><layer3 protonum="%d" protoname="%s"><src>%s</src><dst>%s</dst></layer3>`,
		dir, num, name, appendAddr(nil, t.Src, false), appendAddr(nil, t.Dst, false))
	b = fmt.Appendf(b, `<layer4 protonum="%d" protoname="%s">`, t.Proto, L4Name(t.Proto))
	switch PortsOf(t.Proto) {
	case Ports, ZeroPorts:
		b = fmt.Appendf(b, "<sport>%d</sport><dport>%d</dport>", t.SrcPort, t.DstPort)
	case GREKeys:
		b = fmt.Appendf(b, "<srckey>%#x</srckey><dstkey>%#x</dstkey>", t.SrcPort, t.DstPort)
	}
	b = append(b, "</layer4>"...)
	if f != nil && f.Zone != 0 && (f.ZoneDir == conntrack.ZoneOrig && d == conntrack.Original || f.ZoneDir == conntrack.ZoneReply && d == conntrack.Reply) {
		b = fmt.Appendf(b, "<zone>%d</zone>", f.Zone)
	}
	if f != nil && f.Acct {
		b = fmt.Appendf(b, "<counters><packets>%d</packets><bytes>%d</bytes></counters>", f.Packets[d], f.Bytes[d])
	}
	return append(b, "</meta>"...)
}
