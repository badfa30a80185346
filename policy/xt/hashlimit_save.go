package xt

import (
	"strconv"

	"github.com/moat-router/moat/policy"
)

func (m *hashlimit) AppendSave(b []byte) []byte {
	c := &m.cfg
	if c.above {
		b = append(b, " --hashlimit-above "...)
	} else {
		b = append(b, " --hashlimit-upto "...)
	}
	var quantum uint32
	if c.bytes {
		b, quantum = c.appendBytes(b)
	} else {
		b, quantum = c.appendPackets(b)
		b = strconv.AppendUint(append(b, " --hashlimit-burst "...), c.burst, 10)
	}
	sep := " --hashlimit-mode "
	for _, w := range hashlimitModes {
		if c.mode&w.mode != 0 {
			b = append(append(b, sep...), w.name...)
			sep = ","
		}
	}
	b = append(append(b, " --hashlimit-name "...), m.name...)
	option := func(name string, v uint32, print bool) {
		if print {
			b = strconv.AppendUint(append(append(b, name...), ' '), uint64(v), 10)
		}
	}
	full := uint8(32)
	if c.family == policy.V6 {
		full = 128
	}
	option(" --hashlimit-htable-size", c.size, c.size != 0)
	option(" --hashlimit-htable-max", c.max, c.max != 0)
	option(" --hashlimit-htable-gcinterval", c.gc, c.gc != 1000)
	option(" --hashlimit-htable-expire", c.expire, c.expire != quantum)
	option(" --hashlimit-srcmask", uint32(c.srcBits), c.srcBits != full)
	option(" --hashlimit-dstmask", uint32(c.dstBits), c.dstBits != full)
	if c.rateMatch {
		b = append(b, " --hashlimit-rate-match"...)
		option(" --hashlimit-rate-interval", c.interval, c.interval != 1)
	}
	return b
}

// appendPackets prints a rate in the largest unit that keeps it exact enough; quantum is that unit in ms.
func (c *hashlimitConfig) appendPackets(b []byte) (out []byte, quantum uint32) {
	i := 1
	for ; i < len(hashlimitUnits); i++ {
		unit := hashlimitUnits[i].seconds * hashlimitScale
		if c.avg > unit || unit/c.avg < unit%c.avg {
			break
		}
	}
	u := hashlimitUnits[i-1]
	b = strconv.AppendUint(b, u.seconds*hashlimitScale/c.avg, 10)
	return append(append(b, '/'), u.name...), uint32(u.seconds * 1000)
}

func (c *hashlimitConfig) appendBytes(b []byte) (out []byte, quantum uint32) {
	units := [...]struct {
		name string
		size uint64
	}{{"mb", 1 << 20}, {"kb", 1 << 10}, {"b", 1}}
	rate, i := costToBytes(c.avg), 0
	for ; i < 2 && (rate < units[i].size || bytesToCost(rate&^(units[i].size-1)) != c.avg); i++ {
	}
	b = append(strconv.AppendUint(b, rate/units[i].size, 10), units[i].name...)
	b = append(b, "/s"...)
	if c.burst == 0 {
		return b, hashlimitByteExpire * 1000
	}
	rate *= c.burst
	for i = 0; i < 2 && rate < units[i].size; i++ {
	}
	b = strconv.AppendUint(append(b, " --hashlimit-burst "...), rate/units[i].size, 10)
	return append(b, units[i].name...), 4 * hashlimitByteExpire * 1000
}
