package ctfmt

import (
	"encoding/json"
	"time"

	"github.com/moat-router/moat/policy/conntrack"
)

type jsonTuple struct {
	Src    string  `json:"src"`
	Dst    string  `json:"dst"`
	SPort  *uint16 `json:"sport,omitempty"`
	DPort  *uint16 `json:"dport,omitempty"`
	Type   *uint16 `json:"type,omitempty"`
	Code   *uint16 `json:"code,omitempty"`
	ID     *uint16 `json:"id,omitempty"`
	SrcKey *uint16 `json:"srckey,omitempty"`
	DstKey *uint16 `json:"dstkey,omitempty"`

	Packets *uint64 `json:"packets,omitempty"`
	Bytes   *uint64 `json:"bytes,omitempty"`
}

type jsonFlow struct {
	Event   string     `json:"event,omitempty"`
	Time    string     `json:"time,omitempty"`
	L3      string     `json:"l3"`
	L4      string     `json:"l4"`
	Proto   uint8      `json:"proto"`
	Timeout *int64     `json:"timeout,omitempty"`
	State   string     `json:"state,omitempty"`
	Orig    jsonTuple  `json:"orig"`
	Reply   *jsonTuple `json:"reply,omitempty"`
	Master  *jsonTuple `json:"master,omitempty"`
	Flags   []string   `json:"flags"`
	Mark    uint32     `json:"mark"`
	Zone    uint16     `json:"zone,omitempty"`
	Helper  string     `json:"helper,omitempty"`
	Start   string     `json:"start,omitempty"`
	Stop    string     `json:"stop,omitempty"`
	ID      uint32     `json:"id,omitempty"`
	Labels  []int      `json:"labels,omitempty"`
}

// AppendFlowJSON appends one JSON object, without a line end. Names are those of the text form; flags are the
// status's, lower case never: UNREPLIED, ASSURED, SNAT, DNAT.
func AppendFlowJSON(b []byte, f *Flow) []byte { return appendJSON(b, jsonOf(f)) }

// AppendEventJSON does the same for an event, with "event" and "time" in front.
func AppendEventJSON(b []byte, e *Event) []byte {
	var j jsonFlow
	if e.Expectation != nil {
		j = jsonOfExpectation(e.Expectation)
	} else {
		j = jsonOf(e.Flow)
	}
	j.Event, j.Time = e.Kind.String(), e.Time.Format(time.RFC3339Nano)
	return appendJSON(b, j)
}

// AppendExpectationJSON appends one JSON object for an expectation: orig is the expected tuple.
func AppendExpectationJSON(b []byte, e *Expectation) []byte {
	return appendJSON(b, jsonOfExpectation(e))
}

func appendJSON(b []byte, j jsonFlow) []byte {
	t, err := json.Marshal(j)
	if err != nil {
		panic("ctfmt: plain values are always JSON: " + err.Error())
	}
	return append(b, t...)
}

func jsonOf(f *Flow) jsonFlow {
	l3, _ := l3Name(f.Orig.V6)
	reply := jsonTupleOf(&f.Reply)
	j := jsonFlow{L3: l3, L4: L4Name(f.Orig.Proto), Proto: f.Orig.Proto, State: f.State, Orig: jsonTupleOf(&f.Orig), Reply: &reply,
		Flags: []string{}, Mark: f.Mark, Zone: f.Zone, Helper: f.Helper, ID: f.ID}
	if f.Timeout >= 0 {
		j.Timeout = &f.Timeout
	}
	if f.Acct {
		j.Orig.Packets, j.Orig.Bytes = &f.Packets[conntrack.Original], &f.Bytes[conntrack.Original]
		reply.Packets, reply.Bytes = &f.Packets[conntrack.Reply], &f.Bytes[conntrack.Reply]
	}
	for _, x := range []struct {
		on   bool
		name string
	}{
		{f.Status&conntrack.StatusSeenReply == 0, "UNREPLIED"},
		{f.Status&conntrack.StatusAssured != 0, "ASSURED"},
		{f.Status&conntrack.StatusSrcNAT != 0, "SNAT"},
		{f.Status&conntrack.StatusDstNAT != 0, "DNAT"},
	} {
		if x.on {
			j.Flags = append(j.Flags, x.name)
		}
	}
	for bit := range 128 {
		if f.Labels[bit/8]&(1<<(bit%8)) != 0 {
			j.Labels = append(j.Labels, bit)
		}
	}
	if !f.Start.IsZero() {
		j.Start = f.Start.Format(time.RFC3339Nano)
	}
	if !f.Stop.IsZero() {
		j.Stop = f.Stop.Format(time.RFC3339Nano)
	}
	return j
}

func jsonOfExpectation(e *Expectation) jsonFlow {
	l3, _ := l3Name(e.Tuple.V6)
	master := jsonTupleOf(&e.Master)
	return jsonFlow{L3: l3, L4: L4Name(e.Tuple.Proto), Proto: e.Tuple.Proto, Timeout: &e.Timeout, Orig: jsonTupleOf(&e.Tuple),
		Master: &master, Flags: []string{"EXPECTED"}, Helper: e.Helper}
}

func jsonTupleOf(t *conntrack.Tuple) jsonTuple {
	j := jsonTuple{Src: t.Src.String(), Dst: t.Dst.String()}
	s, d := t.SrcPort, t.DstPort
	switch PortsOf(t.Proto) {
	case Ports:
		j.SPort, j.DPort = &s, &d
	case ICMPPorts:
		typ, code := d>>8, d&0xff
		j.Type, j.Code, j.ID = &typ, &code, &s
	case GREKeys:
		j.SrcKey, j.DstKey = &s, &d
	}
	return j
}
