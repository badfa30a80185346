package ctfmt

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/moat-router/moat/stack/packet"
)

// Endpoint is an address with a port, or with the id of ICMP queries.
type Endpoint struct {
	Addr packet.Addr
	Port uint16
}

func (e Endpoint) String() string { return netip.AddrPortFrom(e.Addr.IP(), e.Port).String() }

// Binding is a NAT binding for people: what rules with --mapping and --filtering have promised to an internal endpoint.
type Binding struct {
	Proto       uint8
	V6          bool
	Zone        uint16
	Timeout     int64 // seconds, if no connection holds it and nothing leaves through it
	Internal    Endpoint
	External    Endpoint
	Destination string // that the mapping is for; "" where it depends on none
	Mapping     string // RFC 4787's words
	Filtering   string
	Connections int
	Callers     int // external endpoints that may call, where filtering asks for them
}

// AppendBinding appends one line, in the manner of conntrack -L:
//
//	udp      17 287 internal=192.168.1.10:4000 external=203.0.113.1:4000 mapping=endpoint-independent filtering=address-dependent callers=1 connections=1
func AppendBinding(b []byte, x *Binding, o Options) []byte {
	if o.Extended {
		name, num := l3Name(x.V6)
		b = fmt.Appendf(b, "%-8s %d ", name, num)
	}
	b = fmt.Appendf(b, "%-8s %d %d internal=%s external=%s ", L4Name(x.Proto), x.Proto, x.Timeout, x.Internal, x.External)
	if x.Destination != "" {
		b = fmt.Appendf(b, "destination=%s ", x.Destination)
	}
	b = fmt.Appendf(b, "mapping=%s filtering=%s callers=%d connections=%d", x.Mapping, x.Filtering, x.Callers, x.Connections)
	if x.Zone != 0 {
		b = fmt.Appendf(b, " zone=%d", x.Zone)
	}
	return b
}

// AppendBindingJSON appends one JSON object with the names of the text.
func AppendBindingJSON(b []byte, x *Binding) []byte {
	l3, _ := l3Name(x.V6)
	t, err := json.Marshal(struct {
		L3          string `json:"l3"`
		L4          string `json:"l4"`
		Proto       uint8  `json:"proto"`
		Timeout     int64  `json:"timeout"`
		Internal    string `json:"internal"`
		External    string `json:"external"`
		Destination string `json:"destination,omitempty"`
		Mapping     string `json:"mapping"`
		Filtering   string `json:"filtering"`
		Callers     int    `json:"callers"`
		Connections int    `json:"connections"`
		Zone        uint16 `json:"zone,omitempty"`
	}{l3, L4Name(x.Proto), x.Proto, x.Timeout, x.Internal.String(), x.External.String(), x.Destination, x.Mapping, x.Filtering, x.Callers, x.Connections, x.Zone})
	if err != nil {
		panic("ctfmt: plain values are always JSON: " + err.Error())
	}
	return append(b, t...)
}
