package xt

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// connlimit is -m connlimit (xt_connlimit.c, nf_conncount.c): how many connections an address or network has. It
// counts the connections that it has seen itself, so a replaced rule counts from nothing; a TCP connection in
// TIME_WAIT or CLOSE counts no more. As in Linux a packet costs a look-up for every connection of its address.
type connlimit struct {
	limit uint32
	above bool
	dst   bool
	bits  uint8

	mu      sync.Mutex
	lists   map[connlimitKey][]conntrack.Tuple
	sweepAt int
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
	return &connlimit{limit: limit, above: above, dst: dst, bits: bits, lists: map[connlimitKey][]conntrack.Tuple{}, sweepAt: connlimitSweep}
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
	var own conntrack.Tuple
	if c := p.CT.Conn; c != nil {
		k.zone = c.Zone()
		own = *c.Tuple(conntrack.Original)
	} else if t, ok := conntrack.TupleOf(p.Packet); ok {
		own = t
	} else {
		p.HotDrop = true
		return false
	}

	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.lists) >= m.sweepAt {
		m.sweep(p)
	}
	l := m.list(p, m.lists[k], own)
	m.lists[k] = l
	return (uint64(len(l)) > uint64(m.limit)) == m.above
}

// list brings an address's list up to date with a packet (__nf_conncount_add). It goes through the connections from
// the oldest on, drops those that are gone, a few at a time, and ends early where it meets the packet's own: what has
// gone behind that still counts for this once. An own one that is new stands last.
func (m *connlimit) list(p *policy.Packet, l []conntrack.Tuple, own conntrack.Tuple) []conntrack.Tuple {
	gone := 0
	for i := 0; i < len(l) && gone <= connlimitCollect; {
		there, open := stillOpen(p, l[i])
		switch {
		case there && l[i] == own:
			return l
		case open:
			i++
		default:
			l = append(l[:i], l[i+1:]...)
			gone++
		}
	}
	return append(l, own)
}

// connlimitCollect is how many connections more than one are dropped at a time (CONNCOUNT_GC_MAX_NODES).
const connlimitCollect = 8

// sweep forgets the addresses that have no open connection left. It runs when their number has doubled.
func (m *connlimit) sweep(p *policy.Packet) {
lists:
	for k, l := range m.lists {
		for _, t := range l {
			if _, open := stillOpen(p, t); open {
				continue lists
			}
		}
		delete(m.lists, k)
	}
	m.sweepAt = max(connlimitSweep, 2*len(m.lists))
}

const connlimitSweep = 256

// stillOpen tells whether a connection is still there, and whether it counts: a TCP connection that is closed or waits
// for its last packets to die out does not.
func stillOpen(p *policy.Packet, t conntrack.Tuple) (there, open bool) {
	ref, ok := p.W.CT.Find(p.Now, t)
	if !ok {
		return false, false
	}
	state := ref.Conn.StateName()
	p.W.CT.Release(&ref)
	return true, t.Proto != protoTCP || state != "TIME_WAIT" && state != "CLOSE"
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

func (m *connlimit) AppendList(b []byte, numeric bool) []byte {
	side, than := "src", "<="
	if m.dst {
		side = "dst"
	}
	if m.above {
		than = ">"
	}
	return fmt.Appendf(b, " #conn %s/%d %s %d", side, m.bits, than, m.limit)
}
