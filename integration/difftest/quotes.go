package difftest

import (
	"bytes"
	"encoding/hex"
	"regexp"
	"time"

	"github.com/moat-router/moat/integration/scenario"
	"github.com/moat-router/moat/stack/packet"
)

// Quoteless is a Player whose ICMP errors say nothing about lengths, TCP flags and checksums of the quoted packet. There moat
// deviates on purpose where a sender has left something to its device: Linux quotes the super-segment and the partial sum,
// which were on no wire. Whether the error's own checksum is right is still to be seen.
type Quoteless struct{ scenario.Player }

// Ask asks the Player and takes out of its answer what Quoteless leaves out.
func (q Quoteless) Ask(r *scenario.Request) (*scenario.Answer, error) {
	a, err := q.Player.Ask(r)
	if a == nil {
		return a, err
	}
	for i := range a.Out {
		if b, bad := hex.DecodeString(a.Out[i].Hex); bad == nil {
			a.Out[i].Hex = hex.EncodeToString(withoutQuoted(b))
		}
	}
	for i := range a.Log {
		a.Log[i].Msg = quoted.ReplaceAllStringFunc(a.Log[i].Msg, func(s string) string {
			return flags.ReplaceAllString(length.ReplaceAllString(s, "LEN=*"), "RES=* ")
		})
	}
	return a, err
}

// Lost is that of the Player, if it loses time.
func (q Quoteless) Lost() time.Duration {
	if k, ok := q.Player.(interface{ Lost() time.Duration }); ok {
		return k.Lost()
	}
	return 0
}

// What a log line tells of a quote: all of it, its lengths, its TCP flags.
var quoted, length, flags = regexp.MustCompile(`\[.*\]`), regexp.MustCompile(`LEN=\d+`), regexp.MustCompile(`RES=\S+ ([A-Z]{3} )*`)

// withoutQuoted zeroes lengths, TCP flags and checksums of what an ICMP error quotes; other packets stay as they are.
func withoutQuoted(b []byte) []byte {
	p := packet.New()
	p.Load(b)
	if p.Parse() != packet.ReasonNone || p.IsFragment() || !p.IsICMPError() {
		return b
	}
	q, ok := p.Quote()
	if !ok {
		return b
	}
	whole := p.L4Bytes()
	before := bytes.Clone(whole)
	zero := func(b []byte, from, to int) { clear(b[min(from, len(b)):min(to, len(b))]) }
	if h := q.Bytes(); q.V6() {
		zero(h, 4, 6)
	} else {
		zero(h, 2, 4)
		zero(h, 10, 12)
	}
	switch t := q.L4Bytes(); q.Proto() {
	case packet.ProtoTCP:
		zero(t, 13, 14) // FIN and PSH stay with the last segment
		zero(t, 16, 18)
	case packet.ProtoUDP:
		zero(t, 4, 8)
	}
	packet.Delta(0).Bytes(before, whole).Fix(whole[2:4]) // as right or wrong as it was
	return p.Data
}
