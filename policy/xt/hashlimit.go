package xt

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/stack/packet"
)

// hashlimit is -m hashlimit (xt_hashlimit.c, revision 3): a limit per source, destination and port. The buckets are
// in a table with a name, which all rules of a family that use the name share; its rate is that of the rule that came
// first.
type hashlimit struct {
	cfg    hashlimitConfig
	name   string
	shared *Shared
	table  *hashlimitTable
}

// hashlimitConfig is struct hashlimit_cfg3 in words. Rates are the cost of one packet in units of 1/1000000 s, or
// with bytes of 16 bytes in units of 2^-32 s.
type hashlimitConfig struct {
	family     policy.Family
	avg, burst uint64
	above      bool
	bytes      bool
	rateMatch  bool
	mode       hashlimitMode
	size, max  uint32
	gc, expire uint32 // ms
	interval   uint32 // s
	srcBits    uint8
	dstBits    uint8
}

type hashlimitMode uint8

const (
	hashDstIP hashlimitMode = 1 << iota
	hashDstPort
	hashSrcIP
	hashSrcPort
)

// hashlimitModes are the words of --hashlimit-mode in the order in which they are printed.
var hashlimitModes = [...]struct {
	name string
	mode hashlimitMode
}{{"srcip", hashSrcIP}, {"srcport", hashSrcPort}, {"dstip", hashDstIP}, {"dstport", hashDstPort}}

const (
	hashlimitScale      = 1000000 // XT_HASHLIMIT_SCALE_v2
	hashlimitBurstMax   = 1000000
	hashlimitByteShift  = 4
	hashlimitByteExpire = 15 // s, 60 with a burst
)

type hashlimitArgs struct {
	c          hashlimitConfig
	name       string
	rate       string // the option that gave it
	hasName    bool
	burst      uint64
	hasBurst   bool
	hasExpire  bool
	hasGC      bool
	srcBits    uint64
	dstBits    uint64
	hasSrcBits bool
	hasDstBits bool
	quantum    uint32 // ms: the time base of the rate, the default of expire
}

func (a *hashlimitArgs) Option(o *Opt) (bool, error) {
	c := &a.c
	if o.Name == "--hashlimit-rate-match" {
		c.rateMatch = true
		return true, o.NoNot()
	}
	s, err := o.Arg()
	if err != nil {
		return true, err
	}
	var v uint64
	switch o.Name {
	case "--hashlimit", "--hashlimit-upto", "--hashlimit-above":
		if a.rate != "" {
			return true, together(a.rate, o.Name)
		}
		a.rate = o.Name
		c.above = (o.Name == "--hashlimit-above") != o.Not
		return true, a.parseRate(s)
	case "--hashlimit-burst":
		a.burst, err = parseHashlimitBurst(s)
		a.hasBurst = true
	case "--hashlimit-mode":
		c.mode, err = parseHashlimitMode(s)
	case "--hashlimit-name":
		a.name, a.hasName = s, true
	case "--hashlimit-htable-size":
		v, err = number(o, s, 0, 1<<20)
		c.size = uint32(v)
	case "--hashlimit-htable-max":
		v, err = number(o, s, 0, 1<<32-1)
		c.max = uint32(v)
	case "--hashlimit-htable-gcinterval":
		v, err = number(o, s, 1, 1<<32-1)
		c.gc, a.hasGC = uint32(v), true
	case "--hashlimit-htable-expire":
		v, err = number(o, s, 1, 1<<32-1)
		c.expire, a.hasExpire = uint32(v), true
	case "--hashlimit-srcmask":
		a.srcBits, err = number(o, s, 0, 128)
		a.hasSrcBits = true
	case "--hashlimit-dstmask":
		a.dstBits, err = number(o, s, 0, 128)
		a.hasDstBits = true
	case "--hashlimit-rate-interval":
		v, err = number(o, s, 1, 1<<32-1)
		c.interval = uint32(v)
	default:
		return false, nil
	}
	return true, or(err, o)
}

var hashlimitUnits = [...]struct {
	name    string // what is printed
	long    string // of which a word may be the beginning
	seconds uint64
}{{"day", "day", 86400}, {"hour", "hour", 3600}, {"min", "minute", 60}, {"sec", "second", 1}}

// parseRate reads "5", "5/min" or "5kb/s".
func (a *hashlimitArgs) parseRate(s string) error {
	bad := fmt.Errorf("bad rate %q: number[/sec|/min|/hour|/day] or number(b|kb|mb)/s is wanted", s)
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	v, err := strconv.ParseUint(s[:digits], 10, 64)
	if err != nil || v == 0 {
		return bad
	}
	unit := s[digits:]
	if factor, ok := map[string]uint64{"b/s": 1, "kb/s": 1 << 10, "mb/s": 1 << 20}[strings.ToLower(unit)]; ok {
		if v > 1<<32 || bytesToCost(v*factor) == 0 {
			return fmt.Errorf("rate %q is too high", s)
		}
		a.c.bytes, a.c.avg, a.quantum = true, bytesToCost(v*factor), hashlimitByteExpire*1000
		return nil
	}
	seconds := uint64(1)
	if unit != "" {
		word, ok := strings.CutPrefix(strings.ToLower(unit), "/")
		seconds = 0
		for _, u := range hashlimitUnits {
			if ok && word != "" && strings.HasPrefix(u.long, word) {
				seconds = u.seconds
			}
		}
		if seconds == 0 {
			return bad
		}
	}
	if a.c.avg = hashlimitScale * seconds / v; a.c.avg == 0 {
		return fmt.Errorf("rate %q is too fast", s)
	}
	a.quantum = uint32(seconds * 1000)
	return nil
}

// bytesToCost and costToBytes are the kernel interface's own rounding of a rate in bytes per second.
func bytesToCost(bytes uint64) uint64 { return (1<<32 - 1) / (bytes>>hashlimitByteShift + 1) }

func costToBytes(cost uint64) uint64 {
	r := uint64(1<<32 - 1)
	if cost != 0 {
		r /= cost
	}
	return (r - 1) << hashlimitByteShift
}

func parseHashlimitBurst(s string) (uint64, error) {
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	v, err := strconv.ParseUint(s[:digits], 10, 32)
	factor, ok := map[string]uint64{"": 1, "b": 1, "k": 1 << 10, "kb": 1 << 10, "m": 1 << 20, "mb": 1 << 20}[s[digits:]]
	if err != nil || !ok || v == 0 || v*factor > 1<<32-1 {
		return 0, fmt.Errorf("bad burst %q: a number of packets, or of bytes as in 5b, 5kb, 5mb, is wanted", s)
	}
	return v * factor, nil
}

func parseHashlimitMode(s string) (mode hashlimitMode, err error) {
words:
	for _, word := range strings.Split(s, ",") {
		if word == "" {
			continue
		}
		for _, m := range hashlimitModes {
			if strings.EqualFold(word, m.name) {
				mode |= m.mode
				continue words
			}
		}
		return 0, fmt.Errorf("bad word %q in --hashlimit-mode: dstip, srcip, dstport and srcport are possible", word)
	}
	return mode, nil
}

func (a *hashlimitArgs) Done(r *RuleInfo) (policy.Match, error) {
	c := a.c
	c.family = r.Family
	if a.rate == "" {
		return nil, fmt.Errorf("--hashlimit-upto or --hashlimit-above must be given")
	}
	if !a.hasName {
		return nil, missing("--hashlimit-name")
	}
	if err := checkName("--hashlimit-name", a.name); err != nil {
		return nil, err
	}
	if c.interval == 0 {
		c.interval = 1
	}
	full := uint64(32)
	if r.Family == policy.V6 {
		full = 128
	}
	if !a.hasSrcBits {
		a.srcBits = full
	}
	if !a.hasDstBits {
		a.dstBits = full
	}
	if a.srcBits > full || a.dstBits > full {
		return nil, fmt.Errorf("--hashlimit-srcmask and --hashlimit-dstmask are at most %d here", full)
	}
	c.srcBits, c.dstBits = uint8(a.srcBits), uint8(a.dstBits)
	if !a.hasGC {
		c.gc = 1000
	}
	if !a.hasExpire {
		c.expire = a.quantum
	}
	switch {
	case c.bytes && a.hasBurst:
		unit := costToBytes(c.avg)
		if a.burst < unit || unit == 0 {
			return nil, fmt.Errorf("burst cannot be smaller than %db", unit)
		}
		c.burst = (a.burst + unit - 1) / unit
		if !a.hasExpire {
			c.expire = 4 * hashlimitByteExpire * 1000
		}
	case c.bytes:
	case !a.hasBurst:
		c.burst = 5
	case a.burst > hashlimitBurstMax:
		return nil, fmt.Errorf("--hashlimit-burst is at most %d packets", hashlimitBurstMax)
	default:
		c.burst = a.burst
	}
	if !c.bytes && userToCredits(c.avg*c.burst) < userToCredits(c.avg) {
		return nil, fmt.Errorf("rate and burst overflow, try lower ones")
	}
	return &hashlimit{cfg: c, name: a.name, shared: r.Shared}, nil
}

func (m *hashlimit) Name() string { return "hashlimit" }

// CheckHooks allows all hooks. It takes the table: of two rules that name one, the kernel comes first to the one in
// the earlier chain, whatever the order in the file.
func (m *hashlimit) CheckHooks(policy.TableID, HookMask) error {
	if m.table == nil {
		m.table = m.shared.hashlimitTable(m.name, &m.cfg)
	}
	return nil
}

func (m *hashlimit) Match(p *policy.Packet) bool {
	k, ok := m.table.key(p)
	if !ok {
		p.HotDrop = true
		return false
	}
	within, ok := m.table.take(k, uint64(len(p.Data)), jiffies(p.Now), &m.cfg)
	if !ok {
		p.HotDrop = true
		return false
	}
	return within != m.cfg.above
}

// key is the bucket that a packet belongs to; false where the ports it needs are cut off.
func (t *hashlimitTable) key(p *policy.Packet) (k hashlimitKey, ok bool) {
	mode := t.cfg.mode
	if mode&hashSrcIP != 0 {
		k.src = maskBits(p.Src(), p.V6, t.cfg.srcBits)
	}
	if mode&hashDstIP != 0 {
		k.dst = maskBits(p.Dst(), p.V6, t.cfg.dstBits)
	}
	if mode&(hashSrcPort|hashDstPort) == 0 {
		return k, true
	}
	if p.V6 && p.FragOff != 0 {
		return k, true
	}
	if p.V6 && !p.HasL4() {
		return k, false
	}
	off := p.L4
	switch p.Proto {
	case protoTCP, protoUDP, protoDCCP, protoSCTP, protoUDPLite, protoESP:
	case protoAH:
		off += 4
	default:
		return k, true
	}
	if off+4 > len(p.Data) {
		return k, false
	}
	if mode&hashSrcPort != 0 {
		k.srcPort = binary.BigEndian.Uint16(p.Data[off:])
	}
	if mode&hashDstPort != 0 {
		k.dstPort = binary.BigEndian.Uint16(p.Data[off+2:])
	}
	return k, true
}

// maskBits keeps the first n bits of an address.
func maskBits(a packet.Addr, v6 bool, n uint8) packet.Addr {
	from := 0
	if !v6 {
		from = 12
	}
	for i := from; i < 16; i++ {
		switch have := int(n) - (i-from)*8; {
		case have <= 0:
			a[i] = 0
		case have < 8:
			a[i] &= 0xff << (8 - have)
		}
	}
	return a
}
