package xt

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/moat-router/moat/policy"
)

// limit is -m limit (xt_limit.c): a token bucket that all packets of the rule share. It fills by creditsPerTick
// with every tick of the kernel's clock, and a packet costs as many credits as fit into the time between two.
type limit struct {
	period uint32 // between two packets, in 1/10000 s
	burst  uint32
	cost   uint32 // credits
	full   uint32
	// state is the tick of the last packet (upper half, cut to 32 bits) and the credits left (lower half).
	state atomic.Uint64
}

type limitArgs struct {
	period, burst uint32
}

const (
	limitScale = 10000 // XT_LIMIT_SCALE
	// creditsPerTick is the largest power of two by which a day's credits still fit into 32 bits.
	creditsPerTick = 128
)

// timeUnits are the units of a rate with their seconds; a rate is printed in the largest that fits.
var timeUnits = []struct {
	name, long string
	seconds    uint32
}{{"day", "day", 86400}, {"hour", "hour", 3600}, {"min", "minute", 60}, {"sec", "second", 1}}

func newLimit() MatchParser { return &limitArgs{period: 3600 * limitScale / 3, burst: 5} }

func (a *limitArgs) Option(o *Opt) (bool, error) {
	if err := o.NoNot(); err != nil {
		return true, err
	}
	switch o.Name {
	case "--limit":
		s, err := o.Arg()
		if err == nil {
			a.period, err = parseRate(s)
		}
		return true, err
	case "--limit-burst":
		n, err := argNumber(o, 0, 10000)
		a.burst = uint32(n)
		return true, err
	}
	return false, nil
}

// parseRate reads n[/unit] as the time between two, in 1/10000 s. The unit may be shortened to a letter.
func parseRate(s string) (uint32, error) {
	count, unit, hasUnit := strings.Cut(s, "/")
	seconds := uint32(1)
	if hasUnit {
		seconds = 0
		for _, u := range timeUnits {
			if unit != "" && shortFor(unit, u.long) {
				seconds = u.seconds
			}
		}
	}
	digits := 0
	for digits < len(count) && '0' <= count[digits] && count[digits] <= '9' {
		digits++
	}
	n, err := strconv.ParseUint(count[:digits], 10, 31)
	if err != nil || n == 0 || seconds == 0 {
		return 0, fmt.Errorf("bad rate %q: as in 3/second, 5/minute, 10/hour or 7/day", s)
	}
	period := uint64(limitScale) * uint64(seconds) / n
	if period == 0 {
		return 0, fmt.Errorf("rate %q is too fast: at most %d in a second", s, limitScale)
	}
	return uint32(period), nil
}

// appendRate prints a period as n/unit, in the largest unit in which it is at least one and loses little.
func appendRate(b []byte, period uint32) []byte {
	i := 1
	for ; i < len(timeUnits); i++ {
		unit := timeUnits[i].seconds * limitScale
		if period > unit || unit/period < unit%period {
			break
		}
	}
	u := timeUnits[i-1]
	b = strconv.AppendUint(b, uint64(u.seconds*limitScale/period), 10)
	return append(append(b, '/'), u.name...)
}

// credits converts a time in 1/10000 s, in the kernel's arithmetic of 32 bits.
func credits(period uint32) uint32 {
	if period > (1<<32-1)/(hz*creditsPerTick) {
		return period / limitScale * hz * creditsPerTick
	}
	return period * hz * creditsPerTick / limitScale
}

func (a *limitArgs) Done(*RuleInfo) (policy.Match, error) {
	full := a.period * a.burst
	if a.burst == 0 || credits(full) < credits(a.period) {
		return nil, fmt.Errorf("a burst of %d at this rate is not possible: it overflows", a.burst)
	}
	return newLimitMatch(a.period, a.burst), nil
}

func newLimitMatch(period, burst uint32) *limit {
	m := &limit{period: period, burst: burst, cost: credits(period), full: credits(period * burst)}
	m.state.Store(uint64(m.full))
	return m
}

func (m *limit) Name() string { return "limit" }
func (m *limit) Fresh() any   { return newLimitMatch(m.period, m.burst) }

func (m *limit) Match(p *policy.Packet) bool {
	now := uint32(jiffies(p.Now))
	for {
		old := m.state.Load()
		have := uint64(uint32(old))
		if passed := now - uint32(old>>32); passed < 1<<31 {
			have = min(have+uint64(passed)*creditsPerTick, uint64(m.full))
		} else {
			now = uint32(old >> 32) // a worker with an older packet: the clock does not go back
		}
		ok := have >= uint64(m.cost)
		if ok {
			have -= uint64(m.cost)
		}
		if m.state.CompareAndSwap(old, uint64(now)<<32|have) {
			return ok
		}
	}
}

func (m *limit) AppendSave(b []byte) []byte {
	b = appendRate(append(b, " --limit "...), m.period)
	if m.burst != 5 {
		b = fmt.Appendf(b, " --limit-burst %d", m.burst)
	}
	return b
}

func (m *limit) AppendList(b []byte, numeric bool) []byte {
	return fmt.Appendf(appendRate(append(b, " limit: avg "...), m.period), " burst %d", m.burst)
}
