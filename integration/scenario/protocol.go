package scenario

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// Request is one line to an implementation. Which fields count depends on Op; unknown keys are ignored.
type Request struct {
	Op string `json:"op"` // scenario, inject, sleep, rules, sysctl, ct_flush, host, listen, counters, end

	Name       string      `json:"name,omitempty"` // scenario
	Interfaces []Interface `json:"interfaces,omitempty"`
	Routes     []string    `json:"routes,omitempty"`
	Sysctls    Sysctls     `json:"sysctls,omitempty"`
	Rules      *Rules      `json:"rules,omitempty"`
	Setup      []string    `json:"setup,omitempty"`
	Events     bool        `json:"events,omitempty"`
	Log        bool        `json:"log,omitempty"`

	If      string   `json:"if,omitempty"`  // inject
	Hex     []string `json:"hex,omitempty"` // inject
	Offload          // inject
	MS      int64    `json:"ms,omitempty"` // sleep, milliseconds
	V4      string   `json:"v4,omitempty"` // rules
	V6      string   `json:"v6,omitempty"`
	NoFlush bool     `json:"noflush,omitempty"`
	Set     Sysctls  `json:"set,omitempty"`   // sysctl
	Cmd     string   `json:"cmd,omitempty"`   // host
	Proto   string   `json:"proto,omitempty"` // listen
	Addr    string   `json:"addr,omitempty"`
	Port    int      `json:"port,omitempty"`
}

// Answer is one line back. The zero lists of a standard answer are [] on the wire, never missing.
type Answer struct {
	Out    []OutPacket
	CT     []string // lines of /proc/net/nf_conntrack, in any order
	Expect []string // lines of /proc/net/nf_conntrack_expect
	Events []Event
	Log    []LogLine
	Warn   []string

	// Counters, per family ("v4", "v6") and table, answer only the op "counters".
	Counters map[string]map[string][]string
}

// OutPacket is a packet that left. Order matters per interface only.
type OutPacket struct {
	If  string `json:"if"`
	Hex string `json:"hex"`
	GSO int    `json:"gso,omitempty"` // of a super-segment: bytes of payload in each segment
}

// LogLine is what LOG, TRACE or conntrack's own logging wrote: the kernel's text and its level, 0 to 7.
type LogLine struct {
	Level int    `json:"level"`
	Msg   string `json:"msg"`
}

// Event is a notification as ctnetlink sends it. Expectations carry Ev alone.
type Event struct {
	Ev      string      `json:"ev"` // NEW, UPDATE, DESTROY, EXP_NEW, EXP_DESTROY
	Orig    *EventTuple `json:"orig,omitempty"`
	Reply   *EventTuple `json:"reply,omitempty"`
	Status  []string    `json:"status,omitempty"` // names of status bits, in bit order
	Mark    uint32      `json:"mark,omitempty"`
	Timeout uint32      `json:"timeout,omitempty"` // seconds; not compared
	TCP     string      `json:"tcp,omitempty"`
}

// EventTuple is a tuple in an Event. Ports and ICMP fields are nil where the protocol has none.
type EventTuple struct {
	Src   string  `json:"src"`
	Dst   string  `json:"dst"`
	Proto uint8   `json:"proto"`
	SPort *uint16 `json:"sport,omitempty"`
	DPort *uint16 `json:"dport,omitempty"`
	ID    *uint16 `json:"id,omitempty"`
	Type  *uint8  `json:"type,omitempty"`
	Code  *uint8  `json:"code,omitempty"`
}

// EventTupleOf gives the attributes that ctnetlink sends for a tuple (nf_ct_port_tuple_to_nlattr,
// icmp_tuple_to_nlattr): ports for the protocols that have them (GRE's call keys travel as ports), id, type and code
// for ICMP, nothing for the rest.
func EventTupleOf(t *conntrack.Tuple) *EventTuple {
	e := &EventTuple{Src: t.Src.String(), Dst: t.Dst.String(), Proto: t.Proto}
	if t.V6 { // also if it looks like an IPv4 address
		e.Src, e.Dst = netip.AddrFrom16(t.Src).String(), netip.AddrFrom16(t.Dst).String()
	}
	s, d := t.SrcPort, t.DstPort
	switch t.Proto {
	case packet.ProtoTCP, packet.ProtoUDP, packet.ProtoUDPLite, packet.ProtoSCTP, packet.ProtoGRE:
		e.SPort, e.DPort = &s, &d
	case packet.ProtoICMP, packet.ProtoICMPv6:
		typ, code := uint8(d>>8), uint8(d)
		e.ID, e.Type, e.Code = &s, &typ, &code
	}
	return e
}

// statusNames are those of enum ip_conntrack_status, in bit order.
var statusNames = [...]string{"EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED", "SRC_NAT", "DST_NAT", "SEQ_ADJUST", "SRC_NAT_DONE",
	"DST_NAT_DONE", "DYING", "FIXED_TIMEOUT", "TEMPLATE", "UNTRACKED", "HELPER"}

// eventOf gives the wire form of a notification.
func eventOf(e *conntrack.Event) Event {
	w := Event{Ev: e.Type.String()}
	if e.Type == conntrack.EventExpNew || e.Type == conntrack.EventExpDestroy {
		return w
	}
	w.Orig, w.Reply, w.Mark, w.Timeout = EventTupleOf(&e.Orig), EventTupleOf(&e.Reply), e.Mark, uint32(e.Timeout/time.Second)
	for bit, name := range statusNames {
		if e.Status&(1<<bit) != 0 {
			w.Status = append(w.Status, name)
		}
	}
	if e.Orig.Proto == packet.ProtoTCP {
		w.TCP = e.State
	}
	return w
}

// bytesOf is the only place where hexadecimal text becomes packets.
func bytesOf(list []string) ([][]byte, error) {
	out := make([][]byte, len(list))
	for i, h := range list {
		b, err := decodeHex(h)
		if err != nil {
			return nil, err
		}
		if len(b) > packet.MaxData {
			return nil, errTooLong
		}
		out[i] = b
	}
	return out, nil
}

// standard is the wire form of an answer to everything but scenario, counters and end.
type standard struct {
	Out    []OutPacket `json:"out"`
	CT     []string    `json:"ct"`
	Expect []string    `json:"expect"`
	Events []Event     `json:"events"`
	Log    []LogLine   `json:"log"`
	Warn   []string    `json:"warn,omitempty"`
}

// wire is every form of an answer at once, for reading.
type wire struct {
	standard
	OK    bool                `json:"ok"`
	Error *string             `json:"error"`
	V4    map[string][]string `json:"v4"`
	V6    map[string][]string `json:"v6"`
	Sets  map[string][]string `json:"sets"`
}

// encode gives the line for an answer to op.
func (a *Answer) encode(op string) ([]byte, error) {
	switch op {
	case "scenario", "end":
		return json.Marshal(struct {
			OK   bool     `json:"ok"`
			Warn []string `json:"warn,omitempty"`
		}{true, a.Warn})
	case "counters":
		m := a.Counters
		if m == nil {
			m = map[string]map[string][]string{}
		}
		return json.Marshal(m)
	}
	return json.Marshal(standard{list(a.Out), list(a.CT), list(a.Expect), list(a.Events), list(a.Log), a.Warn})
}

// list makes nil an empty list, which is [] and not null in JSON.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// decode reads an answer line; a Refused error is the implementation's own.
func decode(op string, line []byte) (*Answer, error) {
	var w wire
	if err := json.Unmarshal(line, &w); err != nil {
		return nil, err
	}
	if w.Error != nil {
		return nil, &Refused{Op: op, Text: *w.Error}
	}
	a := &Answer{Out: w.Out, CT: w.CT, Expect: w.Expect, Events: w.Events, Log: w.Log, Warn: w.Warn}
	if op == "counters" {
		a.Counters = map[string]map[string][]string{}
		if w.V4 != nil {
			a.Counters["v4"] = w.V4
		}
		if w.V6 != nil {
			a.Counters["v6"] = w.V6
		}
		if w.Sets != nil {
			a.Counters[SetsFamily] = w.Sets
		}
	}
	return a, nil
}
