package xt

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/policy/nat"
	"github.com/moat-router/moat/stack/packet"
)

// natTarget is -j SNAT, DNAT, MASQUERADE and REDIRECT (xt_nat.c, xt_MASQUERADE.c, xt_REDIRECT.c): they differ in
// which end they change and in where the address comes from.
type natTarget struct {
	kind *natKind
	fam  policy.Family
	r    nat.Range
	how  *nat.Behaviour // nil: as Linux
}

// natKind is one of the four targets.
type natKind struct {
	name    string
	manip   nat.Manip
	to      string // the option that gives addresses or ports
	addrs   bool   // it takes addresses; else ports only
	shift   bool   // it takes a base port behind a slash
	allowed []policy.Hook
	exec    func(t *natTarget, p *policy.Packet) policy.Verdict
}

var (
	snatKind = natKind{
		name: "SNAT", manip: nat.ManipSrc, to: "--to-source", addrs: true,
		allowed: []policy.Hook{policy.PostRouting, policy.Input}, exec: (*natTarget).static,
	}
	dnatKind = natKind{
		name: "DNAT", manip: nat.ManipDst, to: "--to-destination", addrs: true, shift: true,
		allowed: []policy.Hook{policy.PreRouting, policy.Output}, exec: (*natTarget).static,
	}
	masqueradeKind = natKind{
		name: "MASQUERADE", manip: nat.ManipSrc, to: "--to-ports",
		allowed: []policy.Hook{policy.PostRouting}, exec: (*natTarget).masquerade,
	}
	redirectKind = natKind{
		name: "REDIRECT", manip: nat.ManipDst, to: "--to-ports",
		allowed: []policy.Hook{policy.PreRouting, policy.Output}, exec: (*natTarget).redirect,
	}
)

func newSNAT() TargetParser       { return &natArgs{kind: &snatKind} }
func newDNAT() TargetParser       { return &natArgs{kind: &dnatKind} }
func newMasquerade() TargetParser { return &natArgs{kind: &masqueradeKind} }
func newRedirect() TargetParser   { return &natArgs{kind: &redirectKind} }

type natArgs struct {
	kind  *natKind
	to    string
	given bool
	flags nat.Flags
	how   *nat.Behaviour
}

func (a *natArgs) Option(o *Opt) (bool, error) {
	if err := o.NoNot(); err != nil {
		return true, err
	}
	switch o.Name {
	case a.kind.to:
		s, err := o.Arg()
		a.to, a.given = s, true
		return true, err
	case "--random":
		a.flags |= nat.ProtoRandom
	case "--random-fully":
		a.flags |= nat.RandomFully
	case "--persistent":
		a.flags |= nat.Persistent
	default:
		return a.behaviour(o)
	}
	return true, nil
}

func (a *natArgs) Done(r *RuleInfo) (policy.Target, error) {
	if a.how != nil && a.flags != 0 {
		return nil, errors.New("--random, --random-fully and --persistent are Linux's words for what --port-assignment and --pooling say: " +
			"they do not go together")
	}
	t := &natTarget{kind: a.kind, fam: r.Family, how: a.how}
	t.r.Flags = a.flags
	if !a.given {
		if a.kind.addrs {
			return nil, missing(a.kind.to)
		}
		return t, nil
	}
	switch r.Head.Proto {
	case protoTCP, protoUDP, protoSCTP, protoDCCP, protoICMP:
	default:
		if a.hasPorts(r.Family) {
			return nil, errors.New("ports need -p tcp, udp, sctp or dccp in the same rule")
		}
	}
	if a.kind.addrs {
		return t, t.parseTo(a.to)
	}
	return t, t.parsePorts(a.to)
}

func (a *natArgs) hasPorts(fam policy.Family) bool {
	if !a.kind.addrs {
		return true
	}
	_, _, has := cutPorts(fam, a.to)
	return has
}

// cutPorts cuts addr[-addr][:ports]; IPv6 addresses stand in brackets if ports follow.
func cutPorts(fam policy.Family, s string) (addrs, ports string, has bool) {
	if fam == policy.V4 {
		return strings.Cut(s, ":")
	}
	if strings.HasPrefix(s, ":") && !strings.HasPrefix(s, "::") {
		return "", s[1:], true
	}
	inner, bracket := strings.CutPrefix(s, "[")
	if !bracket {
		return s, "", false
	}
	addrs, rest, closed := strings.Cut(inner, "]")
	if !closed {
		return s, "", false
	}
	if ports, has = strings.CutPrefix(rest, ":"); has || rest == "" {
		return addrs, ports, has
	}
	return s, "", false
}

// parseTo reads [addr[-addr]][:port[-port[/base]]].
func (t *natTarget) parseTo(s string) error {
	addrs, ports, hasPorts := cutPorts(t.fam, s)
	if hasPorts {
		if err := t.parsePorts(ports); err != nil {
			return err
		}
	}
	if addrs == "" {
		if !hasPorts {
			return fmt.Errorf("bad value %q for %s", s, t.kind.to)
		}
		return nil
	}
	lo, hi, isRange := strings.Cut(addrs, "-")
	if !isRange {
		hi = lo
	}
	var ok bool
	if t.r.MinAddr, ok = t.parseAddr(lo); !ok {
		return addrError(t.fam, lo)
	}
	if t.r.MaxAddr, ok = t.parseAddr(hi); !ok {
		return addrError(t.fam, hi)
	}
	t.r.Flags |= nat.MapIPs
	return nil
}

// parseAddr reads an address that is written out: "10" is 10.0.0.0 elsewhere, and here a slip.
func (t *natTarget) parseAddr(s string) (packet.Addr, bool) {
	if t.fam == policy.V4 && strings.Count(s, ".") != 3 {
		return packet.Addr{}, false
	}
	return ParseAddr(t.fam, s)
}

// parsePorts reads port[-port[/base]]. A service name stands alone only, since names may have dashes in them.
func (t *natTarget) parsePorts(s string) error {
	rng, base, shifted := strings.Cut(s, "/")
	lo, hi, isRange := strings.Cut(rng, "-")
	min, ok := ParseUint(lo, 0, 65535)
	max := min
	switch {
	case ok && isRange:
		if max, ok = ParseUint(hi, 0, 65535); !ok {
			return fmt.Errorf("bad port %q", hi)
		}
		if max < min {
			return fmt.Errorf("range of ports %s ends before it begins", rng)
		}
	case !ok:
		p, found := servicePort(rng, "")
		if !found {
			return fmt.Errorf("bad port %q", rng)
		}
		min, max = uint64(p), uint64(p)
	}
	t.r.Flags |= nat.ProtoSpecified
	t.r.MinPort, t.r.MaxPort = uint16(min), uint16(max)
	if !shifted {
		return nil
	}
	if !t.kind.shift || !isRange {
		return fmt.Errorf("a base port (\"/%s\") is possible behind a range of ports of DNAT only", base)
	}
	b, ok := ParseUint(base, 1, 65535)
	if !ok {
		p, found := servicePort(base, "")
		if !found {
			return fmt.Errorf("bad port %q", base)
		}
		b = uint64(p)
	}
	t.r.Flags |= nat.ProtoOffset
	t.r.BasePort = uint16(b)
	return nil
}

func (t *natTarget) Name() string         { return t.kind.name }
func (t *natTarget) NeedsConntrack() bool { return true }

func (t *natTarget) CheckHooks(id policy.TableID, hooks HookMask) error {
	return allow(t.kind.name, id, hooks, policy.NAT, t.kind.allowed...)
}

func (t *natTarget) Exec(p *policy.Packet) policy.Verdict { return t.kind.exec(t, p) }

// static takes the range as it stands in the rule.
func (t *natTarget) static(p *policy.Packet) policy.Verdict { return t.setup(p, &t.r) }

func (t *natTarget) setup(p *policy.Packet, r *nat.Range) policy.Verdict {
	if t.how == nil || p.CT.Conn == nil || p.W.Bindings == nil {
		return setup(p, r, t.kind.manip)
	}
	w := p.NATWalk()
	why := nat.Bind(&w, r, t.how)
	if why == packet.ReasonNATExhausted {
		p.Reject = prohibited(p.V6) // RFC 5508 REQ-8: the sender is told
	}
	return verdictOf(p, why)
}

// prohibited is "communication administratively prohibited".
func prohibited(v6 bool) policy.RejectWith {
	if v6 {
		return policy.RejectWith{Kind: policy.RejectICMP, Type: 1, Code: 1}
	}
	return policy.RejectWith{Kind: policy.RejectICMP, Type: 3, Code: 13}
}

// setup chooses the translation of p's connection.
func setup(p *policy.Packet, r *nat.Range, m nat.Manip) policy.Verdict {
	if p.CT.Conn == nil {
		return policy.Accept
	}
	return verdictOf(p, nat.Setup(p.W.CT, p.Now, p.CT.Conn, r, m, p.W.Rand))
}

func verdictOf(p *policy.Packet, reason packet.Reason) policy.Verdict {
	if reason != packet.ReasonNone {
		p.Reason = reason
		return policy.Drop
	}
	return policy.Accept
}

// masquerade takes the address of the egress interface and remembers the interface, so that the entry goes when the
// address does (nf_nat_masquerade.c). A packet from the unspecified address is left alone.
func (t *natTarget) masquerade(p *policy.Packet) policy.Verdict {
	c := p.CT.Conn
	if c == nil {
		return policy.Accept
	}
	if src := c.Tuple(conntrack.Original).Src; !p.V6 && src.Is4() && src[12]|src[13]|src[14]|src[15] == 0 {
		return policy.Accept
	}
	a, ok := p.W.Env.MasqueradeAddr(p, p.Out)
	if !ok {
		p.Reason = packet.ReasonNATDrop
		return policy.Drop
	}
	if p.Out != nil {
		c.SetMasqIndex(p.Out.Index)
	}
	return t.toAddr(p, a)
}

// redirect sends to the router itself: to the loopback address for its own packets, else to the first address of the
// ingress interface (nf_nat_redirect.c).
func (t *natTarget) redirect(p *policy.Packet) policy.Verdict {
	var a packet.Addr
	ok := true
	switch {
	case p.Hook != policy.Output:
		a, ok = p.W.Env.RedirectAddr(p, p.In)
	case p.V6:
		a[15] = 1
	default:
		a = packet.Addr4([]byte{127, 0, 0, 1})
	}
	if !ok {
		p.Reason = packet.ReasonNATDrop
		return policy.Drop
	}
	return t.toAddr(p, a)
}

func (t *natTarget) toAddr(p *policy.Packet, a packet.Addr) policy.Verdict {
	r := t.r
	r.Flags |= nat.MapIPs
	r.MinAddr, r.MaxAddr = a, a
	return t.setup(p, &r)
}

func (t *natTarget) AppendSave(b []byte) []byte {
	if t.r.Flags&(nat.MapIPs|nat.ProtoSpecified) != 0 {
		b = append(append(append(b, ' '), t.kind.to...), ' ')
		b = t.appendTo(b)
	}
	b = t.appendFlags(b, " --")
	if t.how != nil {
		b = t.how.AppendSave(b)
	}
	return b
}

// appendTo prints addresses and ports as the option takes them.
func (t *natTarget) appendTo(b []byte) []byte {
	hasPorts := t.r.Flags&nat.ProtoSpecified != 0
	if t.r.Flags&nat.MapIPs != 0 {
		brackets := hasPorts && t.fam == policy.V6
		if brackets {
			b = append(b, '[')
		}
		b = AppendAddr(b, t.fam, t.r.MinAddr)
		if t.r.MinAddr != t.r.MaxAddr {
			b = AppendAddr(append(b, '-'), t.fam, t.r.MaxAddr)
		}
		if brackets {
			b = append(b, ']')
		}
	}
	if !hasPorts {
		return b
	}
	if t.kind.addrs {
		b = append(b, ':')
	}
	b = strconv.AppendUint(b, uint64(t.r.MinPort), 10)
	if t.r.MinPort != t.r.MaxPort {
		b = strconv.AppendUint(append(b, '-'), uint64(t.r.MaxPort), 10)
	}
	if t.r.Flags&nat.ProtoOffset != 0 {
		b = strconv.AppendUint(append(b, '/'), uint64(t.r.BasePort), 10)
	}
	return b
}

func (t *natTarget) appendFlags(b []byte, prefix string) []byte {
	for _, f := range []struct {
		bit  nat.Flags
		name string
	}{{nat.ProtoRandom, "random"}, {nat.RandomFully, "random-fully"}, {nat.Persistent, "persistent"}} {
		if t.r.Flags&f.bit != 0 {
			b = append(append(b, prefix...), f.name...)
		}
	}
	return b
}

func (t *natTarget) AppendList(b []byte, numeric bool) []byte {
	if t.r.Flags&(nat.MapIPs|nat.ProtoSpecified) != 0 {
		switch {
		case t.kind.addrs:
			b = append(b, " to:"...)
		case t.kind == &redirectKind:
			b = append(b, " redir ports "...)
		default:
			b = append(b, " masq ports: "...)
		}
		b = t.appendTo(b)
	}
	b = t.appendFlags(b, " ")
	if t.how != nil {
		b = t.how.AppendSave(b)
	}
	return b
}
