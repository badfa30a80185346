package xt

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/moat-router/moat/policy"
)

// timeMatch is -m time (xt_time.c): when the packet arrived, by the wall clock in UTC. All of a date range, days of
// the month and of the week, and a time of day must hold.
type timeMatch struct {
	dateStart, dateStop uint32 // seconds since 1970, both included
	dayStart, dayStop   uint32 // seconds since midnight, both included
	monthdays           uint32 // bit 1 to 31
	weekdays            uint8  // bit 1 (Monday) to 7
	kernelTZ            bool   // printed, and else UTC as well: the router has no other time zone
	contiguous          bool
}

const (
	allMonthdays = 0xfffffffe
	allWeekdays  = 0xfe
	lastSecond   = 24*60*60 - 1
	lastDate     = 1<<31 - 1
)

var weekdayNames = [...]string{1: "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}

type timeArgs struct {
	m     timeMatch
	ready bool
	utc   bool
	zone  string // the other option for a zone
}

func (a *timeArgs) Option(o *Opt) (bool, error) {
	m := &a.m
	a.defaults()
	switch o.Name {
	case "--utc":
		a.utc = true
		return true, o.NoNot()
	case "--kerneltz", "--localtz":
		m.kernelTZ = true
		a.zone = o.Name
		return true, o.NoNot()
	case "--contiguous":
		m.contiguous = true
		return true, o.NoNot()
	}
	s, err := o.Arg()
	if err != nil {
		return true, err
	}
	switch o.Name {
	case "--datestart":
		m.dateStart, err = parseDate(s)
	case "--datestop":
		m.dateStop, err = parseDate(s)
	case "--timestart":
		m.dayStart, err = parseDaytime(s)
	case "--timestop":
		m.dayStop, err = parseDaytime(s)
	case "--monthdays":
		m.monthdays, err = parseMonthdays(s)
		if o.Not {
			m.monthdays ^= allMonthdays
		}
		return true, err
	case "--weekdays":
		m.weekdays, err = parseWeekdays(s)
		if o.Not {
			m.weekdays ^= allWeekdays
		}
		return true, err
	default:
		return false, nil
	}
	return true, or(err, o)
}

func (a *timeArgs) defaults() {
	if !a.ready {
		a.ready = true
		a.m = timeMatch{dateStop: lastDate, dayStop: lastSecond, monthdays: allMonthdays, weekdays: allWeekdays}
	}
}

func parseDate(s string) (uint32, error) {
	for _, layout := range []string{"2006", "2006-1", "2006-1-2", "2006-1-2T15", "2006-1-2T15:4", "2006-1-2T15:4:5"} {
		if t, err := time.Parse(layout, s); err == nil {
			if u := t.Unix(); u >= 0 && u <= lastDate {
				return uint32(u), nil
			}
		}
	}
	return 0, fmt.Errorf("bad date %q: YYYY[-MM[-DD[Thh[:mm[:ss]]]]] from 1970 to 2038-01-19T03:14:07 is wanted", s)
}

func parseDaytime(s string) (uint32, error) {
	parts := strings.Split(s, ":")
	v := [3]uint64{}
	ok := len(parts) == 2 || len(parts) == 3
	for i := 0; ok && i < len(parts); i++ {
		var err error
		v[i], err = strconv.ParseUint(parts[i], 10, 8)
		ok = err == nil && len(parts[i]) <= 2 && v[i] <= [3]uint64{23, 59, 59}[i]
	}
	if !ok {
		return 0, fmt.Errorf("bad time of day %q: hh:mm[:ss] is wanted", s)
	}
	return uint32(v[0]*3600 + v[1]*60 + v[2]), nil
}

func parseMonthdays(s string) (mask uint32, err error) {
	for _, word := range strings.Split(s, ",") {
		v, ok := ParseUint(word, 0, 31)
		if !ok {
			return 0, fmt.Errorf("bad day %q for --monthdays: 1 to 31 are possible", word)
		}
		mask |= 1 << v
	}
	return mask, nil
}

// parseWeekdays takes numbers from 1 for Monday and names, of which the first two letters count.
func parseWeekdays(s string) (mask uint8, err error) {
	for _, word := range strings.Split(s, ",") {
		day := 0
		if v, ok := ParseUint(word, 1, 7); ok {
			day = int(v)
		}
		for i := 1; i < len(weekdayNames) && day == 0; i++ {
			if len(word) >= 2 && strings.EqualFold(word[:2], weekdayNames[i][:2]) {
				day = i
			}
		}
		if day == 0 {
			return 0, fmt.Errorf("bad day %q for --weekdays: Mon to Sun or 1 to 7 are possible", word)
		}
		mask |= 1 << day
	}
	return mask, nil
}

func (a *timeArgs) Done(*RuleInfo) (policy.Match, error) {
	a.defaults()
	m := a.m
	if a.utc && a.zone != "" {
		return nil, together("--utc", a.zone)
	}
	if m.contiguous && m.dayStart <= m.dayStop {
		return nil, fmt.Errorf("--contiguous only makes sense when the stop time is smaller than the start time")
	}
	return &m, nil
}

func (m *timeMatch) Name() string { return "time" }

func (m *timeMatch) Match(p *policy.Packet) bool {
	stamp := p.W.Env.Wall(p.Now).Unix()
	if stamp < int64(m.dateStart) || stamp > int64(m.dateStop) {
		return false
	}
	day := uint32(stamp % (lastSecond + 1))
	if m.dayStart < m.dayStop {
		if day < m.dayStart || day > m.dayStop {
			return false
		}
	} else {
		if day < m.dayStart && day > m.dayStop {
			return false
		}
		// The hours after midnight belong to the day on which they began.
		if m.contiguous && day <= m.dayStop {
			stamp -= lastSecond + 1
		}
	}
	// 1 January 1970 was a Thursday.
	if weekday := (stamp/(lastSecond+1)+3)%7 + 1; m.weekdays&(1<<weekday) == 0 {
		return false
	}
	if m.monthdays == allMonthdays {
		return true
	}
	return m.monthdays&(1<<time.Unix(stamp, 0).UTC().Day()) != 0
}

func (m *timeMatch) AppendSave(b []byte) []byte {
	if m.dayStart != 0 || m.dayStop != lastSecond {
		b = appendDaytime(append(b, " --timestart "...), m.dayStart)
		b = appendDaytime(append(b, " --timestop "...), m.dayStop)
	}
	if m.monthdays != allMonthdays {
		b = append(b, " --monthdays "...)
		b = appendDays(b, uint64(m.monthdays), 31, func(b []byte, i int) []byte { return strconv.AppendInt(b, int64(i), 10) })
	}
	if m.weekdays != allWeekdays {
		b = append(b, " --weekdays "...)
		b = appendDays(b, uint64(m.weekdays), 7, func(b []byte, i int) []byte { return append(b, weekdayNames[i]...) })
	}
	if m.dateStart != 0 {
		b = appendDate(append(b, " --datestart "...), m.dateStart)
	}
	b = appendDate(append(b, " --datestop "...), m.dateStop)
	if m.kernelTZ {
		b = append(b, " --kerneltz"...)
	}
	if m.contiguous {
		b = append(b, " --contiguous"...)
	}
	return b
}

func appendDate(b []byte, s uint32) []byte {
	return time.Unix(int64(s), 0).UTC().AppendFormat(b, "2006-01-02T15:04:05")
}

func appendDaytime(b []byte, s uint32) []byte {
	return fmt.Appendf(b, "%02d:%02d:%02d", s/3600, s/60%60, s%60)
}

func appendDays(b []byte, mask uint64, last int, one func([]byte, int) []byte) []byte {
	some := false
	for i := 1; i <= last; i++ {
		if mask&(1<<i) != 0 {
			if some {
				b = append(b, ',')
			}
			b, some = one(b, i), true
		}
	}
	if !some {
		b = append(b, ' ')
	}
	return b
}

func (m *timeMatch) AppendList(b []byte, numeric bool) []byte {
	b = append(b, " TIME"...)
	if m.dayStart != 0 || m.dayStop != lastSecond {
		b = appendDaytime(append(b, " from "...), m.dayStart)
		b = appendDaytime(append(b, " to "...), m.dayStop)
	}
	if m.weekdays != allWeekdays {
		b = append(b, " on "...)
		b = appendDays(b, uint64(m.weekdays), 7, func(b []byte, i int) []byte { return append(b, weekdayNames[i]...) })
	}
	if m.monthdays != allMonthdays {
		b = append(b, " on "...)
		b = appendDays(b, uint64(m.monthdays), 31, func(b []byte, i int) []byte {
			b = strconv.AppendInt(b, int64(i), 10)
			return append(b, [...]string{"th", "st", "nd", "rd", "th", "th", "th", "th", "th", "th"}[i%10]...) // 11st, as iptables has it
		})
	}
	if m.dateStart != 0 {
		b = time.Unix(int64(m.dateStart), 0).UTC().AppendFormat(b, " starting from 2006-01-02 15:04:05")
	}
	if m.dateStop != lastDate {
		b = time.Unix(int64(m.dateStop), 0).UTC().AppendFormat(b, " until date 2006-01-02 15:04:05")
	}
	if !m.kernelTZ {
		b = append(b, " UTC"...)
	}
	if m.contiguous {
		b = append(b, " contiguous"...)
	}
	return b
}
