package xt

import (
	"strconv"
	"sync"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// connlimit is -m connlimit (xt_connlimit.c, nf_conncount.c): how many connections an address or network has. It
// counts the connections that it has seen itself, so a replaced rule counts from nothing; a TCP connection in
// TIME_WAIT or CLOSE counts no more.
type connlimit struct {
	limit uint32
	above bool
	dst   bool
	bits  uint8

	mu    sync.Mutex
	lists map[connlimitKey]map[conntrack.Tuple]struct{}
}

type connlimitKey struct {
	addr packet.Addr
	zone uint16
}

type connlimitArgs struct {
	limit        uint32
	above        bool
	given        string
	bits         uint64
	hasBits      bool
	saddr, daddr bool
}

func (a *connlimitArgs) Option(o *Opt) (bool, error) {
	switch o.Name {
	case "--connlimit-upto", "--connlimit-above":
		if a.given != "" {
			return true, together(a.given, o.Name)
		}
		v, err := argNumber(o, 0, 1<<32-1)
		a.limit, a.given, a.above = uint32(v), o.Name, (o.Name == "--connlimit-above") != o.Not
		return true, err
	case "--connlimit-mask":
		v, err := argNumber(o, 0, 128)
		a.bits, a.hasBits = v, true
		return true, or(err, o)
	case "--connlimit-saddr":
		a.saddr = true
	case "--connlimit-daddr":
		a.daddr = true
	default:
		return false, nil
	}
	if a.saddr && a.daddr {
		return true, together("--connlimit-saddr", "--connlimit-daddr")
	}
	return true, o.NoNot()
}

func (a *connlimitArgs) Done(r *RuleInfo) (policy.Match, error) {
	if a.given == "" {
		return nil, missing("--connlimit-upto or --connlimit-above")
	}
	full := uint64(32)
	if r.Family == policy.V6 {
		full = 128
	}
	if !a.hasBits || a.bits > full {
		a.bits = full
	}
	return newConnlimit(a.limit, a.above, a.daddr, uint8(a.bits)), nil
}

func newConnlimit(limit uint32, above, dst bool, bits uint8) *connlimit {
	return &connlimit{limit: limit, above: above, dst: dst, bits: bits, lists: map[connlimitKey]map[conntrack.Tuple]struct{}{}}
}

func (m *connlimit) Name() string         { return "connlimit" }
func (m *connlimit) NeedsConntrack() bool { return true }
func (m *connlimit) Fresh() any           { return newConnlimit(m.limit, m.above, m.dst, m.bits) }

func (m *connlimit) Match(p *policy.Packet) bool {
	k := connlimitKey{addr: p.Src()}
	if m.dst {
		k.addr = p.Dst()
	}
	k.addr = maskBits(k.addr, p.V6, m.bits)
	c := p.CT.Conn
	if c != nil {
		k.zone = c.Zone()
	} else if _, _, ok := p.Ports(); !p.HasL4() || packet.HasPorts(p.Proto) && !ok {
		p.HotDrop = true
		return false
	}

	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.lists[k]
	if l == nil {
		// Every new address looks after two old ones, so that those whose connections are all gone do not pile up.
		n := 0
		for old, list := range m.lists {
			if m.collect(p, list, 0); len(list) == 0 {
				delete(m.lists, old)
			}
			if n++; n == 2 {
				break
			}
		}
		l = map[conntrack.Tuple]struct{}{}
		m.lists[k] = l
	}
	count := uint64(1) // a packet without a connection counts as one more
	if c != nil {
		l[*c.Tuple(conntrack.Original)] = struct{}{}
		count = 0
	}
	if uint64(len(l))+count > uint64(m.limit) {
		m.collect(p, l, int(m.limit))
	}
	return (uint64(len(l))+count > uint64(m.limit)) == m.above
}

// collect forgets connections that are gone until no more than enough are left. The packet's own stays.
func (m *connlimit) collect(p *policy.Packet, l map[conntrack.Tuple]struct{}, enough int) {
	var own conntrack.Tuple
	if p.CT.Conn != nil {
		own = *p.CT.Conn.Tuple(conntrack.Original)
	}
	for t := range l {
		if len(l) <= enough {
			return
		}
		if t != own && !counts(p, t) {
			delete(l, t)
		}
	}
}

// counts tells whether a connection is still there and open.
func counts(p *policy.Packet, t conntrack.Tuple) bool {
	ref, ok := p.W.CT.Find(p.Now, t)
	if !ok {
		return false
	}
	state := ref.Conn.StateName()
	p.W.CT.Release(&ref)
	return t.Proto != protoTCP || state != "TIME_WAIT" && state != "CLOSE"
}

func (m *connlimit) AppendSave(b []byte) []byte {
	if m.above {
		b = append(b, " --connlimit-above "...)
	} else {
		b = append(b, " --connlimit-upto "...)
	}
	b = strconv.AppendUint(b, uint64(m.limit), 10)
	b = strconv.AppendUint(append(b, " --connlimit-mask "...), uint64(m.bits), 10)
	if m.dst {
		return append(b, " --connlimit-daddr"...)
	}
	return append(b, " --connlimit-saddr"...)
}
