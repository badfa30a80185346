package xt

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/moat-router/moat/policy"
)

// sctp is -m sctp (xt_sctp.c, RFC 9260): ports, and the types and flags of the chunks.
type sctp struct {
	src, dst  ports
	how       sctpHow
	notChunks bool
	chunks    [4]uint64 // bit per chunk type
	word      string    // ALL or NONE instead of a list
	flags     []sctpFlags
}

// sctpHow says how the list of chunk types is meant; the zero value is no list.
type sctpHow uint8

const (
	sctpAll sctpHow = iota + 1
	sctpAny
	sctpOnly
)

var sctpHows = []string{"", "all", "any", "only"}

// sctpFlags is what is asked of the flags of one type of chunk.
type sctpFlags struct {
	chunk, mask, value uint8
}

// sctpChunk is a type of chunk with the letters of its flags from bit 7 to bit 0, "-" for none.
type sctpChunk struct {
	name string
	typ  uint8
	bits string
}

var sctpChunks = []sctpChunk{
	{"DATA", 0, "----IUBE"}, {"INIT", 1, "--------"}, {"INIT_ACK", 2, "--------"}, {"SACK", 3, "--------"},
	{"HEARTBEAT", 4, "--------"}, {"HEARTBEAT_ACK", 5, "--------"}, {"ABORT", 6, "-------T"},
	{"SHUTDOWN", 7, "--------"}, {"SHUTDOWN_ACK", 8, "--------"}, {"ERROR", 9, "--------"},
	{"COOKIE_ECHO", 10, "--------"}, {"COOKIE_ACK", 11, "--------"}, {"ECN_ECNE", 12, "--------"},
	{"ECN_CWR", 13, "--------"}, {"SHUTDOWN_COMPLETE", 14, "-------T"}, {"I_DATA", 64, "----IUBE"},
	{"RE_CONFIG", 130, "--------"}, {"PAD", 132, "--------"}, {"ASCONF", 193, "--------"},
	{"ASCONF_ACK", 128, "--------"}, {"FORWARD_TSN", 192, "--------"}, {"I_FORWARD_TSN", 194, "--------"},
}

func (m *sctp) Name() string { return "sctp" }

func (m *sctp) Option(o *Opt) (bool, error) {
	switch o.Name {
	case "--sport", "--source-port":
		return true, m.src.parse(o, "s", true)
	case "--dport", "--destination-port":
		return true, m.dst.parse(o, "s", true)
	}
	word, err := o.Arg()
	if err != nil {
		return true, err
	}
	m.how = sctpHow(max(0, slices.Index(sctpHows, strings.ToLower(word))))
	if m.how == 0 {
		return true, fmt.Errorf("--chunk-types begins with all, any or only, not with %q", word)
	}
	m.notChunks = o.Not
	list, ok := o.More()
	if !ok {
		return true, fmt.Errorf("--chunk-types needs two words: all, any or only, and a list of chunk types")
	}
	return true, m.parseChunks(list)
}

func (m *sctp) parseChunks(list string) error {
	switch up := strings.ToUpper(list); up {
	case "ALL":
		m.word = up
		m.chunks = [4]uint64{1<<64 - 1, 1<<64 - 1, 1<<64 - 1, 1<<64 - 1}
		return nil
	case "NONE":
		m.word = up
		return nil
	}
	for word := range strings.SplitSeq(list, ",") {
		name, flags, hasFlags := strings.Cut(word, ":")
		i := slices.IndexFunc(sctpChunks, func(c sctpChunk) bool { return strings.EqualFold(c.name, name) })
		if i < 0 {
			return fmt.Errorf("unknown chunk type %q", name)
		}
		c := sctpChunks[i]
		m.chunks[c.typ/64] |= 1 << (c.typ % 64)
		if !hasFlags {
			continue
		}
		f := sctpFlags{chunk: c.typ}
		for _, letter := range flags {
			at := strings.IndexByte(c.bits, byte(strings.ToUpper(string(letter))[0]))
			if letter == '-' || at < 0 {
				return fmt.Errorf("chunk %s has no flag %q", c.name, string(letter))
			}
			f.mask |= 0x80 >> at
			if 'A' <= letter && letter <= 'Z' {
				f.value |= 0x80 >> at
			}
		}
		m.addFlags(f)
	}
	return nil
}

// addFlags asks for flags of a type; what is asked of it already stays.
func (m *sctp) addFlags(f sctpFlags) {
	i := slices.IndexFunc(m.flags, func(g sctpFlags) bool { return g.chunk == f.chunk })
	switch {
	case f.mask == 0: // "DATA:" asks nothing
	case i < 0:
		m.flags = append(m.flags, f)
	default:
		m.flags[i].mask |= f.mask
		m.flags[i].value |= f.value
	}
}

func (m *sctp) Done(r *RuleInfo) (policy.Match, error) { return m, needProto(r, "sctp", protoSCTP) }

func (m *sctp) Match(p *policy.Packet) bool {
	h := transport(p, 12)
	if h == nil {
		return false
	}
	src, dst := portsOf(h)
	if !m.src.has(src) || !m.dst.has(dst) {
		return false
	}
	return m.how == 0 || m.matchChunks(p) != m.notChunks
}

// matchChunks walks the chunks; one that is cut or says that it is empty hot-drops.
func (m *sctp) matchChunks(p *policy.Packet) bool {
	left := m.chunks
	for off := p.L4 + 12; ; {
		if off+4 > len(p.Data) {
			p.HotDrop = true
			return false
		}
		typ, flags, size := p.Data[off], p.Data[off+1], int(binary.BigEndian.Uint16(p.Data[off+2:]))
		if size == 0 {
			p.HotDrop = true
			return false
		}
		asked := m.chunks[typ/64]>>(typ%64)&1 != 0
		fits := asked && m.flagsFit(typ, flags)
		switch m.how {
		case sctpAny:
			if fits {
				return true
			}
		case sctpAll:
			if fits {
				left[typ/64] &^= 1 << (typ % 64)
			}
		case sctpOnly:
			if !fits {
				return false
			}
		}
		if off += (size + 3) &^ 3; off >= len(p.Data) {
			break
		}
	}
	switch m.how {
	case sctpAll:
		return left == [4]uint64{}
	case sctpAny:
		return false
	}
	return true
}

func (m *sctp) flagsFit(typ, flags uint8) bool {
	for _, f := range m.flags {
		if f.chunk == typ {
			return flags&f.mask == f.value
		}
	}
	return true
}

func (m *sctp) AppendSave(b []byte) []byte {
	if m.src.set {
		b = m.src.appendOption(b, "--sport")
	}
	if m.dst.set {
		b = m.dst.appendOption(b, "--dport")
	}
	if m.how != 0 {
		b = append(append(appendNot(b, m.notChunks), " --chunk-types "...), sctpHows[m.how]...)
		b = m.appendChunks(append(b, ' '), false)
	}
	return b
}

// appendChunks prints the list by the names of the types, or by their numbers.
func (m *sctp) appendChunks(b []byte, numeric bool) []byte {
	if m.word != "" {
		return append(b, m.word...)
	}
	sep := ""
	for typ := range 256 {
		if m.chunks[typ/64]>>(typ%64)&1 == 0 {
			continue
		}
		i := slices.IndexFunc(sctpChunks, func(c sctpChunk) bool { return int(c.typ) == typ })
		c := sctpChunks[i]
		b = append(b, sep...)
		if numeric {
			b = fmt.Appendf(b, "0x%04X", typ)
		} else {
			b = append(b, c.name...)
		}
		sep = ","
		for _, f := range m.flags {
			if f.chunk == c.typ {
				b = append(append(b, ':'), f.letters(c.bits)...)
				break
			}
		}
	}
	return b
}

// letters prints what is asked: a capital for a flag that must be set, a small letter for one that must not.
func (f sctpFlags) letters(bits string) (s []byte) {
	for at := range 8 {
		bit := uint8(0x80) >> at
		if f.mask&bit == 0 {
			continue
		}
		if f.value&bit != 0 {
			s = append(s, bits[at])
		} else {
			s = append(s, bits[at]|0x20)
		}
	}
	return s
}

func (m *sctp) AppendList(b []byte, numeric bool) []byte {
	b = append(b, " sctp"...)
	b = m.src.appendList(b, "spt", "s", numeric)
	b = m.dst.appendList(b, "dpt", "s", numeric)
	if m.how != 0 {
		b = append(appendNot(b, m.notChunks), ' ')
		b = append(append(b, sctpHows[m.how]...), ' ')
		b = m.appendChunks(b, numeric)
	}
	return b
}
