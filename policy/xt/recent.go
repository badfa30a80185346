package xt

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

// recentMatch is -m recent (xt_recent.c): lists of addresses with the times at which they were seen. A list is named,
// and shared by all rules of both families that name it.
type recentMatch struct {
	op      recentOp
	not     bool
	rttl    bool
	reap    bool
	dst     bool
	seconds uint32
	hits    uint32
	name    string
	mask    packet.Addr
	family  policy.Family
	shared  *Shared
	table   *recentTable
}

type recentOp uint8

const (
	recentNone recentOp = iota
	recentSet
	recentCheck
	recentUpdate
	recentRemove
)

// recentWords name the operations in a listing.
var recentWords = [...]string{recentSet: "SET", recentCheck: "CHECK", recentUpdate: "UPDATE", recentRemove: "REMOVE"}

var recentOps = [...]string{recentSet: "--set", recentCheck: "--rcheck", recentUpdate: "--update", recentRemove: "--remove"}

// recentMaxHits is the largest --hitcount (XT_RECENT_MAX_NSTAMPS - 1).
const recentMaxHits = 65535

type recentArgs struct {
	m                recentMatch
	hasName, hasMask bool
	maskText         string
}

func (a *recentArgs) Option(o *Opt) (bool, error) {
	m := &a.m
	switch o.Name {
	case "--set", "--rcheck", "--update", "--remove":
		if m.op != recentNone {
			return true, together(recentOps[m.op], o.Name)
		}
		for op, name := range recentOps {
			if name == o.Name {
				m.op = recentOp(op)
			}
		}
		m.not = o.Not
		return true, nil
	case "--seconds":
		v, err := argNumber(o, 1, 1<<32-1)
		m.seconds = uint32(v)
		return true, or(err, o)
	case "--hitcount":
		v, err := argNumber(o, 0, 1<<32-1)
		if err == nil && v > recentMaxHits {
			err = fmt.Errorf("bad value %d for --hitcount: at most %d are remembered", v, recentMaxHits)
		}
		m.hits = uint32(v)
		return true, or(err, o)
	case "--reap":
		m.reap = true
	case "--rttl":
		m.rttl = true
	case "--rsource":
		m.dst = false
	case "--rdest":
		m.dst = true
	case "--name":
		s, err := o.Arg()
		m.name, a.hasName = s, true
		return true, or(err, o)
	case "--mask":
		s, err := o.Arg()
		a.maskText, a.hasMask = s, true
		return true, or(err, o)
	default:
		return false, nil
	}
	return true, o.NoNot()
}

// or gives err, or else refuses a "!".
func or(err error, o *Opt) error {
	if err != nil {
		return err
	}
	return o.NoNot()
}

func (a *recentArgs) Done(r *RuleInfo) (policy.Match, error) {
	m := a.m
	m.family = r.Family
	if m.name == "" && !a.hasName {
		m.name = "DEFAULT"
	}
	m.mask = PrefixMask(r.Family, addrBits(r.Family))
	if a.hasMask {
		mask, ok := ParseHost(r.Family, a.maskText)
		if !ok {
			return nil, fmt.Errorf("bad mask %q: ffff:ffff:: or 255.255.255.0, a mask in full, is wanted", a.maskText)
		}
		if r.Family == policy.V4 {
			mask[10], mask[11] = 0, 0
		}
		m.mask = mask
	}
	once := m.op == recentSet || m.op == recentRemove
	switch {
	case m.op == recentNone:
		return nil, fmt.Errorf("one of --set, --rcheck, --update and --remove must be given")
	case m.reap && m.seconds == 0:
		return nil, fmt.Errorf("--reap needs --seconds")
	case once && (m.seconds != 0 || m.hits != 0 || m.reap || m.rttl):
		return nil, fmt.Errorf("--seconds, --hitcount, --reap and --rttl belong to --rcheck and --update")
	}
	if err := checkName("--name", m.name); err != nil {
		return nil, err
	}
	m.shared = r.Shared
	return &m, nil
}

// addrBits is the length of an address.
func addrBits(fam policy.Family) int {
	if fam == policy.V4 {
		return 32
	}
	return 128
}

// checkName refuses what the kernel would not take for the name of a file in /proc (xt_check_proc_name).
func checkName(option, name string) error {
	if name == "" || name == "." || name == ".." || len(name) > 199 || strings.Contains(name, "/") {
		return fmt.Errorf("bad name %q for %s: 1 to 199 bytes without a slash are wanted", name, option)
	}
	return nil
}

func (m *recentMatch) Name() string { return "recent" }

// CheckHooks allows all hooks. It takes the list: of the rules that name one, that in the earliest chain gives it its
// mask, whatever the order in the file.
func (m *recentMatch) CheckHooks(policy.TableID, HookMask) error {
	if m.table == nil {
		m.table = m.shared.recentTable(m.name, m.hits, m.mask)
	}
	return nil
}

func (m *recentMatch) Match(p *policy.Packet) bool {
	addr := p.Src()
	if m.dst {
		addr = p.Dst()
	}
	ttl := p.TTL()
	if p.Out != nil && p.In != nil {
		ttl++ // as it was before forwarding
	}
	k := recentKey{addr: addr, v6: p.V6}
	if !p.V6 {
		k.addr = packet.Addr{12: addr[12], 13: addr[13], 14: addr[14], 15: addr[15]}
	}
	now := jiffies(p.Now)

	t := m.table
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range k.addr {
		k.addr[i] &= t.mask[i]
	}
	e := t.find(k)
	if e != nil && m.rttl && e.ttl != ttl && ttl != 0 && e.ttl != 0 {
		e = nil
	}
	if e == nil {
		if m.op != recentSet {
			return m.not
		}
		t.add(k, now, ttl)
		return !m.not
	}
	yes := m.not
	switch m.op {
	case recentSet:
		yes = !yes
	case recentRemove:
		t.remove(e)
		return !yes
	default:
		since := now - uint64(m.seconds)*hz
		hits := uint32(0)
		for _, s := range e.stamps {
			if m.seconds != 0 && int64(since-s) > 0 {
				continue
			}
			if hits++; m.hits == 0 || hits >= m.hits {
				yes = !yes
				break
			}
		}
		update := m.op == recentUpdate && yes
		if m.reap {
			t.reap(since, e, update)
		}
		if !update {
			return yes
		}
	}
	t.see(e, now)
	e.ttl = ttl
	return yes
}

func (m *recentMatch) AppendSave(b []byte) []byte {
	b = append(append(appendNot(b, m.not), ' '), recentOps[m.op]...)
	if m.seconds != 0 {
		b = strconv.AppendUint(append(b, " --seconds "...), uint64(m.seconds), 10)
	}
	if m.reap {
		b = append(b, " --reap"...)
	}
	if m.hits != 0 {
		b = strconv.AppendUint(append(b, " --hitcount "...), uint64(m.hits), 10)
	}
	if m.rttl {
		b = append(b, " --rttl"...)
	}
	b = append(append(b, " --name "...), m.name...)
	b = AppendAddr(append(b, " --mask "...), m.family, m.mask)
	if m.dst {
		return append(b, " --rdest"...)
	}
	return append(b, " --rsource"...)
}

func (m *recentMatch) AppendList(b []byte, numeric bool) []byte {
	b = append(append(appendNot(b, m.not), " recent: "...), recentWords[m.op]...)
	if m.seconds != 0 {
		b = fmt.Appendf(b, " seconds: %d", m.seconds)
	}
	if m.reap {
		b = append(b, " reap"...)
	}
	if m.hits != 0 {
		b = fmt.Appendf(b, " hit_count: %d", m.hits)
	}
	if m.rttl {
		b = append(b, " TTL-Match"...)
	}
	side := "source"
	if m.dst {
		side = "dest"
	}
	b = fmt.Appendf(b, " name: %s side: %s mask: ", m.name, side)
	return AppendAddr(b, m.family, m.mask)
}
