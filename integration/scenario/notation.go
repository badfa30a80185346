package scenario

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"

	"github.com/moat-router/moat/stack/packet"
)

var errTooLong = fmt.Errorf("a packet is at most %d bytes long", packet.MaxData)

func decodeHex(h string) ([]byte, error) {
	b, err := hex.DecodeString(h)
	if err != nil {
		return nil, fmt.Errorf("hex: %w", err)
	}
	return b, nil
}

var variable = regexp.MustCompile(`\$(\w+)`)

// substitute puts the values of bound variables into packet text. ok is false where the text has none, or one that is
// not bound: then the recorded bytes are the packet.
func substitute(text string, vars map[string]uint64) (_ string, ok bool) {
	found, bound := false, true
	text = variable.ReplaceAllStringFunc(text, func(name string) string {
		v, has := vars[name[1:]]
		found, bound = true, bound && has
		return strconv.FormatUint(v, 10)
	})
	return text, found && bound
}

// sumsOf is the validity of every checksum; nil means that it cannot be verified (a fragment, a truncated quote).
func sumsOf(b []byte) map[string]*bool {
	m := map[string]*bool{}
	for _, s := range packet.Walk(b).Sums {
		m[s.Name] = nil
		if s.State != packet.SumUnknown {
			good := s.State == packet.SumGood
			m[s.Name] = &good
		}
	}
	return m
}
