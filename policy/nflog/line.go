package nflog

import (
	"strconv"

	"github.com/moat-router/moat/stack/packet"
)

// MaxLine is where the kernel's buffer for one line ends, in bytes.
const MaxLine = 1016

// BufferSize is the capacity of a slice that no line outgrows while it is written.
const BufferSize = 2 * MaxLine

// maxPrefix is the longest prefix that the kernel formats (NF_LOG_PREFIXLEN without its NUL).
const maxPrefix = 127

// Levels of the lines that no rule gives a level to.
const (
	LevelTrace   = 4 // warning
	LevelInvalid = 5 // notice
)

// Flags say what a line tells beside the usual, with the kernel's numbers (NF_LOG_*).
type Flags uint8

// The flags: --log-tcp-sequence, --log-tcp-options, --log-ip-options, --log-uid, --log-macdecode.
const (
	TCPSeq    Flags = 0x01
	TCPOpt    Flags = 0x02
	IPOpt     Flags = 0x04
	UID       Flags = 0x08
	MACDecode Flags = 0x20

	// Default is what TRACE and conntrack's complaints use.
	Default = TCPSeq | TCPOpt | IPOpt | UID
)

// Context is what a line tells of a packet that does not stand in the packet.
type Context struct {
	In, Out string // "" for none
	Mark    uint32
	Flags   Flags
}

// Append appends the line of a LOG rule: prefix as the rule gives it.
func Append(b []byte, prefix string, p *packet.Packet, c Context) []byte {
	start := len(b)
	b = append(b, prefix...)
	return cut(appendPacket(b, p, &c), start)
}

// AppendTrace appends a TRACE line. What is "rule", "return" or "policy"; num counts from 1 in its chain.
// The flags of c do not count.
func AppendTrace(b []byte, table, chain, what string, num int, p *packet.Packet, c Context) []byte {
	start := len(b)
	b = append(append(append(b, "TRACE: "...), table...), ':')
	b = append(append(append(b, chain...), ':'), what...)
	b = append(number(b, ":", uint32(num)), ' ')
	c.Flags = Default
	return cut(appendPacket(cut(b, start, maxPrefix), p, &c), start)
}

// AppendInvalid appends what conntrack logs of a packet that it finds INVALID (nf_conntrack_log_invalid): proto is
// the protocol whose tracker speaks, msg its words without the space behind them. The flags of c do not count.
func AppendInvalid(b []byte, proto uint8, msg string, p *packet.Packet, c Context) []byte {
	start := len(b)
	b = number(b, "nf_ct_proto_", uint32(proto))
	b = append(append(append(b, ": "...), msg...), ' ')
	c.Flags = Default
	return cut(appendPacket(cut(b, start, maxPrefix), p, &c), start)
}

func appendPacket(b []byte, p *packet.Packet, c *Context) []byte {
	b = append(append(b, "IN="...), c.In...)
	b = append(append(b, " OUT="...), c.Out...)
	b = append(b, ' ')
	switch {
	case c.In == "lo":
		// The only device with a link layer that the router has.
		b = append(b, "MAC=00:00:00:00:00:00:00:00:00:00:00:00:"...)
		if p.V6 {
			b = append(b, "86:dd "...)
		} else {
			b = append(b, "08:00 "...)
		}
	case c.In != "":
		b = append(b, "MAC= "...)
	}
	d := dump{data: p.Data, flags: c.Flags, limit: len(b) + MaxLine}
	var whole bool
	if p.V6 {
		b, whole = d.ip6(b, 0, true)
	} else {
		b, whole = d.ip4(b, 0)
	}
	if whole && c.Mark != 0 {
		b = append(hexNumber(b, "MARK=0x", c.Mark, 1), ' ')
	}
	return b
}

// cut ends the text that began at start after limit bytes (MaxLine unless given).
func cut(b []byte, start int, limit ...int) []byte {
	n := MaxLine
	if len(limit) > 0 {
		n = limit[0]
	}
	if len(b)-start > n {
		return b[:start+n]
	}
	return b
}

// number appends a label and a number in decimal.
func number(b []byte, label string, n uint32) []byte {
	return strconv.AppendUint(append(b, label...), uint64(n), 10)
}

const (
	lower = "0123456789abcdef"
	upper = "0123456789ABCDEF"
)

// hexNumber appends a label and a number in lower case hexadecimal of at least width digits.
func hexNumber(b []byte, label string, n uint32, width int) []byte {
	b = append(b, label...)
	for i := 7; i >= 0; i-- {
		if d := n >> (4 * i); d != 0 || i < width {
			b = append(b, lower[d&15])
		}
	}
	return b
}

// octet appends a label and two digits in upper case hexadecimal.
func octet(b []byte, label string, v byte) []byte {
	return append(append(b, label...), upper[v>>4], upper[v&15])
}

// options appends bytes in upper case hexadecimal, in "OPT (...) ".
func options(b, opt []byte) []byte {
	b = append(b, "OPT ("...)
	for _, v := range opt {
		b = octet(b, "", v)
	}
	return append(b, ") "...)
}

// addr4 appends a label and an address in dotted decimal.
func addr4(b []byte, label string, a []byte) []byte {
	b = number(b, label, uint32(a[0]))
	for _, v := range a[1:4] {
		b = number(b, ".", uint32(v))
	}
	return b
}

// addr6 appends a label and an address in full, eight groups of four digits.
func addr6(b []byte, label string, a []byte) []byte {
	b = append(b, label...)
	for i, v := range a[:16] {
		if i > 0 && i%2 == 0 {
			b = append(b, ':')
		}
		b = append(b, lower[v>>4], lower[v&15])
	}
	return b
}
