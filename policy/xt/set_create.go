package xt

import (
	"fmt"
	"strings"
	"time"

	"github.com/gaissmai/bart"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

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
	if s.kind == nil && strings.Contains(kind, "mac") {
		return fmt.Errorf("set type %q is not possible: packets have no link layer here", kind)
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
	*h = setHeader{hashsize: 1024, maxelem: 65536, bucketsize: 12, size: 8, markmask: 1<<32 - 1}
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
		case "markmask":
			v, ok := ParseUint(words[i], 1, 1<<32-1)
			if !ok || s.kind.name != "hash:ip,mark" {
				return fmt.Errorf("bad markmask %q for %s", words[i], s.kind.name)
			}
			h.markmask = uint32(v)
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
	s.bits, s.first, s.wires = [129]int{}, [129]int{}, new(bart.Table[int])
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
