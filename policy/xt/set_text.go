package xt

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

// LoadSets runs the lines of an "ipset save" file (create, add, del, flush, swap, destroy, each with -exist if wanted).
// file is its name for messages; an error is file:line: what is wrong. Lines above the wrong one have taken effect, as
// with ipset restore.
func (s *Shared) LoadSets(file string, text []byte, now packet.Time) error {
	for i, line := range strings.Split(string(text), "\n") {
		if err := s.SetCommand(line, now); err != nil {
			return fmt.Errorf("%s:%d: %w", file, i+1, err)
		}
	}
	return nil
}

// SetCommand runs one line of ipset's language, without the word ipset. Empty lines, comments and COMMIT do nothing.
func (s *Shared) SetCommand(line string, now packet.Time) error {
	w, err := setWords(line)
	if err != nil || len(w) == 0 || strings.HasPrefix(w[0], "#") || w[0] == "COMMIT" {
		return err
	}
	exist := false
	w = slices.DeleteFunc(w, func(x string) bool {
		e := x == "-exist" || x == "-!"
		exist = exist || e
		return e
	})
	t := &s.sets
	switch cmd := w[0]; {
	case (cmd == "create" || cmd == "-N") && len(w) >= 3:
		return t.create(w[1], w[2], w[3:], exist)
	case (cmd == "add" || cmd == "-A") && len(w) >= 3:
		return t.add(w[1], w[2], w[3:], exist, now)
	case (cmd == "del" || cmd == "-D") && len(w) >= 3:
		return t.del(w[1], w[2], exist)
	case (cmd == "flush" || cmd == "-F") && len(w) == 2:
		f, err := t.known(w[1])
		if err != nil {
			return err
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.empty()
		return nil
	case (cmd == "destroy" || cmd == "-X") && len(w) == 2:
		return t.destroy(w[1])
	case (cmd == "swap" || cmd == "-W") && len(w) == 3:
		return t.swap(w[1], w[2])
	case slices.Contains([]string{"create", "add", "del", "flush", "destroy", "swap"}, cmd):
		return fmt.Errorf("%s: words are missing", cmd)
	default:
		return fmt.Errorf("unknown set command %q: create, add, del, flush, swap and destroy are possible", cmd)
	}
}

// setWords splits at blanks outside of double quotes.
func setWords(line string) (words []string, err error) {
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " \t\r") {
		if line[0] == '"' {
			end := strings.IndexByte(line[1:], '"')
			if end < 0 {
				return nil, fmt.Errorf("a double quote is not closed")
			}
			words, line = append(words, line[1:1+end]), line[end+2:]
			continue
		}
		end := strings.IndexAny(line, " \t\r")
		if end < 0 {
			end = len(line)
		}
		words, line = append(words, line[:end]), line[end:]
	}
	return words, nil
}

// known finds a set, or says which there are.
func (t *setTable) known(name string) (*set, error) {
	if s := t.find(name); s != nil {
		return s, nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	var names []string
	for _, s := range t.order {
		names = append(names, s.name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("set %q does not exist: no sets are declared", name)
	}
	return nil, fmt.Errorf("set %q does not exist: there are %s", name, strings.Join(names, ", "))
}

func (t *setTable) destroy(name string) error {
	s, err := t.known(name)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, other := range t.order {
		other.mu.RLock()
		used := slices.ContainsFunc(other.list, func(e *setElem) bool { return e.member == s })
		other.mu.RUnlock()
		if used {
			return fmt.Errorf("set %q cannot be destroyed: set %q has it as a member", name, other.name)
		}
	}
	if t.used[s] {
		return fmt.Errorf("set %q cannot be destroyed: a rule names it", name)
	}
	delete(t.byName, name)
	t.order = slices.DeleteFunc(t.order, func(o *set) bool { return o == s })
	return nil
}

// swap exchanges what two sets of one type hold, so that a set can be filled aside and put in place at once.
func (t *setTable) swap(one, two string) error {
	a, err := t.known(one)
	if err != nil {
		return err
	}
	b, err := t.known(two)
	if err != nil || a == b {
		return err
	}
	t.mu.Lock() // one swap at a time, so that two locks are taken in no conflict
	defer t.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if a.kind != b.kind || a.family != b.family {
		return fmt.Errorf("sets %q and %q cannot be swapped: they are of different types", one, two)
	}
	a.header, b.header = b.header, a.header
	a.exact, b.exact = b.exact, a.exact
	a.nets, b.nets = b.nets, a.nets
	a.bits, b.bits = b.bits, a.bits
	a.count, b.count = b.count, a.count
	a.list, b.list = b.list, a.list
	return nil
}

const setNameMax = 31 // IPSET_MAXNAMELEN without its NUL

func (t *setTable) create(name, kind string, words []string, exist bool) error {
	if name == "" || len(name) > setNameMax {
		return fmt.Errorf("bad set name %q: 1 to %d bytes are wanted", name, setNameMax)
	}
	s := &set{name: name}
	for i := range setKinds {
		if setKinds[i].name == kind {
			s.kind = &setKinds[i]
		}
	}
	if s.kind == nil {
		var names []string
		for _, k := range setKinds {
			names = append(names, k.name)
		}
		return fmt.Errorf("unknown set type %q: %s are possible", kind, strings.Join(names, ", "))
	}
	if err := s.options(words); err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	s.empty()
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.byName[name]; old != nil {
		if exist && old.kind == s.kind {
			return nil
		}
		return fmt.Errorf("set %q exists already", name)
	}
	if t.byName == nil {
		t.byName = map[string]*set{}
	}
	t.byName[name] = s
	t.order = append(t.order, s)
	return nil
}

// options reads what stands behind create NAME TYPE.
func (s *set) options(words []string) (err error) {
	h := &s.header
	*h = setHeader{hashsize: 1024, maxelem: 65536, bucketsize: 12, size: 8}
	s.any = s.kind.bitmap || len(s.kind.parts) == 0
	ranged := ""
	for i := 0; i < len(words); i++ {
		name := words[i]
		switch name {
		case "counters":
			h.counters = true
			continue
		case "comment":
			h.comment = true
			continue
		case "forceadd":
			h.forceadd = true
			continue
		case "skbinfo":
			h.skbinfo = true
			continue
		}
		if i++; i == len(words) {
			return fmt.Errorf("option %q is unknown or its value is missing", name)
		}
		v, isNumber := ParseUint(words[i], 0, 1<<32-1)
		switch name {
		case "family":
			switch words[i] {
			case "inet", "ipv4", "-4":
			case "inet6", "ipv6", "-6":
				s.family = policy.V6
			default:
				return fmt.Errorf("bad family %q: inet or inet6 is wanted", words[i])
			}
			continue
		case "range":
			ranged = words[i]
			continue
		case "initval":
			h.initval = words[i]
			continue
		}
		if !isNumber {
			return fmt.Errorf("bad value %q for %s", words[i], name)
		}
		switch name {
		case "hashsize":
			h.hashsize = uint32(v)
		case "maxelem":
			h.maxelem = uint32(v)
		case "bucketsize":
			h.bucketsize = uint32(v)
		case "size":
			h.size = uint32(v)
		case "timeout":
			h.timeout, h.hasTimeout = time.Duration(v)*time.Second, true
		case "netmask":
			if h.netmask = int(v); v == 0 || h.netmask > addrBits(s.family) {
				return fmt.Errorf("netmask must be 1 to %d", addrBits(s.family))
			}
		default:
			return fmt.Errorf("option %q is unknown", name)
		}
	}
	if !s.kind.bitmap {
		return nil
	}
	if ranged == "" {
		return fmt.Errorf("%s needs a range", s.kind.name)
	}
	if s.kind.parts[0] == partNumber {
		h.loPort, h.hiPort, err = numberRange(ranged)
		return err
	}
	h.lo, h.hi, err = addrRange(policy.V4, ranged)
	return err
}

// empty drops all elements.
func (s *set) empty() {
	s.exact, s.nets, s.list, s.count = map[setKey]*setElem{}, nil, nil, 0
	s.nets = newNets()
	s.bits = [129]int{}
}

// expiry is when an element times out: after seconds if they are given, else after the set's own time; 0 is never.
func (h *setHeader) expiry(seconds *int64, now packet.Time) packet.Time {
	d := h.timeout
	if seconds != nil {
		d = time.Duration(*seconds) * time.Second
	}
	if d == 0 {
		return 0
	}
	return now.Add(d)
}

// addrRange reads a, a-b or a/n as the first and the last address.
func addrRange(fam policy.Family, text string) (lo, hi packet.Addr, err error) {
	bad := func() error { return fmt.Errorf("bad address or range %q", text) }
	if a, b, ok := strings.Cut(text, "-"); ok {
		lo, ok1 := ParseAddr(fam, a)
		hi, ok2 := ParseAddr(fam, b)
		if !ok1 || !ok2 {
			return lo, hi, bad()
		}
		if lessAddr(hi, lo) {
			lo, hi = hi, lo
		}
		return lo, hi, nil
	}
	p, err := parseNet(fam, text)
	if err != nil {
		return lo, hi, bad()
	}
	lo = packet.AddrFrom(p.Addr())
	hi = lo
	first := 128 - addrBits(fam) + p.Bits()
	for i := first; i < 128; i++ {
		hi[i/8] |= 0x80 >> (i % 8)
	}
	return lo, hi, nil
}

func parseNet(fam policy.Family, text string) (netip.Prefix, error) {
	name, mask, hasMask := strings.Cut(text, "/")
	a, ok := ParseAddr(fam, name)
	bits := uint64(addrBits(fam))
	if ok && hasMask {
		bits, ok = ParseUint(mask, 0, bits)
	}
	if !ok {
		return netip.Prefix{}, fmt.Errorf("bad address or network %q", text)
	}
	return prefixOf(a, int(bits)), nil
}

// prefixOf is the network of an address; the zero Addr is the IPv6 address ::.
func prefixOf(a packet.Addr, bits int) netip.Prefix {
	ip := netip.AddrFrom16(a).Unmap()
	return netip.PrefixFrom(ip, bits).Masked()
}

func isUnspecified(a packet.Addr) bool { return netip.AddrFrom16(a).Unmap().IsUnspecified() }

func numberRange(text string) (lo, hi uint16, err error) {
	a, b, isRange := strings.Cut(text, "-")
	l, ok := ParseUint(a, 0, 65535)
	h := l
	if ok && isRange {
		h, ok = ParseUint(b, 0, 65535)
	}
	if !ok || h < l {
		return 0, 0, fmt.Errorf("bad port or range %q", text)
	}
	return uint16(l), uint16(h), nil
}

// SaveSets appends all sets as "ipset save" would print them, elements in the order of their text.
func (s *Shared) SaveSets(b []byte, now packet.Time) []byte {
	s.sets.mu.RLock()
	defer s.sets.mu.RUnlock()
	// Lists stand last: their members must exist when they are read back.
	for _, lists := range []bool{false, true} {
		for _, x := range s.sets.order {
			if (len(x.kind.parts) == 0) == lists {
				b = x.save(b, now)
			}
		}
	}
	return b
}

func (s *set) save(b []byte, now packet.Time) []byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	h := &s.header
	b = fmt.Appendf(b, "create %s %s", s.name, s.kind.name)
	switch {
	case len(s.kind.parts) == 0:
		b = fmt.Appendf(b, " size %d", h.size)
	case s.kind.name == "bitmap:port":
		b = fmt.Appendf(b, " range %d-%d", h.loPort, h.hiPort)
	case s.kind.bitmap:
		b = fmt.Appendf(b, " range %s-%s", h.lo, h.hi)
	default:
		b = fmt.Appendf(b, " family %s hashsize %d maxelem %d", [...]string{"inet", "inet6"}[s.family], h.hashsize, h.maxelem)
	}
	if h.netmask != 0 {
		b = fmt.Appendf(b, " netmask %d", h.netmask)
	}
	if h.hasTimeout {
		b = fmt.Appendf(b, " timeout %d", int64(h.timeout/time.Second))
	}
	for _, f := range []struct {
		on   bool
		name string
	}{{h.counters, " counters"}, {h.comment, " comment"}, {h.forceadd, " forceadd"}, {h.skbinfo, " skbinfo"}} {
		if f.on {
			b = append(b, f.name...)
		}
	}
	if !s.any {
		b = fmt.Appendf(b, " bucketsize %d", h.bucketsize)
		if h.initval != "" {
			b = append(append(b, " initval "...), h.initval...)
		}
	}
	b = append(b, '\n')
	var lines []string
	for _, e := range append(s.all(), s.list...) {
		if !e.dead(now) {
			lines = append(lines, string(s.saveElem(nil, e, now)))
		}
	}
	if s.list == nil {
		slices.Sort(lines)
	}
	for _, l := range lines {
		b = append(append(b, l...), '\n')
	}
	return b
}

func (s *set) saveElem(b []byte, e *setElem, now packet.Time) []byte {
	b = append(append(append(b, "add "...), s.name...), ' ')
	b = s.appendElem(b, e)
	h := &s.header
	if e.nomatch {
		b = append(b, " nomatch"...)
	}
	if h.hasTimeout {
		left := int64(0)
		if e.expires != 0 {
			left = max(int64(e.expires.Sub(now)/time.Second), 1)
		}
		b = fmt.Appendf(b, " timeout %d", left)
	}
	if h.counters {
		b = fmt.Appendf(b, " packets %d bytes %d", e.packets, e.bytes)
	}
	if e.comment != "" {
		b = fmt.Appendf(b, " comment %q", e.comment)
	}
	if e.hasMark {
		b = appendHex(append(b, " skbmark "...), uint64(e.mark))
		if e.mask != 1<<32-1 {
			b = appendHex(append(b, '/'), uint64(e.mask))
		}
	}
	if e.hasPrio {
		b = fmt.Appendf(b, " skbprio %x:%x", e.prio>>16, e.prio&0xffff)
	}
	if e.hasQ {
		b = strconv.AppendUint(append(b, " skbqueue "...), uint64(e.queue), 10)
	}
	return b
}

// appendElem prints the element itself: "10.0.0.0/8,tcp:80".
func (s *set) appendElem(b []byte, e *setElem) []byte {
	if e.member != nil {
		return append(b, e.member.name...)
	}
	ip := e.key.ip
	for i, part := range s.kind.parts {
		if i > 0 {
			b = append(b, ',')
		}
		switch part {
		case partIP:
			b = netip.AddrFrom16(ip).Unmap().AppendTo(b)
			ip = e.key.ip2
		case partNet:
			if e.net.IsSingleIP() {
				b = e.net.Addr().AppendTo(b)
			} else {
				b = e.net.AppendTo(b)
			}
		case partPort:
			b = appendProtoPort(b, e.key.proto, e.key.port)
		case partNumber:
			b = strconv.AppendUint(b, uint64(e.key.port), 10)
		case partIface:
			b = append(b, e.key.iface...)
		}
	}
	return b
}

func appendProtoPort(b []byte, proto uint8, port uint16) []byte {
	name := ProtocolName(proto)
	if proto == protoICMPv6 {
		name = "icmpv6"
	}
	b = append(append(b, name...), ':')
	if proto == protoICMP || proto == protoICMPv6 {
		// The name of exactly this code stands before that of the type, which means code 0.
		for _, whole := range []bool{false, true} {
			for _, n := range icmpNamesOf(proto) {
				if uint16(n.typ)<<8|uint16(n.lo) == port && (n.lo != n.hi) == whole {
					return append(b, n.name...)
				}
			}
		}
		return fmt.Appendf(b, "%d/%d", port>>8, port&0xff)
	}
	return strconv.AppendUint(b, uint64(port), 10)
}
