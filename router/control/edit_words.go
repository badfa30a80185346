package control

import (
	"net/netip"
	"strings"
	"time"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/router/control/ctfmt"
	"github.com/moat-router/moat/stack/packet"
)

// edit is what a command line says of a flow that is made or changed, beside the words that filters have, too.
type edit struct {
	given      string // the last of its options, for messages
	timeout    time.Duration
	hasTimeout bool
	add, drop  []int
	tags       [2]uint32 // by conntrack.Dir
}

func (e *edit) option(opt string, w *words) (err error) {
	e.given = opt
	var n uint64
	switch opt {
	case "-t", "--timeout":
		n, err = numberArg(w, 31)
		e.timeout, e.hasTimeout = time.Duration(n)*time.Second, true
	case "--orig-vtag":
		n, err = numberArg(w, 32)
		e.tags[conntrack.Original] = uint32(n)
	case "--reply-vtag":
		n, err = numberArg(w, 32)
		e.tags[conntrack.Reply] = uint32(n)
	case "--label-add":
		e.add, err = labelsArg(w, e.add)
	case "--label-del":
		if v, ok := w.optional(); ok {
			e.drop, err = labels(v, e.drop)
			break
		}
		for l := range 128 {
			e.drop = append(e.drop, l)
		}
	}
	return err
}

// checkEdit turns the words of -I, -A and -U into what they make.
func (q *Query) checkEdit() (err error) {
	e := &q.edit
	switch q.Command {
	case 'I', 'A':
		if q.Table != "conntrack" {
			return usage("-%c makes flows; helpers make expectations", q.Command)
		}
		if e.drop != nil {
			return usage("--label-del goes with -U")
		}
		q.New, err = q.Filter.spec(e)
	case 'U':
		q.Change, err = q.Filter.change(e)
	case 'D': // takes -t and does not look at it, as conntrack(8)
	default:
		if e.given != "" {
			return usage("option %s goes with -I, -A and -U", e.given)
		}
	}
	return err
}

// change takes out of a filter's words what an update sets.
func (f *Filter) change(e *edit) (*conntrack.Change, error) {
	ch := &conntrack.Change{Timeout: e.timeout, HasTimeout: e.hasTimeout, Status: f.Status, State: f.State, SetLabels: e.add, DropLabels: e.drop}
	if f.HasMark {
		ch.Mark, ch.MarkMask = f.Mark, f.MarkMask
	}
	if err := editable(f); err != nil {
		return nil, err
	}
	if e.tags != [2]uint32{} {
		return nil, usage("verification tags cannot be changed")
	}
	f.Status, f.State, f.HasMark, f.Unreplied = 0, "", false, false
	return ch, nil
}

// editable refuses what people cannot set.
func editable(f *Filter) error {
	if f.Unreplied || f.Status&^conntrack.Editable != 0 {
		return usage("-u: only SEEN_REPLY, ASSURED and FIXED_TIMEOUT can be set, and UNSET is none of them")
	}
	return nil
}

// spec is the flow that a filter's words describe in full.
func (f *Filter) spec(e *edit) (*conntrack.Spec, error) {
	if err := f.complete(e); err != nil {
		return nil, err
	}
	s := &conntrack.Spec{Timeout: e.timeout, Status: f.Status, State: f.State, Tags: e.tags, Labels: e.add}
	if f.HasMark {
		s.Mark = f.Mark
	}
	orig := conntrack.Tuple{
		Src: packet.AddrFrom(f.Orig.Src.Addr()), Dst: packet.AddrFrom(f.Orig.Dst.Addr()), Proto: f.Proto, V6: f.Orig.Src.Addr().Is6(),
		SrcPort: f.Orig.SrcPort, DstPort: f.Orig.DstPort,
	}
	switch ctfmt.PortsOf(f.Proto) {
	case ctfmt.ZeroPorts:
		orig.SrcPort, orig.DstPort, f.Reply.HasSrcPort, f.Reply.HasDstPort = 0, 0, false, false
	case ctfmt.ICMPPorts:
		orig.SrcPort, orig.DstPort = f.ICMP[2], f.ICMP[0]<<8|f.ICMP[1]
	}
	reply, ok := orig.Invert()
	if !ok {
		return nil, usage("--icmp-type: nobody answers type %d, there are no such flows", f.ICMP[0])
	}
	f.Reply.over(&reply)
	for i, n := range f.NAT { // the address, and the port if there is one; the reply's own options stand above it
		addr, port, given := &reply.Dst, &reply.DstPort, f.Reply.HasDstPort
		bits := conntrack.StatusSrcNAT | conntrack.StatusSrcNATDone
		if i == 1 {
			addr, port, given = &reply.Src, &reply.SrcPort, f.Reply.HasSrcPort
			bits = conntrack.StatusDstNAT | conntrack.StatusDstNATDone
		}
		if !n.On {
			continue
		}
		*addr = packet.AddrFrom(n.Addr.Addr())
		if n.Port != 0 && !given {
			*port = n.Port
		}
		s.Status |= bits
	}
	if f.HasZone {
		if f.ZoneDir != conntrack.ZoneReply {
			orig.Zone = f.Zone
		}
		if f.ZoneDir != conntrack.ZoneOrig {
			reply.Zone = f.Zone
		}
	}
	s.Tuple = [2]conntrack.Tuple{conntrack.Original: orig, conntrack.Reply: reply}
	return s, nil
}

// over puts what was given over a tuple.
func (s *Side) over(t *conntrack.Tuple) {
	if s.Src.IsValid() {
		t.Src = packet.AddrFrom(s.Src.Addr())
	}
	if s.Dst.IsValid() {
		t.Dst = packet.AddrFrom(s.Dst.Addr())
	}
	if s.HasSrcPort {
		t.SrcPort = s.SrcPort
	}
	if s.HasDstPort {
		t.DstPort = s.DstPort
	}
}

// complete asks for everything that a new flow needs, in conntrack(8)'s words.
func (f *Filter) complete(e *edit) error {
	var all []netip.Prefix
	for _, p := range []netip.Prefix{f.Orig.Src, f.Orig.Dst, f.Reply.Src, f.Reply.Dst, f.NAT[0].Addr, f.NAT[1].Addr} {
		if p.IsValid() {
			all = append(all, p)
		}
	}
	needs := func(options ...string) error { return usage("a new flow needs %s", strings.Join(options, " and ")) }
	switch {
	case !f.HasProto:
		return needs("-p")
	case !f.Orig.Src.IsValid() || !f.Orig.Dst.IsValid():
		return needs("--src", "--dst")
	case !e.hasTimeout:
		return needs("--timeout")
	case ctfmt.PortsOf(f.Proto) == ctfmt.Ports && !(f.Orig.HasSrcPort && f.Orig.HasDstPort):
		return needs("--sport", "--dport")
	case ctfmt.PortsOf(f.Proto) == ctfmt.ICMPPorts && !(f.HasICMP[0] && f.HasICMP[1]):
		return needs("--icmp-type", "--icmp-code")
	case (f.Proto == packet.ProtoTCP || f.Proto == packet.ProtoSCTP) && f.State == "":
		return needs("--state")
	case f.AnyNAT.On:
		return usage("--any-nat is a filter: a new flow takes --src-nat and --dst-nat")
	case f.NAT[0].On && !f.NAT[0].Addr.IsValid() || f.NAT[1].On && !f.NAT[1].Addr.IsValid():
		return usage("--src-nat and --dst-nat of a new flow need an address")
	}
	for _, p := range all {
		if !p.IsSingleIP() {
			return usage("a new flow has one address, not the network %s", p)
		}
		if p.Addr().Is6() != f.Orig.Src.Addr().Is6() || f.Family == 4 && p.Addr().Is6() || f.Family == 6 && p.Addr().Is4() {
			return usage("%s is of another family than the rest", p.Addr())
		}
	}
	return editable(f)
}
