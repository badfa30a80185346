package fib

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/moat-router/moat/stack/packet"
)

// Command runs a line of iproute2 commands, separated by ";", "&&" or newlines: "ip route", "ip addr", "ip link set" and
// "ip rule", with -4 and -6. The word "ip" may be left out; "sleep N" passes, since nothing here takes time. All of
// the line happens or nothing. What it did to addresses and links is in Changes.
func (b *Builder) Command(line string) error {
	cmds, err := split(line)
	if err != nil {
		return err
	}
	return b.run(cmds)
}

// run does all commands or none. A single command checks before it changes anything, so it needs no copy to fall back
// to: a long list of routes would make one for each.
func (b *Builder) run(cmds [][]string) error {
	s := b.s
	if len(cmds) > 1 {
		s = s.clone()
	}
	var changes []Change
	for _, words := range cmds {
		c := &command{s: s, words: words, note: func(ch Change) { changes = append(changes, ch) }}
		if err := c.run(); err != nil {
			return fmt.Errorf("%q: %w", strings.Join(words, " "), err)
		}
	}
	b.s = s
	b.changes = append(b.changes, changes...)
	return nil
}

// split cuts a line into commands and their words. Quotes group, "#" begins a comment.
func split(line string) ([][]string, error) {
	var cmds [][]string
	var words []string
	var word strings.Builder
	in := false
	quote := rune(0)
	end := func() {
		if in {
			words = append(words, word.String())
			word.Reset()
			in = false
		}
	}
	next := func() {
		end()
		if len(words) > 0 {
			cmds = append(cmds, words)
			words = nil
		}
	}
	rs := []rune(line)
	for i := 0; i < len(rs); i++ {
		c := rs[i]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			} else {
				word.WriteRune(c)
			}
		case c == '"' || c == '\'':
			quote, in = c, true
		case c == '#' && !in:
			for i+1 < len(rs) && rs[i+1] != '\n' {
				i++
			}
		case c == ' ' || c == '\t' || c == '\r':
			end()
		case c == '\n' || c == ';':
			next()
		case c == '&' && i+1 < len(rs) && rs[i+1] == '&':
			i++
			next()
		case strings.ContainsRune("|&<>$`()\\", c):
			return nil, fmt.Errorf("%q is the shell's: only ip commands separated by \";\" or \"&&\" can stand here", c)
		default:
			word.WriteRune(c)
			in = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("the quote %c is not closed", quote)
	}
	next()
	return cmds, nil
}

// command is one "ip ..." being parsed.
type command struct {
	s      *state
	words  []string
	note   func(Change)
	family familyWord
}

type familyWord uint8

const (
	familyAny familyWord = iota
	family4
	family6
)

var errEnd = errors.New("the command ends too early")

// more tells whether words are left.
func (c *command) more() bool { return len(c.words) > 0 }

// next takes a word; "" at the end.
func (c *command) next() string {
	if !c.more() {
		return ""
	}
	w := c.words[0]
	c.words = c.words[1:]
	return w
}

// arg takes the value of key.
func (c *command) arg(key string) (string, error) {
	if !c.more() {
		return "", fmt.Errorf("%q needs a value", key)
	}
	return c.next(), nil
}

func (c *command) number(key string, max uint64) (uint64, error) {
	w, err := c.arg(key)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(w, 0, 64)
	if err != nil || n > max {
		return 0, fmt.Errorf("%s %q is not a number from 0 to %d", key, w, max)
	}
	return n, nil
}

func (c *command) device(key string) (*dev, error) {
	w, err := c.arg(key)
	if err != nil {
		return nil, err
	}
	return c.deviceNamed(w)
}

func (c *command) deviceNamed(w string) (*dev, error) {
	if d := c.s.dev(w); d != nil {
		return d, nil
	}
	var names []string
	for _, d := range c.s.devs {
		names = append(names, d.Name)
	}
	return nil, fmt.Errorf("there is no interface %q (there are %s)", w, strings.Join(names, ", "))
}

func (c *command) run() error {
	if c.words[0] == "sleep" {
		return nil
	}
	if err := c.options(); err != nil {
		return err
	}
	if !c.more() {
		return errEnd
	}
	switch w := c.next(); {
	case abbreviates(w, "route", 1):
		return c.route()
	case abbreviates(w, "address", 1) || w == "addr":
		return c.addr()
	case abbreviates(w, "link", 1):
		return c.link()
	case abbreviates(w, "rule", 2):
		return c.rule()
	default:
		return fmt.Errorf("%q is not one of route, addr, link, rule", w)
	}
}

// options takes the word ip and its options.
func (c *command) options() error {
	if c.words[0] == "ip" || strings.HasSuffix(c.words[0], "/ip") {
		c.next()
	}
	for c.more() && strings.HasPrefix(c.words[0], "-") {
		switch o := c.next(); o {
		case "-4":
			c.family = family4
		case "-6":
			c.family = family6
		case "-f", "-family":
			switch w := c.next(); w {
			case "inet":
				c.family = family4
			case "inet6":
				c.family = family6
			default:
				return fmt.Errorf("family %q is neither inet nor inet6", w)
			}
		default:
			return fmt.Errorf("option %q of ip is not supported (only -4 and -6)", o)
		}
	}
	return nil
}

// abbreviates tells whether w is word or an abbreviation of at least n letters, as ip takes them.
func abbreviates(w, word string, n int) bool { return len(w) >= n && strings.HasPrefix(word, w) }

// verb completes an abbreviated verb; the earlier in the list wins.
func verb(w string, verbs ...string) (string, error) {
	for _, v := range verbs {
		if w != "" && strings.HasPrefix(v, w) {
			return v, nil
		}
	}
	return "", fmt.Errorf("%q is not one of %s", w, strings.Join(verbs, ", "))
}

// fixFamily notes that an address of this family was seen.
func (c *command) fixFamily(a netip.Addr) error {
	f := family4
	if a.Is6() {
		f = family6
	}
	if c.family != familyAny && c.family != f {
		return fmt.Errorf("%s is of the other family", a)
	}
	c.family = f
	return nil
}

func (c *command) v6() bool { return c.family == family6 }

func (c *command) address(key string) (packet.Addr, error) {
	w, err := c.arg(key)
	if err != nil {
		return packet.Addr{}, err
	}
	if key == "via" && (w == "inet" || w == "inet6") {
		if w == "inet6" && c.family == family4 {
			return packet.Addr{}, errors.New("an IPv4 route via an IPv6 gateway is not supported")
		}
		if w, err = c.arg(key); err != nil {
			return packet.Addr{}, err
		}
	}
	a, err := parseAddr(w)
	if err != nil {
		return packet.Addr{}, fmt.Errorf("%s: %w", key, err)
	}
	return packet.AddrFrom(a), c.fixFamily(a)
}

func parseAddr(w string) (netip.Addr, error) {
	a, err := netip.ParseAddr(w)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return a, fmt.Errorf("%q is not an IP address", w)
	}
	return a, nil
}

// prefix takes "10.0.0.0/8", "10/8", "10.0.0.0/255.0.0.0", an address, or "default". The prefix comes back unmasked;
// given tells whether a length was written.
func (c *command) prefix(w string) (p netip.Prefix, given bool, err error) {
	if w == "default" || w == "all" || w == "any" {
		return netip.Prefix{}, true, nil
	}
	addr, length, given := strings.Cut(w, "/")
	a, err := netip.ParseAddr(addr)
	if err != nil && !strings.Contains(addr, ":") && strings.Count(addr, ".") < 3 {
		a, err = netip.ParseAddr(addr + strings.Repeat(".0", 3-strings.Count(addr, ".")))
	}
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return p, false, fmt.Errorf("%q is neither a prefix nor an address", w)
	}
	bits := a.BitLen()
	if given {
		if m, err := netip.ParseAddr(length); err == nil && m.Is4() && a.Is4() {
			if bits = maskBits(m); bits < 0 {
				return p, true, fmt.Errorf("%s is not a netmask", length)
			}
		} else if bits, err = strconv.Atoi(length); err != nil || bits < 0 || bits > a.BitLen() {
			return p, true, fmt.Errorf("prefix length %q of %s is not in 0-%d", length, addr, a.BitLen())
		}
	}
	return netip.PrefixFrom(a, bits), given, c.fixFamily(a)
}

func maskBits(m netip.Addr) int {
	for n := 0; n <= 32; n++ {
		if p, _ := netip.AddrFrom4([4]byte{255, 255, 255, 255}).Prefix(n); p.Addr() == m {
			return n
		}
	}
	return -1
}

func tableNumber(w string) (uint32, error) {
	switch w {
	case "local":
		return TableLocal, nil
	case "main":
		return TableMain, nil
	case "default":
		return TableDefault, nil
	}
	n, err := strconv.ParseUint(w, 0, 32)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("table %q is neither local, main, default nor a number from 1", w)
	}
	return uint32(n), nil
}

func scopeNumber(w string) (Scope, error) {
	switch w {
	case "global", "universe":
		return ScopeUniverse, nil
	case "site":
		return ScopeSite, nil
	case "link":
		return ScopeLink, nil
	case "host":
		return ScopeHost, nil
	case "nowhere":
		return ScopeNowhere, nil
	}
	n, err := strconv.ParseUint(w, 0, 8)
	if err != nil {
		return 0, fmt.Errorf("scope %q is neither global, site, link, host nor a number", w)
	}
	return Scope(n), nil
}

// tosByte takes a tos or dsfield value, which iproute2 reads as hexadecimal.
func tosByte(w string) (uint8, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(w, "0x"), 16, 8)
	if err != nil {
		return 0, fmt.Errorf("tos %q is not a hexadecimal byte", w)
	}
	if n&3 != 0 {
		return 0, fmt.Errorf("tos %q: the two lowest bits are ECN and must be 0", w)
	}
	return uint8(n), nil
}
