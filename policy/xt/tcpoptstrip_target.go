package xt

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/moat-router/moat/policy"
)

// tcpoptstrip is -j TCPOPTSTRIP (xt_TCPOPTSTRIP.c): TCP options are overwritten with NOPs.
type tcpoptstrip struct{ strip [256]bool }

var tcpOptNames = [...]string{2: "mss", 3: "wscale", 4: "sack-permitted", 5: "sack", 8: "timestamp", 19: "md5"}

type tcpoptstripArgs struct{ t tcpoptstrip }

func (a *tcpoptstripArgs) Option(o *Opt) (bool, error) {
	s, err := o.Arg()
	if err != nil {
		return true, err
	}
	for _, word := range strings.Split(s, ",") {
		v, ok := ParseUint(word, 0, 255)
		if i := slices.Index(tcpOptNames[:], word); !ok && word != "" && i > 0 {
			v, ok = uint64(i), true
		}
		if !ok || v < 2 {
			return true, fmt.Errorf("bad TCP option %q: 2 to 255, mss, wscale, sack-permitted, sack, timestamp and md5 are possible", word)
		}
		if a.t.strip[v] {
			return true, fmt.Errorf("TCP option %q stands there twice", word)
		}
		a.t.strip[v] = true
	}
	return true, o.NoNot()
}

func (a *tcpoptstripArgs) Done(r *RuleInfo) (policy.Target, error) {
	if r.Head.Proto != protoTCP || r.Head.NotProto {
		return nil, fmt.Errorf("TCPOPTSTRIP needs -p tcp")
	}
	t := a.t
	return &t, onlyMangle("TCPOPTSTRIP", r)
}

func (t *tcpoptstrip) Name() string { return "TCPOPTSTRIP" }

func (t *tcpoptstrip) Exec(p *policy.Packet) policy.Verdict {
	if p.FragOff != 0 {
		return policy.Continue
	}
	opts, ok := p.TCPOptions()
	if !ok {
		return policy.Drop
	}
	p.Pull(p.L4 + 20 + len(opts)) // asked for before it is known whether anything is to be stripped
	for i := 0; i < len(opts)-1; {
		n := tcpOptLen(opts, i)
		if i+n > len(opts) {
			break
		}
		if t.strip[opts[i]] {
			for j := i; j < i+n; j++ {
				p.Overwrite(20+j, nop[:])
			}
		}
		i += n
	}
	return policy.Continue
}

var nop = [1]byte{tcpOptNOP}

func (t *tcpoptstrip) AppendSave(b []byte) []byte {
	sep := " --strip-options "
	for i, on := range t.strip {
		if on {
			b = strconv.AppendInt(append(b, sep...), int64(i), 10)
			sep = ","
		}
	}
	return b
}

func (t *tcpoptstrip) AppendList(b []byte, numeric bool) []byte {
	sep := " TCPOPTSTRIP options "
	for i, on := range t.strip {
		if !on {
			continue
		}
		b = append(b, sep...)
		if !numeric && i < len(tcpOptNames) && tcpOptNames[i] != "" {
			b = append(b, tcpOptNames[i]...)
		} else {
			b = strconv.AppendInt(b, int64(i), 10)
		}
		sep = ","
	}
	return b
}
