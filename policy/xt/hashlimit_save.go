package xt

import (
	"strconv"

	"github.com/moat-router/moat/policy"
)

func (m *hashlimit) AppendSave(b []byte) []byte {
	words := hashlimitWords{dashes: " --hashlimit-", upto: "upto ", above: "above ", modes: ","}
	return m.append(b, &words, m.cfg.avg)
}

// AppendList counts a rate over the whole interval of --hashlimit-rate-match.
func (m *hashlimit) AppendList(b []byte, numeric bool) []byte {
	words := hashlimitWords{dashes: " ", upto: "up to ", above: "above ", modes: "-", list: true}
	avg := m.cfg.avg
	if m.cfg.interval != 0 && !m.cfg.bytes {
		avg *= uint64(m.cfg.interval)
	}
	return m.append(append(b, " limit:"...), &words, avg)
}

// hashlimitWords are what the normal form and the listing say differently.
type hashlimitWords struct {
	dashes, upto, above string
	modes               string // stands between modes
	list                bool
}

func (m *hashlimit) append(b []byte, w *hashlimitWords, avg uint64) []byte {
	c := &m.cfg
	word := w.upto
	if c.above {
		word = w.above
	}
	if w.list {
		b = append(append(b, ' '), word...)
	} else {
		b = append(append(b, w.dashes...), word...)
	}
	option := func(name string, v uint64) {
		b = strconv.AppendUint(append(append(append(b, w.dashes...), name...), ' '), v, 10)
	}
	var quantum uint32
	if c.bytes {
		b, quantum = c.appendBytes(b, w.dashes)
	} else {
		b, quantum = appendHashlimitRate(b, avg)
		option("burst", c.burst)
	}
	sep := w.dashes + "mode "
	for _, x := range hashlimitModes {
		if c.mode&x.mode != 0 {
			b = append(append(b, sep...), x.name...)
			sep = w.modes
		}
	}
	if !w.list {
		b = append(append(append(b, w.dashes...), "name "...), m.name...)
	}
	full := uint8(32)
	if c.family == policy.V6 {
		full = 128
	}
	for _, o := range [...]struct {
		name    string
		v       uint32
		neutral uint32
	}{
		{"htable-size", c.size, 0}, {"htable-max", c.max, 0}, {"htable-gcinterval", c.gc, 1000}, {"htable-expire", c.expire, quantum},
		{"srcmask", uint32(c.srcBits), uint32(full)}, {"dstmask", uint32(c.dstBits), uint32(full)},
	} {
		if o.v != o.neutral {
			option(o.name, uint64(o.v))
		}
	}
	if c.rateMatch {
		b = append(append(b, w.dashes...), "rate-match"...)
		if c.interval != 1 {
			option("rate-interval", uint64(c.interval))
		}
	}
	return b
}

// appendHashlimitRate prints a cost as a rate in the largest unit that keeps it exact enough; quantum is that unit in ms.
func appendHashlimitRate(b []byte, avg uint64) (out []byte, quantum uint32) {
	i := 1
	for ; i < len(hashlimitUnits); i++ {
		unit := hashlimitUnits[i].seconds * hashlimitScale
		if avg > unit || unit/avg < unit%avg {
			break
		}
	}
	u := hashlimitUnits[i-1]
	b = strconv.AppendUint(b, u.seconds*hashlimitScale/avg, 10)
	return append(append(b, '/'), u.name...), uint32(u.seconds * 1000)
}

// appendBytes cuts a rate to 32 bits where it looks for the unit, as iptables does.
func (c *hashlimitConfig) appendBytes(b []byte, dashes string) (out []byte, quantum uint32) {
	units := [...]struct {
		name string
		size uint64
	}{{"mb", 1 << 20}, {"kb", 1 << 10}, {"b", 1}}
	rate, i := costToBytes(c.avg), 0
	for ; i < 2 && (rate < units[i].size || bytesToCost(uint64(uint32(rate)&^uint32(units[i].size-1))) != c.avg); i++ {
	}
	b = append(strconv.AppendUint(b, rate/units[i].size, 10), units[i].name...)
	b = append(b, "/s"...)
	if c.burst == 0 {
		return b, hashlimitByteExpire * 1000
	}
	rate *= c.burst
	for i = 0; i < 2 && rate < units[i].size; i++ {
	}
	b = strconv.AppendUint(append(append(b, dashes...), "burst "...), rate/units[i].size, 10)
	return append(b, units[i].name...), 4 * hashlimitByteExpire * 1000
}
