package xt

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/moat-router/moat/policy"
)

// tcpmss is -j TCPMSS (xt_TCPMSS.c): the maximum segment size that a SYN announces. It is only ever made smaller; a
// SYN without the option gets one, unless it carries data.
type tcpmss struct {
	mss   uint16
	clamp bool
}

const (
	tcpOptNOP    = 1
	tcpOptMSS    = 2
	tcpOptMSSLen = 4
)

type tcpmssArgs struct {
	t     tcpmss
	given bool
}

func (a *tcpmssArgs) Option(o *Opt) (bool, error) {
	if err := o.NoNot(); err != nil {
		return true, err
	}
	a.given = true
	if o.Name == "--clamp-mss-to-pmtu" {
		a.t.clamp = true
		return true, nil
	}
	v, err := argNumber(o, 0, 65535)
	a.t.mss, a.t.clamp = uint16(v), false // the last of the two options counts
	return true, err
}

func (a *tcpmssArgs) Done(r *RuleInfo) (policy.Target, error) {
	if !a.given {
		return nil, missing("--set-mss or --clamp-mss-to-pmtu")
	}
	if r.Head.Proto != protoTCP || r.Head.NotProto {
		return nil, fmt.Errorf("TCPMSS needs -p tcp with a match for SYN, such as --syn")
	}
	t := a.t
	if most := 65535 - 20*(1+int(r.Family)); int(t.mss) > most {
		return nil, fmt.Errorf("--set-mss is at most %d here", most)
	}
	return &t, nil
}

// CheckRule asks for a match that lets only SYN packets through.
func (t *tcpmss) CheckRule(r *policy.Rule) error {
	for _, m := range r.Matches {
		if m.Name() != "tcp" {
			continue
		}
		words := strings.Fields(string(m.AppendSave(nil)))
		for i, w := range words {
			if w == "--tcp-flags" && (i == 0 || words[i-1] != "!") && i+2 < len(words) &&
				(strings.Contains(words[i+2], "SYN") || words[i+2] == "ALL") {
				return nil
			}
		}
	}
	return fmt.Errorf("TCPMSS needs a match for SYN packets: add --syn or --tcp-flags SYN,RST SYN")
}

func (t *tcpmss) CheckHooks(_ policy.TableID, hooks HookMask) error {
	if t.clamp && (hooks.Has(policy.PreRouting) || hooks.Has(policy.Input)) {
		return fmt.Errorf("TCPMSS --clamp-mss-to-pmtu is allowed only in FORWARD, OUTPUT and POSTROUTING, where the route is known")
	}
	return nil
}

func (t *tcpmss) Name() string { return "TCPMSS" }

func (t *tcpmss) Exec(p *policy.Packet) policy.Verdict {
	if p.FragOff != 0 {
		return policy.Continue
	}
	tcp := p.L4Bytes()
	opts, ok := p.TCPOptions()
	if !ok {
		return policy.Drop
	}
	p.Linearize() // all of it is asked for in one stretch, changed or not
	mss := t.mss
	if t.clamp {
		headers := 40
		if p.V6 {
			headers = 60
		}
		mtu := min(p.W.Env.PathMTU(p, false), p.W.Env.PathMTU(p, true))
		if mtu <= headers {
			return policy.Drop
		}
		mss = uint16(min(mtu-headers, 65535))
	}
	for i := 0; i+tcpOptMSSLen <= len(opts); i += tcpOptLen(opts, i) {
		if opts[i] == tcpOptMSS && opts[i+1] == tcpOptMSSLen {
			if binary.BigEndian.Uint16(opts[i+2:]) > mss {
				var b [2]byte
				binary.BigEndian.PutUint16(b[:], mss)
				// Deviates at an odd offset: the kernel forgets to swap there, and its SYN leaves with a wrong checksum.
				p.Overwrite(20+i+2, b[:])
			}
			return policy.Continue
		}
	}
	if len(tcp) > 20+len(opts) || len(opts) >= 40 {
		return policy.Continue
	}
	// Without the option the other end must assume these (RFC 1122 4.2.2.6; RFC 8200 5 less the headers).
	if p.V6 {
		mss = min(mss, 1220)
	} else {
		mss = min(mss, 536)
	}
	opt := [tcpOptMSSLen]byte{tcpOptMSS, tcpOptMSSLen, byte(mss >> 8), byte(mss)}
	p.InsertTCPOption(opt[:])
	return policy.Continue
}

// tcpOptLen is how far it is from the option at i to the next.
func tcpOptLen(opts []byte, i int) int {
	if opts[i] <= tcpOptNOP || i+1 >= len(opts) || opts[i+1] == 0 {
		return 1
	}
	return int(opts[i+1])
}

func (t *tcpmss) AppendSave(b []byte) []byte {
	if t.clamp {
		return append(b, " --clamp-mss-to-pmtu"...)
	}
	return strconv.AppendUint(append(b, " --set-mss "...), uint64(t.mss), 10)
}

func (t *tcpmss) AppendList(b []byte, numeric bool) []byte {
	if t.clamp {
		return append(b, " TCPMSS clamp to PMTU"...)
	}
	return strconv.AppendUint(append(b, " TCPMSS set "...), uint64(t.mss), 10)
}
