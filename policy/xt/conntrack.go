package xt

import (
	"fmt"
	"strings"
	"time"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// ctMatch is -m conntrack and -m state (xt_conntrack.c): what conntrack knows of the packet's connection. Everything
// but --ctstate asks about an entry and matches nothing where there is none, inverted or not.
type ctMatch struct {
	isState bool // -m state: the same with one option of its own
	fam     policy.Family

	state    ctBits[conntrack.State]
	status   ctBits[conntrack.Status]
	proto    uint8
	hasProto bool
	notProto bool
	addrs    [4]ctAddr // orig src, orig dst, reply src, reply dst
	ports    [4]ports
	tuples   bool // some of addrs and ports is asked for
	expire   ctSpan
	dir      uint8 // 0 not asked, else 1 + conntrack.Dir
}

// ctBits is a set of bits of which one must be there.
type ctBits[T any] struct {
	bits T
	set  bool
	not  bool
}

type ctAddr struct {
	text       string
	addr, mask packet.Addr
	set, not   bool
}

type ctSpan struct {
	lo, hi uint64
	set    bool
	not    bool
}

// The options for addresses and ports, in the order of ctMatch.addrs and ports.
var (
	ctAddrOptions = [4]string{"--ctorigsrc", "--ctorigdst", "--ctreplsrc", "--ctrepldst"}
	ctPortOptions = [4]string{"--ctorigsrcport", "--ctorigdstport", "--ctreplsrcport", "--ctrepldstport"}
)

// named is a bit with its name.
type named[T any] struct {
	name string
	bit  T
}

// ctStates stand in the order in which they are printed.
var ctStates = []named[conntrack.State]{
	{"INVALID", conntrack.StateInvalid}, {"NEW", conntrack.StateNew}, {"RELATED", conntrack.StateRelated},
	{"ESTABLISHED", conntrack.StateEstablished}, {"UNTRACKED", conntrack.StateUntracked},
	{"SNAT", conntrack.StateSNAT}, {"DNAT", conntrack.StateDNAT},
}

var ctStatuses = []named[conntrack.Status]{
	{"EXPECTED", conntrack.StatusExpected}, {"SEEN_REPLY", conntrack.StatusSeenReply},
	{"ASSURED", conntrack.StatusAssured}, {"CONFIRMED", conntrack.StatusConfirmed}, {"NONE", 0},
}

func newState() MatchParser { return &ctMatch{isState: true} }

func (m *ctMatch) Name() string {
	if m.isState {
		return "state"
	}
	return "conntrack"
}

func (m *ctMatch) NeedsConntrack() bool { return true }

func (m *ctMatch) Option(o *Opt) (bool, error) {
	for i := range ctAddrOptions {
		if o.Name == ctAddrOptions[i] {
			s, err := o.Arg()
			m.addrs[i] = ctAddr{text: s, set: true, not: o.Not}
			return true, err
		}
		if o.Name == ctPortOptions[i] {
			return true, m.ports[i].parse(o, "", false)
		}
	}
	switch o.Name {
	case "--ctstate", "--state":
		s, err := o.Arg()
		if err != nil {
			return true, err
		}
		known := ctStates
		if m.isState {
			known = known[:5]
		}
		m.state.bits, err = parseBits(s, known, "state")
		m.state.set, m.state.not = true, o.Not
		return true, err
	case "--ctstatus":
		s, err := o.Arg()
		if err != nil {
			return true, err
		}
		m.status.bits, err = parseBits(s, ctStatuses, "status")
		m.status.set, m.status.not = true, o.Not
		return true, err
	case "--ctproto":
		s, err := o.Arg()
		if err != nil {
			return true, err
		}
		n, ok := ParseProtocol(s)
		if !ok {
			return true, fmt.Errorf("unknown protocol %q", s)
		}
		m.proto, m.hasProto, m.notProto = n, true, o.Not
		return true, nil
	case "--ctexpire":
		lo, hi, err := argRange(o, 1<<32-1)
		m.expire = ctSpan{lo, hi, true, o.Not}
		return true, err
	case "--ctdir":
		if err := o.NoNot(); err != nil {
			return true, err
		}
		s, err := o.Arg()
		if err != nil {
			return true, err
		}
		switch strings.ToUpper(s) {
		case "ORIGINAL":
			m.dir = 1
		case "REPLY":
			m.dir = 2
		default:
			return true, fmt.Errorf("bad direction %q: ORIGINAL or REPLY", s)
		}
		return true, nil
	}
	return false, nil
}

// parseBits reads a comma separated list of names, each in any case and possibly shortened.
func parseBits[T conntrack.State | conntrack.Status](list string, known []named[T], what string) (bits T, err error) {
words:
	for word := range strings.SplitSeq(list, ",") {
		for _, k := range known {
			if word != "" && len(word) <= len(k.name) && strings.EqualFold(k.name[:len(word)], word) {
				bits |= k.bit
				continue words
			}
		}
		names := make([]string, len(known))
		for i, k := range known {
			names[i] = k.name
		}
		return 0, fmt.Errorf("unknown %s %q: %s", what, word, strings.Join(names, ", "))
	}
	return bits, nil
}

func (m *ctMatch) Done(r *RuleInfo) (policy.Match, error) {
	m.fam = r.Family
	asked := m.state.set || m.status.set || m.hasProto || m.expire.set || m.dir != 0
	for i := range m.addrs {
		a := &m.addrs[i]
		m.tuples = m.tuples || a.set || m.ports[i].set
		if !a.set {
			continue
		}
		var err error
		if a.addr, a.mask, err = ParseHostPrefix(r.Family, a.text); err != nil { // printed as it was given
			return nil, err
		}
	}
	switch {
	case m.isState && !m.state.set:
		return nil, missing("--state")
	case !asked && !m.tuples:
		return nil, fmt.Errorf("at least one option is needed")
	}
	return m, nil
}

// templateConn is what a template looks like; nothing writes to it.
var templateConn conntrack.Conn

func (m *ctMatch) Match(p *policy.Packet) bool {
	c := p.CT.Conn
	var status conntrack.Status
	switch {
	case c != nil:
		status = c.Status()
	case p.CT.Template != nil:
		// Between -j CT and conntrack Linux takes the template for the packet's connection: one without tuples.
		c, status = &templateConn, conntrack.StatusTemplate|conntrack.StatusConfirmed
	}
	if m.state.set {
		s := p.CT.State()
		if status&conntrack.StatusSrcNAT != 0 {
			s |= conntrack.StateSNAT
		}
		if status&conntrack.StatusDstNAT != 0 {
			s |= conntrack.StateDNAT
		}
		if (s&m.state.bits != 0) == m.state.not {
			return false
		}
	}
	if c == nil {
		return m.state.set
	}
	if m.dir != 0 && m.dir != 1+uint8(p.CT.Info.Dir()) {
		return false
	}
	if m.hasProto && (c.Tuple(conntrack.Original).Proto == m.proto) == m.notProto {
		return false
	}
	if m.status.set && (status&m.status.bits != 0) == m.status.not {
		return false
	}
	return (!m.tuples || m.matchTuples(c)) && (!m.expire.set || m.matchExpire(p, c, status))
}

func (m *ctMatch) matchTuples(c *conntrack.Conn) bool {
	for d := conntrack.Original; d <= conntrack.Reply; d++ {
		t := c.Tuple(d)
		src, dst := int(2*d), int(2*d+1)
		if !m.addrs[src].has(&t.Src) || !m.addrs[dst].has(&t.Dst) ||
			!m.ports[src].has(t.SrcPort) || !m.ports[dst].has(t.DstPort) {
			return false
		}
	}
	return true
}

func (a *ctAddr) has(x *packet.Addr) bool {
	if !a.set {
		return true
	}
	same := byte(0)
	for i := range x {
		same |= (x[i] ^ a.addr[i]) & a.mask[i]
	}
	return (same == 0) != a.not
}

func (m *ctMatch) matchExpire(p *policy.Packet, c *conntrack.Conn, status conntrack.Status) bool {
	left := uint64(0) // an entry that is not confirmed has no clock running yet
	if status&conntrack.StatusConfirmed != 0 {
		left = uint64(max(0, c.Expires().Sub(p.Now)) / time.Second)
	}
	return (left >= m.expire.lo && left <= m.expire.hi) != m.expire.not
}

func (m *ctMatch) AppendSave(b []byte) []byte {
	if m.isState {
		return appendBits(append(appendNot(b, m.state.not), " --state "...), m.state.bits, ctStates)
	}
	if m.state.set {
		b = appendBits(append(appendNot(b, m.state.not), " --ctstate "...), m.state.bits, ctStates)
	}
	if m.hasProto {
		b = fmt.Appendf(appendNot(b, m.notProto), " --ctproto %d", m.proto)
	}
	for i := range m.addrs {
		if a := &m.addrs[i]; a.set {
			b = append(append(append(appendNot(b, a.not), ' '), ctAddrOptions[i]...), ' ')
			b = m.appendAddr(b, a)
		}
	}
	for i := range m.ports {
		if m.ports[i].set {
			b = append(append(append(appendNot(b, m.ports[i].not), ' '), ctPortOptions[i]...), ' ')
			b = m.ports[i].appendSpan(b)
		}
	}
	if m.status.set {
		b = appendBits(append(appendNot(b, m.status.not), " --ctstatus "...), m.status.bits, ctStatuses)
	}
	if m.expire.set {
		b = appendRange(append(appendNot(b, m.expire.not), " --ctexpire "...), m.expire.lo, m.expire.hi)
	}
	switch m.dir {
	case 1:
		b = append(b, " --ctdir ORIGINAL"...)
	case 2:
		b = append(b, " --ctdir REPLY"...)
	}
	return b
}

func (m *ctMatch) appendAddr(b []byte, a *ctAddr) []byte {
	b = AppendAddr(b, m.fam, a.addr)
	if a.mask != PrefixMask(m.fam, familyBits(m.fam)) {
		b = AppendMask(b, m.fam, a.mask)
	}
	return b
}

func familyBits(fam policy.Family) int {
	if fam == policy.V6 {
		return 128
	}
	return 32
}

// appendBits prints the names of the bits that are set; of none, the name of the zero value.
func appendBits[T conntrack.State | conntrack.Status](b []byte, bits T, known []named[T]) []byte {
	sep := ""
	for _, k := range known {
		if bits&k.bit != 0 || bits == 0 && k.bit == 0 {
			b = append(append(b, sep...), k.name...)
			sep = ","
		}
	}
	return b
}

func (m *ctMatch) AppendList(b []byte, numeric bool) []byte {
	not := func(n bool) {
		if n {
			b = append(b, " !"...)
		}
	}
	if m.isState {
		not(m.state.not)
		return appendBits(append(b, " state "...), m.state.bits, ctStates)
	}
	if m.state.set {
		not(m.state.not)
		b = appendBits(append(b, " ctstate "...), m.state.bits, ctStates)
	}
	if m.hasProto {
		not(m.notProto)
		b = fmt.Appendf(b, " ctproto %d", m.proto)
	}
	for i := range m.addrs {
		if a := &m.addrs[i]; a.set {
			not(a.not)
			b = append(append(append(b, ' '), ctAddrOptions[i][2:]...), ' ')
			b = m.appendAddr(b, a)
		}
	}
	for i := range m.ports {
		if q := &m.ports[i]; q.set {
			not(q.not)
			b = append(append(append(b, ' '), ctPortOptions[i][2:]...), ' ')
			b = q.appendSpan(b)
		}
	}
	if m.status.set {
		not(m.status.not)
		b = appendBits(append(b, " ctstatus "...), m.status.bits, ctStatuses)
	}
	if m.expire.set {
		not(m.expire.not)
		b = appendRange(append(b, " ctexpire "...), m.expire.lo, m.expire.hi)
	}
	switch m.dir {
	case 1:
		b = append(b, " ctdir ORIGINAL"...)
	case 2:
		b = append(b, " ctdir REPLY"...)
	}
	return b
}
