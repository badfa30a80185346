package helper

import (
	"math/rand/v2"
	"time"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/policy/nat"
	"github.com/moat-router/moat/stack/packet"
)

// call is one packet of a connection that has a helper.
type call struct {
	t   *conntrack.Table
	now packet.Time
	p   *packet.Packet
	c   *conntrack.Conn
	ref conntrack.Ref
	rng *rand.Rand
}

// complaint is why a helper drops a packet, in the kernel's words behind "nf_ct_NAME: dropping packet: "; "" lets it
// pass.
type complaint = string

// What every helper may complain about.
const (
	cannotAdd     complaint = "cannot add expectation"
	cannotMangle  complaint = "cannot mangle packet"
	allPortsInUse complaint = "all ports in use"
)

// The helpers, by their place in the table.
const (
	iFTP = iota
	iTFTP
	iIRC
	iAmanda
)

// helpers are all there are. Linux registers IRC for IPv4 only.
var helpers = [...]conntrack.Helper{
	iFTP:    {Name: "ftp", Proto: packet.ProtoTCP, Port: 21, Classes: class(1, 5*time.Minute), State: func() any { return new(lines) }},
	iTFTP:   {Name: "tftp", Proto: packet.ProtoUDP, Port: 69, Classes: class(1, 5*time.Minute)},
	iIRC:    {Name: "irc", Proto: packet.ProtoTCP, Port: 6667, Classes: class(8, 5*time.Minute)},
	iAmanda: {Name: "amanda", Proto: packet.ProtoUDP, Port: 10080, Classes: class(4, 3*time.Minute)},
}

func class(most int, timeout time.Duration) []conntrack.ExpectClass {
	return []conntrack.ExpectClass{{Max: most, Timeout: timeout}}
}

// All are the helpers, for conntrack.Table.SetHelpers.
func All() (list []*conntrack.Helper) {
	for i := range helpers {
		list = append(list, &helpers[i])
	}
	return list
}

// Run lets the helper of the packet's connection read it, and perhaps change it. It drops what the helper must not let
// pass; why names it then, and says is what the kernel logs of it ("" for nothing). Errors about the connection are
// not read.
func Run(t *conntrack.Table, now packet.Time, p *packet.Packet, ref conntrack.Ref, rng *rand.Rand) (why packet.Reason, says string) {
	h := ref.Conn.Helper()
	if h == nil || ref.Info == conntrack.RelatedReply || !p.HasL4() || p.Proto != h.Proto {
		return packet.ReasonNone, ""
	}
	k := call{t, now, p, ref.Conn, ref, rng}
	switch h { // directly: a call through a table would have k allocated
	case &helpers[iFTP]:
		says = ftp(&k)
	case &helpers[iTFTP]:
		says = tftp(&k)
	case &helpers[iIRC]:
		says = irc(&k)
	case &helpers[iAmanda]:
		says = amanda(&k)
	}
	if says != "" {
		return packet.ReasonHelperDrop, "nf_ct_" + h.Name + ": dropping packet: " + says + " "
	}
	return packet.ReasonNone, ""
}

// translated tells whether the payload has to follow NAT.
func (k *call) translated() bool { return k.c.Status()&conntrack.StatusNATMask != 0 }

// both tells whether there has been traffic both ways.
func (k *call) both() bool {
	return k.ref.Info == conntrack.Established || k.ref.Info == conntrack.EstablishedReply
}

// expectation is one that lets in proto from src (zero: any) and any port to dst:port.
func (k *call) expectation(src, dst packet.Addr, proto uint8, port uint16) *conntrack.Expect {
	e := &conntrack.Expect{Tuple: conntrack.Tuple{
		Src: src, Dst: dst, DstPort: port, Proto: proto, V6: k.p.V6, Zone: k.c.Tuple(conntrack.Original).Zone,
	}}
	switch {
	case !src.IsZero():
		for i := range e.Mask.Src {
			e.Mask.Src[i] = 0xff
		}
	case !k.p.V6:
		e.Tuple.Src = packet.Addr4([]byte{0, 0, 0, 0}) // listed as 0.0.0.0
	}
	return e
}

// enter enters an expectation as it is.
func (k *call) enter(e *conntrack.Expect) complaint {
	if k.t.ExpectRelated(k.now, k.c, e) != nil {
		return cannotAdd
	}
	return ""
}

// enterTranslated enters an expectation whose connection comes in direction d and follows the master's translation, at
// a port that nobody else expects: its own, if that is free (nf_nat_exp_find_port). 0 is none.
func (k *call) enterTranslated(e *conntrack.Expect, d conntrack.Dir) (port uint16) {
	e.Dir, e.SavedPort, e.Fn = d, e.Tuple.DstPort, nat.FollowMaster
	first := e.Tuple.DstPort
	span := uint32(0xffff - first)
	for tries := min(int(span), 128); ; {
		err := k.t.ExpectRelated(k.now, k.c, e)
		if err == nil {
			return e.Tuple.DstPort
		}
		if tries--; err != conntrack.ErrExpectBusy || tries < 0 {
			return 0
		}
		e.Tuple.DstPort = first + uint16(k.rng.Uint32N(span))
	}
}

// rewrite puts text in the place of n bytes at off of Data, and lets sequence numbers follow.
func (k *call) rewrite(e *conntrack.Expect, off, n int, text []byte) complaint {
	seq, tcp := uint32(0), k.p.Proto == packet.ProtoTCP
	if tcp {
		h, _ := k.p.TCP()
		seq = h.SequenceNumber()
	}
	if !k.p.Replace(off, n, text) {
		k.t.ExpectDone(k.now, e)
		return cannotMangle
	}
	if tcp {
		k.t.AdjustSeq(k.c, k.ref.Info.Dir(), seq, len(text)-n)
	}
	return ""
}
