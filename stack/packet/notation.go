package packet

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// layer is one part of the notation between two " / ".
type layer struct {
	kind string
	args []string          // words behind the kind, in order; of text the unquoted bytes
	opts map[string]string // key=value
	next string            // kind of the layer behind, "" if none
}

// grammar is what each kind of layer understands: how many words at most that are no flags, the flags, the keys.
var grammar = map[string]struct{ words, flags, keys string }{
	"ip4":    {"SRC>DST", "df mf rb", "ttl id off tos proto opts len ihl ver sum"},
	"ip6":    {"SRC>DST", "", "hlim tc fl nh plen"},
	"frag6":  {"", "mf", "off id nh"},
	"hbh":    {"HEX", "", "nh"},
	"dstopt": {"HEX", "", "nh"},
	"rt6":    {"HEX", "", "nh"},
	"udp":    {"SPORT>DPORT", "", "len ulen sum"},
	"tcp":    {"SPORT>DPORT FLAGS", "sackok", "seq ack win mss ws ts opts len urg sum doff"},
	"icmp":   {"TYPE/CODE", "", "id seq mtu ptr gw len sum trunc"},
	"icmp6":  {"TYPE/CODE", "", "id seq mtu ptr len sum trunc"},
	"raw":    {"HEX", "", ""},
	"text":   {`"TEXT"`, "", ""},
	"pat":    {"LENGTH", "", ""},
	"frag":   {"SIZE", "", "idx id"},
}

// kinds in the order in which an error message lists them.
const kinds = "ip4, ip6, frag6, hbh, dstopt, rt6, udp, tcp, icmp, icmp6, raw, text, pat"

// parseLayers splits a line into its layers and checks their words.
func parseLayers(text string) ([]layer, error) {
	var ls []layer
	for i, part := range splitLayers(text) {
		l, err := parseLayer(part)
		if err != nil {
			return nil, fmt.Errorf("layer %d: %w", i+1, err)
		}
		if i > 0 {
			ls[i-1].next = l.kind
		}
		ls = append(ls, l)
	}
	return ls, nil
}

// splitLayers cuts at every slash that stands between two blanks.
func splitLayers(s string) (parts []string) {
	from := 0
	for i := 1; i+1 < len(s); i++ {
		if s[i] == '/' && blank(s[i-1]) && blank(s[i+1]) && i-1 >= from {
			parts = append(parts, s[from:i-1])
			from = i + 2
			i++
		}
	}
	return append(parts, s[min(from, len(s)):])
}

func blank(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f'
}

func parseLayer(s string) (layer, error) {
	words, err := splitWords(s)
	if err != nil {
		return layer{}, err
	}
	if len(words) == 0 {
		return layer{}, fmt.Errorf("is empty; expected one of %s", kinds)
	}
	l := layer{kind: words[0], opts: map[string]string{}}
	g, ok := grammar[l.kind]
	if !ok {
		return l, fmt.Errorf("%q is unknown; expected one of %s", l.kind, kinds)
	}
	most := len(strings.Fields(g.words))
	for _, w := range words[1:] {
		key, value, isOpt := strings.Cut(w, "=")
		switch {
		case w[0] == '"':
			b, err := unquote(w)
			if err != nil {
				return l, fmt.Errorf("%s: %w", l.kind, err)
			}
			l.args = append(l.args, b)
		case isOpt && !hasWord(g.keys, key):
			return l, fmt.Errorf("%s: no key %q; it knows %s", l.kind, key, orNone(g.keys))
		case isOpt:
			l.opts[key] = value
		case !hasWord(g.flags, w) && countWords(l.args, g.flags) >= most:
			return l, fmt.Errorf("%s: %q is too much; the form is: %s %s, flags: %s", l.kind, w, l.kind, g.words, orNone(g.flags))
		default:
			l.args = append(l.args, w)
		}
	}
	if need := min(most, 1); l.kind != "raw" && countWords(l.args, g.flags) < need {
		return l, fmt.Errorf("%s: %s is missing", l.kind, strings.Fields(g.words)[0])
	}
	return l, nil
}

func countWords(args []string, flags string) (n int) {
	for _, a := range args {
		if !hasWord(flags, a) {
			n++
		}
	}
	return n
}

func hasWord(list, w string) bool {
	for _, s := range strings.Fields(list) {
		if s == w {
			return true
		}
	}
	return false
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// splitWords cuts at blanks; a word that starts with a double quote runs to the next one that no backslash precedes.
func splitWords(s string) (words []string, err error) {
	for i := 0; i < len(s); {
		if blank(s[i]) {
			i++
			continue
		}
		j := i + 1
		if s[i] == '"' {
			for j < len(s) && s[j] != '"' {
				if s[j] == '\\' {
					j++
				}
				j++
			}
			if j >= len(s) {
				return nil, fmt.Errorf("the quote in %s is not closed", s[i:])
			}
			j++
		} else {
			for j < len(s) && !blank(s[j]) {
				j++
			}
		}
		words = append(words, s[i:j])
		i = j
	}
	return words, nil
}

// unquote takes the quotes off and resolves \r \n \t \0 \\ \" \' and \xNN.
func unquote(w string) (string, error) {
	simple := map[byte]byte{'r': '\r', 'n': '\n', 't': '\t', '0': 0, '\\': '\\', '"': '"', '\'': '\''}
	var b strings.Builder
	for s := w[1 : len(w)-1]; s != ""; s = s[1:] {
		if s[0] != '\\' || len(s) < 2 {
			b.WriteByte(s[0])
			continue
		}
		s = s[1:]
		if c, ok := simple[s[0]]; ok {
			b.WriteByte(c)
			continue
		}
		if s[0] == 'x' && len(s) >= 3 {
			c, err := strconv.ParseUint(s[1:3], 16, 8)
			if err != nil {
				return "", fmt.Errorf(`\%s is not \xNN`, s[:3])
			}
			b.WriteByte(byte(c))
			s = s[2:]
			continue
		}
		return "", fmt.Errorf(`escape \%c is unknown; use \r \n \t \0 \\ \" or \xNN`, s[0])
	}
	return b.String(), nil
}

func (l *layer) has(flag string) bool {
	for _, a := range l.args {
		if a == flag {
			return true
		}
	}
	return false
}

func (l *layer) set(key string) bool { _, ok := l.opts[key]; return ok }

// fail makes an error that names the layer.
func (l *layer) fail(format string, a ...any) error {
	return fmt.Errorf("%s: %w", l.kind, fmt.Errorf(format, a...))
}

// num is the number behind a key, of at most so many bits, or def.
func (l *layer) num(key string, def uint64, bits int) (uint64, error) {
	s, ok := l.opts[key]
	if !ok {
		return def, nil
	}
	n, err := number(s, bits)
	if err != nil {
		return 0, l.fail("%s=%s: %w", key, s, err)
	}
	return n, nil
}

// word is the first word that is no flag.
func (l *layer) word() string {
	for _, a := range l.args {
		if !hasWord(grammar[l.kind].flags, a) {
			return a
		}
	}
	return ""
}

// pair splits the first word at sep into two numbers.
func (l *layer) pair(sep string, bits int) (a, b uint64, err error) {
	w := l.word()
	x, y, ok := strings.Cut(w, sep)
	if !ok {
		return 0, 0, l.fail("%q is not %s", w, strings.Fields(grammar[l.kind].words)[0])
	}
	if a, err = number(x, bits); err == nil {
		b, err = number(y, bits)
	}
	if err != nil {
		return 0, 0, l.fail("%q is not %s: %w", w, strings.Fields(grammar[l.kind].words)[0], err)
	}
	return a, b, nil
}

// ends splits the first word into two addresses of one family.
func (l *layer) ends(v6 bool) (src, dst []byte, err error) {
	w := l.word()
	x, y, ok := strings.Cut(w, ">")
	if !ok {
		return nil, nil, l.fail("%q is not SRC>DST", w)
	}
	if src, err = address(x, v6); err == nil {
		dst, err = address(y, v6)
	}
	if err != nil {
		return nil, nil, l.fail("%w", err)
	}
	return src, dst, nil
}

func address(s string, v6 bool) ([]byte, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return nil, fmt.Errorf("%q is not an address", s)
	}
	if a.Is6() != v6 || a.Zone() != "" {
		return nil, fmt.Errorf("%s is not an IPv%s address without zone", s, map[bool]string{false: "4", true: "6"}[v6])
	}
	return a.AsSlice(), nil
}

// number reads decimal, 0x, 0o and 0b.
func number(s string, bits int) (uint64, error) {
	if strings.HasPrefix(s, "$") {
		return 0, fmt.Errorf("variable %s is not bound", s)
	}
	if len(s) > 1 && s[0] == '0' && s[1] >= '0' && s[1] <= '9' {
		return 0, fmt.Errorf("%q: a number has no leading zero (octal is 0o)", s)
	}
	n, err := strconv.ParseUint(s, 0, bits)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number of %d bits", s, bits)
	}
	return n, nil
}

func (l *layer) hex(s string) ([]byte, error) {
	b, err := hex.DecodeString(s)
	if err != nil {
		return nil, l.fail("%q is not pairs of hex digits", s)
	}
	return b, nil
}
