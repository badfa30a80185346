package xt

import (
	"fmt"
	"math"
	"strconv"
	"sync/atomic"

	"github.com/moat-router/moat/policy"
)

// statistic is -m statistic (xt_statistic.c): one packet in n, or each with a probability. The count of nth is
// shared by all workers and starts anew when the rule is replaced.
type statistic struct {
	nth           bool
	not           bool
	probability   uint32 // in units of 2^-31
	every, packet uint32
	count         atomic.Uint32
}

type statisticArgs struct {
	m                                       statistic
	mode, hasProbability, hasEvery, hasPack bool
}

func (a *statisticArgs) Option(o *Opt) (bool, error) {
	m := &a.m
	switch o.Name {
	case "--mode":
		s, err := o.Arg()
		if err == nil && s != "random" && s != "nth" {
			err = fmt.Errorf("bad mode %q: random or nth is wanted", s)
		}
		m.nth, a.mode = s == "nth", true
		return true, err
	case "--probability":
		s, err := o.Arg()
		if err != nil {
			return true, err
		}
		v, err := strconv.ParseFloat(s, 64)
		if err != nil || !(v >= 0 && v <= 1) {
			return true, fmt.Errorf("bad value %q for --probability: a number from 0 to 1 is wanted", s)
		}
		m.probability, a.hasProbability = uint32(math.Round(v*(1<<31))), true
	case "--every":
		v, err := argNumber(o, 1, 1<<32-1)
		m.every, a.hasEvery = uint32(v), true
		if err != nil {
			return true, err
		}
	case "--packet":
		v, err := argNumber(o, 0, 1<<32-1)
		m.packet, a.hasPack = uint32(v), true
		return true, err
	default:
		return false, nil
	}
	m.not = m.not || o.Not
	return true, nil
}

func (a *statisticArgs) Done(*RuleInfo) (policy.Match, error) {
	m := &a.m
	switch {
	case !a.mode && (a.hasProbability || a.hasEvery || a.hasPack):
		return nil, missing("--mode")
	case a.hasEvery != a.hasPack:
		return nil, fmt.Errorf("--every and --packet go together")
	case m.nth && !a.hasEvery:
		return nil, fmt.Errorf("--mode nth needs --every and --packet")
	case !m.nth && !a.hasProbability:
		return nil, fmt.Errorf("--mode random needs --probability")
	case !m.nth && a.hasEvery, m.nth && a.hasProbability:
		return nil, fmt.Errorf("--probability belongs to --mode random, --every and --packet to --mode nth")
	case m.nth && m.packet >= m.every:
		return nil, fmt.Errorf("--packet must be less than --every")
	}
	return m.Fresh().(policy.Match), nil
}

func (m *statistic) Name() string { return "statistic" }

func (m *statistic) Fresh() any {
	f := &statistic{nth: m.nth, not: m.not, probability: m.probability, every: m.every, packet: m.packet}
	if f.nth {
		f.count.Store(f.every - f.packet - 1)
	}
	return f
}

func (m *statistic) Match(p *policy.Packet) bool {
	if !m.nth {
		return (p.W.Rand.Uint32()&(1<<31-1) < m.probability) != m.not
	}
	for {
		old := m.count.Load()
		next := old + 1
		if old == m.every-1 {
			next = 0
		}
		if m.count.CompareAndSwap(old, next) {
			return (next == 0) != m.not
		}
	}
}

func (m *statistic) AppendSave(b []byte) []byte {
	if !m.nth {
		b = append(appendNot(append(b, " --mode random"...), m.not), " --probability "...)
		return strconv.AppendFloat(b, float64(m.probability)/(1<<31), 'f', 11, 64)
	}
	b = append(appendNot(append(b, " --mode nth"...), m.not), " --every "...)
	b = strconv.AppendUint(b, uint64(m.every), 10)
	return strconv.AppendUint(append(b, " --packet "...), uint64(m.packet), 10)
}

func (m *statistic) AppendList(b []byte, numeric bool) []byte {
	if !m.nth {
		b = append(appendNot(append(b, " statistic mode random"...), m.not), " probability "...)
		return strconv.AppendFloat(b, float64(m.probability)/(1<<31), 'f', 11, 64)
	}
	b = append(appendNot(append(b, " statistic mode nth"...), m.not), " every "...)
	b = strconv.AppendUint(b, uint64(m.every), 10)
	if m.packet != 0 {
		b = strconv.AppendUint(append(b, " packet "...), uint64(m.packet), 10)
	}
	return b
}
