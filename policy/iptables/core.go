package iptables

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/xt"
	"github.com/moat-router/moat/stack/packet"
)

// core handles one of iptables' own options and tells how many words it took.
func (p *parser) core(c *coreOption, col int, not bool, args []string) (used int, f *fault) {
	arg := ""
	if c.value {
		if len(args) == 0 {
			return 0, faultf(col, "option \"-%c\" needs a value", c.letter)
		}
		arg = args[0]
		used = 1
		if arg == "!" && strings.IndexByte("sdpio", c.letter) >= 0 {
			return 0, faultf(col, "\"!\" stands in front of the option, as in \"! -%c value\"", c.letter)
		}
	}
	if not && !strings.ContainsRune("sdpiof46", rune(c.letter)) {
		return 0, faultf(col, "\"!\" cannot stand in front of \"-%c\"", c.letter)
	}
	if c.command() {
		n, f := p.command(c, col, arg, args[used:])
		return used + n, f
	}
	if slices.Contains(p.have, c.letter) && !strings.ContainsRune("m46vnxwW0", rune(c.letter)) ||
		c.letter == 'j' && slices.Contains(p.have, 'g') || c.letter == 'g' && slices.Contains(p.have, 'j') {
		return 0, faultf(col, "option \"-%c\" can only be used once", c.letter)
	}
	p.have = append(p.have, c.letter)
	var err error
	switch c.letter {
	case 's':
		p.head.NotSrc = not
		p.src, err = p.addresses(arg)
	case 'd':
		p.head.NotDst = not
		p.dst, err = p.addresses(arg)
	case 'p':
		err = p.protocol(arg, not)
	case 'i':
		p.head.NotIn = not
		p.head.In, err = p.iface(arg, not)
	case 'o':
		p.head.NotOut = not
		p.head.Out, err = p.iface(arg, not)
	case 'f':
		if p.fam == policy.V6 {
			return 0, faultf(col, "\"-f\" exists for IPv4 only; use \"-m frag\"")
		}
		p.head.Fragment = !not
		p.head.NotFragment = not
	case 'm':
		var ext *xt.MatchExt
		if ext, err = xt.FindMatch(p.fam, arg); err == nil {
			p.loadMatch(ext, col)
		} else {
			err = withHint(err, matchNames(p.fam))
		}
	case 'j':
		err = p.jumpTo(arg, col)
	case 'g':
		p.jump, p.jumpCol = arg, col
		if p.tab.chain(arg) == nil {
			err = fmt.Errorf("-g goes to a chain, and there is none named %q%s", arg, p.chainHint(arg))
		}
	case 'c':
		used, err = p.setCounters(args)
	case 't':
		p.cmd.table = arg
	case 'w', 'W':
		if len(args) > 0 && isSeconds(args[0]) {
			used = 1
		}
	case 'h':
		err = errors.New("help is in iptables(8) and iptables-extensions(8)")
	case '4':
		p.otherFam = p.otherFam || p.fam == policy.V6
	case '6':
		p.otherFam = p.otherFam || p.fam == policy.V4
	}
	if err != nil {
		return 0, faultf(col, "%v", err)
	}
	return used, nil
}

func (p *parser) setCounters(args []string) (used int, err error) {
	packets, bytes, one := strings.Cut(args[0], ",")
	used = 1
	if !one {
		if len(args) < 2 || strings.HasPrefix(args[1], "-") || args[1] == "!" {
			return 0, errors.New("-c needs two numbers: packets and bytes")
		}
		bytes, used = args[1], 2
	}
	var err1, err2 error
	p.counters.Packets, err1 = strconv.ParseUint(packets, 10, 64)
	p.counters.Bytes, err2 = strconv.ParseUint(bytes, 10, 64)
	if err1 != nil || err2 != nil {
		return 0, errors.New("-c needs two numbers: packets and bytes")
	}
	return used, nil
}

func (p *parser) addresses(arg string) (list []addrMask, err error) {
	for s := range strings.SplitSeq(arg, ",") {
		a, m, err := xt.ParsePrefix(p.fam, s)
		if err != nil {
			return nil, err
		}
		if m.IsZero() {
			a = packet.Addr{} // a head that asks nothing is the zero head
		}
		list = append(list, addrMask{a, m})
	}
	return list, nil
}

func (p *parser) protocol(arg string, not bool) error {
	n, ok := xt.ParseProtocol(arg)
	if !ok {
		return fmt.Errorf("unknown protocol %q%s", arg, didYouMean(strings.ToLower(arg), xt.ProtocolNames()))
	}
	if n == 0 && not {
		return errors.New("a rule with \"! -p all\" never matches")
	}
	p.head.Proto, p.head.NotProto, p.head.ProtoSet = n, not, p.fam == policy.V6
	p.proto = strings.ToLower(arg)
	return nil
}

// iface checks the name of an interface; "+" alone is any, unless it is inverted.
func (p *parser) iface(name string, not bool) (string, error) {
	if name == "+" && !not {
		p.anyDev = true
		return "", nil
	}
	return name, xt.CheckIface(name)
}

func (p *parser) jumpTo(name string, col int) error {
	p.jump, p.jumpCol = name, col
	if name == "" {
		return errors.New("-j needs a target or a chain")
	}
	if p.tab.chain(name) != nil || slices.Contains(verdictNames, name) {
		return nil
	}
	ext, err := xt.FindTarget(p.fam, name)
	if err != nil {
		names := slices.Clone(verdictNames)
		for _, t := range xt.Targets {
			names = append(names, t.Name)
		}
		if nf := (*xt.NotFound)(nil); errors.As(err, &nf) && nf.Why == "" {
			return fmt.Errorf("no target and no chain is named %q%s", name, didYouMean(name, append(names, p.tab.chainNames()...)))
		}
		return err
	}
	t := ext.New()
	p.target = &instance{name: ext.Name, col: col, options: ext.Options, option: t.Option, target: t}
	p.loaded = append(p.loaded, p.target)
	return nil
}

func (p *parser) chainHint(name string) string { return didYouMean(name, p.tab.chainNames()) }

// isSeconds tells whether a word is what -w may have behind it.
func isSeconds(word string) bool {
	_, err := strconv.ParseUint(word, 10, 32)
	return err == nil
}
