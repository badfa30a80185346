package difftest

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/moat-router/moat/integration/scenario"
	"github.com/moat-router/moat/stack/packet"
)

// says is a Player that lets out one packet.
type says []byte

func (s says) Ask(*scenario.Request) (*scenario.Answer, error) {
	return &scenario.Answer{Out: []scenario.OutPacket{{If: "lan", Hex: hex.EncodeToString(s)}}}, nil
}

func quoteless(t *testing.T, text string) []byte {
	t.Helper()
	a, err := Quoteless{says(packet.MustBuild(text))}.Ask(&scenario.Request{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(a.Out[0].Hex)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestQuotesOfASuperSegmentAndOfItsFirstSegmentAreTheSame(t *testing.T) {
	t.Parallel()
	const v4, v6 = "ip4 192.0.2.1>192.0.2.2 / icmp 3/3", "ip6 fd00::1>fd00::2 / icmp6 1/4"
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{v4 + " trunc=100 / ip4 192.0.2.2>192.0.2.3 id=5 / tcp 1>2 FPA len=9000", v4 + " trunc=100 / ip4 192.0.2.2>192.0.2.3 id=5 / tcp 1>2 A len=1400", true},
		{v6 + " trunc=100 / ip6 fd00::2>fd00::3 / udp 1>2 len=9000 sum=bad", v6 + " trunc=100 / ip6 fd00::2>fd00::3 / udp 1>2 len=1400", true},
		{v4 + " trunc=100 / ip4 192.0.2.2>192.0.2.3 id=5 / tcp 1>2 A len=9000", v4 + " trunc=100 / ip4 192.0.2.2>192.0.2.3 id=5 / tcp 1>3 A len=9000", false},
		{v4 + " trunc=100 sum=bad / ip4 192.0.2.2>192.0.2.3 id=5 / tcp 1>2 A len=9000", v4 + " trunc=100 / ip4 192.0.2.2>192.0.2.3 id=5 / tcp 1>2 A len=9000", false},
		{"ip4 192.0.2.1>192.0.2.2 / tcp 1>2 A len=10", "ip4 192.0.2.1>192.0.2.2 / tcp 1>2 PA len=10", false},
	} {
		if same := bytes.Equal(quoteless(t, c.a), quoteless(t, c.b)); same != c.same {
			t.Errorf("%s\n%s\nare the same: %v", c.a, c.b, same)
		}
	}
}
