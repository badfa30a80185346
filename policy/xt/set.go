package xt

import (
	"net/netip"
	"sync"
	"time"

	"github.com/gaissmai/bart"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

// setTable is all sets of a router by name (net/netfilter/ipset). Sets are shared by both families.
type setTable struct {
	mu     sync.RWMutex
	byName map[string]*set
	order  []*set        // as created
	used   map[*set]bool // by the rules that packets see
}

// setKind is a type of set: what its elements are made of.
type setKind struct {
	name    string
	parts   []setPart
	bitmap  bool // bounded by a range
	twoNets bool // the first network belongs to the key
	notNull bool // 0.0.0.0 and :: cannot be stored
}

// setPart is one dimension of an element.
type setPart uint8

const (
	partIP setPart = iota
	partNet
	partPort   // with its protocol
	partNumber // a port without a protocol (bitmap:port)
	partIface
	partMark
)

// setKinds are the types there are. list:set has no parts: its elements are other sets.
var setKinds = [...]setKind{
	{name: "bitmap:ip", parts: []setPart{partIP}, bitmap: true},
	{name: "bitmap:port", parts: []setPart{partNumber}, bitmap: true},
	{name: "hash:ip", parts: []setPart{partIP}, notNull: true},
	{name: "hash:ip,port", parts: []setPart{partIP, partPort}, notNull: true},
	{name: "hash:ip,port,ip", parts: []setPart{partIP, partPort, partIP}},
	{name: "hash:ip,port,net", parts: []setPart{partIP, partPort, partNet}},
	{name: "hash:ip,mark", parts: []setPart{partIP, partMark}},
	{name: "hash:net", parts: []setPart{partNet}},
	{name: "hash:net,iface", parts: []setPart{partNet, partIface}},
	{name: "hash:net,net", parts: []setPart{partNet, partNet}, twoNets: true},
	{name: "hash:net,port", parts: []setPart{partNet, partPort}},
	{name: "hash:net,port,net", parts: []setPart{partNet, partPort, partNet}, twoNets: true},
	{name: "list:set"},
}

// set is one set. Elements without a network part are found by their key alone; those with one by the longest prefix
// in the tree that hangs at the key of their other parts. So a look-up does not depend on how many there are.
type set struct {
	name   string
	kind   *setKind
	family policy.Family // of hash types; the others take both
	any    bool          // the family does not matter
	header setHeader

	mu    sync.RWMutex
	exact map[setKey]*setElem
	nets  map[setKey]*bart.Table[*setElem]
	bits  [129]int         // how many elements there are of each prefix length
	first [129]int         // the same of the first of two networks
	wires *bart.Table[int] // of hash:net,iface: how many elements a network has, of all interfaces
	count int
	list  []*setElem // of list:set, in order
}

// setHeader are the options of create.
type setHeader struct {
	hashsize, maxelem, bucketsize uint32
	initval                       string
	netmask                       int
	timeout                       time.Duration
	hasTimeout                    bool
	counters, comment             bool
	forceadd, skbinfo             bool
	lo, hi                        packet.Addr // of bitmap:ip
	loPort, hiPort                uint16      // of bitmap:port
	markmask                      uint32      // of hash:ip,mark
	size                          uint32      // of list:set
}

// setKey is the part of an element that is compared as a whole.
type setKey struct {
	ip, ip2 packet.Addr
	port    uint16
	proto   uint8
	bits    uint8 // of the first of two networks, which ip is
	mark    uint32
	iface   string
}

// setElem is an element with its extensions.
type setElem struct {
	key     setKey
	net     netip.Prefix // of the kinds with a network, the second if there are two
	member  *set         // of list:set
	expires packet.Time  // 0: never
	nomatch bool
	comment string
	packets uint64
	bytes   uint64
	mark    uint32
	mask    uint32
	prio    uint32
	queue   uint16
	hasMark bool
	hasPrio bool
	hasQ    bool

	givenPackets, givenBytes bool // by whoever added it
}

func (k *setKind) hasNet() bool {
	for _, p := range k.parts {
		if p == partNet {
			return true
		}
	}
	return false
}

func (k *setKind) hasIface() bool { return k.parts != nil && k.parts[len(k.parts)-1] == partIface }

func (t *setTable) find(name string) *set {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byName[name]
}

// keepCounters is for an element that takes the place of old: what was not given stays as it is.
func (e *setElem) keepCounters(old *setElem) {
	if !e.givenPackets {
		e.packets = old.packets
	}
	if !e.givenBytes {
		e.bytes = old.bytes
	}
}

func (e *setElem) dead(now packet.Time) bool { return e.expires != 0 && e.expires <= now }

// wants tells whether a packet's family is the set's.
func (s *set) wants(v6 bool) bool { return s.any || s.family == policy.FamilyOf(v6) }

// get finds an element by its own name, not by what it covers. The lock is held.
func (s *set) get(e *setElem) *setElem {
	if !s.kind.hasNet() {
		return s.exact[e.key]
	}
	if t := s.nets[e.key]; t != nil {
		if old, ok := t.Get(e.net); ok {
			return old
		}
	}
	return nil
}

// put stores an element; one of the same name is replaced. It is false if the set is full. The lock is held.
func (s *set) put(e *setElem, now packet.Time) bool {
	if old := s.get(e); old != nil {
		s.drop(old)
	} else if !s.kind.bitmap && s.count >= int(s.header.maxelem) && !s.makeRoom(now) {
		return false
	}
	s.count++
	if !s.kind.hasNet() {
		s.exact[e.key] = e
		return true
	}
	t := s.nets[e.key]
	if t == nil {
		t = new(bart.Table[*setElem])
		s.nets[e.key] = t
	}
	t.Insert(e.net, e)
	s.tally(e, 1)
	return true
}

// drop takes a stored element out. The lock is held.
func (s *set) drop(e *setElem) {
	s.count--
	if !s.kind.hasNet() {
		delete(s.exact, e.key)
		return
	}
	t := s.nets[e.key]
	t.Delete(e.net)
	if t.Size() == 0 {
		delete(s.nets, e.key)
	}
	s.tally(e, -1)
}

// tally counts the networks of an element that comes or goes.
func (s *set) tally(e *setElem, n int) {
	s.bits[e.net.Bits()] += n
	if s.kind.twoNets {
		s.first[e.key.bits] += n
	}
	if s.kind.hasIface() {
		have, _ := s.wires.Get(e.net)
		if have += n; have == 0 {
			s.wires.Delete(e.net)
		} else {
			s.wires.Insert(e.net, have)
		}
	}
}

// makeRoom drops what has timed out, or with forceadd any element.
func (s *set) makeRoom(now packet.Time) bool {
	if s.header.hasTimeout {
		for _, e := range s.all() {
			if e.dead(now) {
				s.drop(e)
			}
		}
	}
	if s.count >= int(s.header.maxelem) && s.header.forceadd {
		for _, e := range s.all() {
			s.drop(e)
			break
		}
	}
	return s.count < int(s.header.maxelem)
}

// all is every element that is not a set, in no order. The lock is held.
func (s *set) all() (all []*setElem) {
	for _, e := range s.exact {
		all = append(all, e)
	}
	for _, t := range s.nets {
		for _, e := range t.All() {
			all = append(all, e)
		}
	}
	return all
}
