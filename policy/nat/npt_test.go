package nat_test

import (
	"net/netip"
	"testing"

	"github.com/moat-router/moat/policy/nat"
	"github.com/moat-router/moat/policy/nat/walktest"
	"github.com/moat-router/moat/stack/packet"
)

func npt(tb testing.TB, from, to string) nat.NPT {
	tb.Helper()
	f, g := netip.MustParsePrefix(from), netip.MustParsePrefix(to)
	n, err := nat.NewNPT(packet.AddrFrom(f.Addr()), f.Bits(), packet.AddrFrom(g.Addr()), g.Bits())
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// TestNPTMapsAsRFC6296 has the example of RFC 6296 appendix A: fd01:203:405:1::1234 is seen as 2001:db8:1:d550::1234.
func TestNPTMapsAsRFC6296(t *testing.T) {
	t.Parallel()
	there, back := npt(t, "fd01:203:405::/48", "2001:db8:1::/48"), npt(t, "2001:db8:1::/48", "fd01:203:405::/48")
	in, want := walktest.Addr("fd01:203:405:1::1234"), walktest.Addr("2001:db8:1:d550::1234")
	got, ok := there.Map(in)
	if !ok || got != want {
		t.Errorf("%s becomes %s, want %s", in, got, want)
	}
	if got, ok = back.Map(got); !ok || got != in {
		t.Errorf("back it is %s, want %s", got, in)
	}
}

func TestNPTLeavesEveryChecksumValid(t *testing.T) {
	t.Parallel()
	n := npt(t, "fd00:1::/64", "2001:db8:1:2::/64")
	p := parsed(t, "ip6 fd00:1::10>2001:db8:9::9 / udp 5000>53 len=8")
	if !n.Source(p) || !p.TransportSumOK() || p.Src() == walktest.Addr("fd00:1::10") {
		t.Errorf("%s: the checksum is wrong, or nothing was mapped", packet.Text(p.Data))
	}
}

// No word of the interface id can take up the difference: the packet cannot be mapped.
func TestNPTRefusesAnInterfaceIDOfOnes(t *testing.T) {
	t.Parallel()
	n := npt(t, "fd00:1::/64", "2001:db8:1:2::/64")
	if a, ok := n.Map(walktest.Addr("fd00:1::ffff:ffff:ffff:ffff")); ok {
		t.Errorf("it is mapped to %s", a)
	}
}

func TestNPTRefusesLongAndCrookedPrefixes(t *testing.T) {
	t.Parallel()
	a, b := walktest.Addr("fd00:1::"), walktest.Addr("fd00:1::1")
	if _, err := nat.NewNPT(a, 65, a, 64); err == nil {
		t.Error("/65 is accepted")
	}
	if _, err := nat.NewNPT(a, 64, b, 64); err == nil {
		t.Error("bits behind the prefix are accepted")
	}
}

func parsed(tb testing.TB, text string) *packet.Packet {
	tb.Helper()
	p := packet.New()
	p.Load(build(tb, text))
	if why := p.Parse(); why != packet.ReasonNone {
		tb.Fatal(why)
	}
	return p
}
