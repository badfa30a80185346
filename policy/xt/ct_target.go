package xt

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/conntrack"
)

// ctTarget is -j CT and -j NOTRACK (xt_CT.c): it tells conntrack, before it sees the packet, not to track it, or how.
type ctTarget struct {
	alias    bool // written as NOTRACK
	notrack  bool
	template conntrack.Template
}

type ctTargetArgs struct {
	zoneOrig, zoneReply bool
	ctTarget
}

// ctEvents are the names of conntrack events by their bit (enum ip_conntrack_events).
var ctEvents = []string{
	"new", "related", "destroy", "reply", "assured", "protoinfo", "helper", "mark", "natseqinfo", "secmark",
}

var ctExpEvents = []string{"new"}

// ctHelpers are the helpers that there are, with their protocol.
var ctHelpers = []struct {
	name  string
	proto uint8
	only4 bool
}{{"ftp", protoTCP, false}, {"irc", protoTCP, true}, {"tftp", protoUDP, false}, {"amanda", protoUDP, false}}

const ctHelperMax = 15 // what fits into struct xt_ct_target_info_v1; iptables cuts the rest

func newNotrack() TargetParser {
	return &ctTargetArgs{ctTarget: ctTarget{alias: true, notrack: true}}
}

func (t *ctTarget) KernelName() string { return "CT" }

func (t *ctTarget) Name() string {
	if t.alias {
		return "NOTRACK"
	}
	return "CT"
}

// NeedsConntrack is false for --notrack: it pulls nothing in.
func (t *ctTarget) NeedsConntrack() bool { return !t.notrack }

func (a *ctTargetArgs) Option(o *Opt) (ok bool, err error) {
	if err := o.NoNot(); err != nil {
		return true, err
	}
	t := &a.template
	switch o.Name {
	case "--notrack":
		a.notrack = true
	case "--helper":
		t.Helper, err = o.Arg()
		t.Helper = t.Helper[:min(len(t.Helper), ctHelperMax)]
	case "--timeout":
		err = errors.New("there are no named timeout policies: set the net.netfilter.nf_conntrack_*_timeout sysctls")
	case "--ctevents":
		t.Events, err = argEvents(o, ctEvents)
		t.HasEvents = true
	case "--expevents":
		t.ExpEvents, err = argEvents(o, ctExpEvents)
		t.HasExpEvents = true
	case "--zone", "--zone-orig", "--zone-reply":
		err = a.zone(o)
	default:
		return false, nil
	}
	return true, err
}

func argEvents(o *Opt, names []string) (bits uint32, err error) {
	list, err := o.Arg()
	if err != nil {
		return 0, err
	}
	for name := range strings.SplitSeq(list, ",") {
		i := slices.Index(names, name)
		if i < 0 {
			return 0, fmt.Errorf("unknown event %q: %s", name, strings.Join(names, ", "))
		}
		bits |= 1 << i
	}
	return bits, nil
}

func (a *ctTargetArgs) zone(o *Opt) error {
	s, err := o.Arg()
	if err != nil {
		return err
	}
	switch o.Name {
	case "--zone-orig":
		a.zoneOrig = true
	case "--zone-reply":
		a.zoneReply = true
	}
	switch { // both together are both directions again
	case a.zoneOrig == a.zoneReply:
		a.template.ZoneDir = conntrack.ZoneBoth
	case a.zoneOrig:
		a.template.ZoneDir = conntrack.ZoneOrig
	default:
		a.template.ZoneDir = conntrack.ZoneReply
	}
	if s == "mark" {
		a.template.ZoneFromMark = true
		return nil
	}
	n, ok := ParseUint(s, 0, 65535)
	if !ok {
		return fmt.Errorf("bad zone %q: a number from 0 to 65535, or \"mark\"", s)
	}
	a.template.Zone = uint16(n)
	return nil
}

func (a *ctTargetArgs) Done(r *RuleInfo) (policy.Target, error) {
	name := a.template.Helper
	if name == "" || a.notrack {
		return &a.ctTarget, nil
	}
	if r.Head.Proto == 0 || r.Head.NotProto {
		return nil, errors.New("--helper needs -p in the same rule")
	}
	var known []string
	for _, h := range ctHelpers {
		if h.name == name {
			if h.proto != r.Head.Proto {
				return nil, fmt.Errorf("helper %q needs -p %s", name, ProtocolName(h.proto))
			}
			if h.only4 && r.Family == policy.V6 {
				return nil, fmt.Errorf("helper %q knows only IPv4", name)
			}
			return &a.ctTarget, nil
		}
		known = append(known, h.name)
	}
	return nil, fmt.Errorf("there is no helper %q: %s", name, strings.Join(known, ", "))
}

func (t *ctTarget) CheckHooks(id policy.TableID, hooks HookMask) error {
	return allow(t.Name(), id, hooks, policy.Raw, policy.PreRouting, policy.Output)
}

func (t *ctTarget) Exec(p *policy.Packet) policy.Verdict {
	switch {
	case p.CT.Conn != nil || p.CT.Info == conntrack.Untracked || p.CT.Template != nil: // decided already
	case t.notrack:
		p.CT.Info = conntrack.Untracked
	default:
		p.CT.Template = &t.template
	}
	return policy.Continue
}

func (t *ctTarget) AppendSave(b []byte) []byte {
	if t.alias {
		return b
	}
	return t.appendWords(b, " --")
}

func (t *ctTarget) appendWords(b []byte, prefix string) []byte {
	c := &t.template
	if t.notrack {
		b = append(append(b, prefix...), "notrack"...)
	}
	if c.Helper != "" {
		b = AppendQuoted(append(append(b, prefix...), "helper "...), c.Helper)
	}
	if c.HasEvents {
		b = appendEvents(append(append(b, prefix...), "ctevents "...), c.Events, ctEvents)
	}
	if c.HasExpEvents {
		b = appendEvents(append(append(b, prefix...), "expevents "...), c.ExpEvents, ctExpEvents)
	}
	if c.Zone == 0 && !c.ZoneFromMark {
		return b
	}
	b = append(append(b, prefix...), [...]string{"zone ", "zone-orig ", "zone-reply "}[c.ZoneDir]...)
	if c.ZoneFromMark {
		return append(b, "mark"...)
	}
	return fmt.Append(b, c.Zone)
}

func appendEvents(b []byte, bits uint32, names []string) []byte {
	sep := ""
	for i, name := range names {
		if bits&(1<<i) != 0 {
			b = append(append(b, sep...), name...)
			sep = ","
		}
	}
	return b
}

func (t *ctTarget) AppendList(b []byte, numeric bool) []byte {
	if t.alias {
		return append(b, " NOTRACK"...)
	}
	return t.appendWords(append(b, " CT"...), " ")
}
