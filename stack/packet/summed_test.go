package packet

import "testing"

// What an skb answers about its checksum hangs on what was asked before and not on its bytes alone (ip_summed, csum_valid).
func TestAKeptSumAnswersForTheBytes(t *testing.T) {
	t.Parallel()
	load := func(text string) *Packet {
		p := New()
		p.Load(MustBuild(text))
		if why := p.Parse(); why != ReasonNone {
			t.Fatal(why)
		}
		return p
	}
	const good, bad = "ip6 fd00:1::10>fd00:f::7 / udp 1>2 len=20", "ip6 fd00:1::10>fd00:f::7 / udp 1>2 len=20 sum=bad"
	spoil := func(p *Packet) { p.Data[39]++ } // as prefix translation may do

	p := load(good)
	if !p.VerifySum() || !p.SumStands() || !p.SumUnnecessary() {
		t.Error("a right sum is not known as such")
	}
	spoil(p)
	if !p.SumOK(true) || !p.SumOK(false) || !p.SumStands() {
		t.Error("a kept sum notices a new address, which stands in header and pseudo-header alike")
	}

	p = load(good)
	p.VerifySum()
	spoil(p)
	p.ForwardSum()
	if !p.SumUnnecessary() {
		t.Error("forwarding forgets that the sum was right")
	}
	if p.SumOK(false) {
		t.Error("forwarding does not forget the sum")
	}

	p = load(good)
	p.VerifySum()
	p.SetTTL(9)
	if p.SumStands() || !p.SumStale() {
		t.Error("a sum over the whole packet does not notice another hop limit")
	}
	if !p.SumOK(true) {
		t.Error("a stale sum is not made anew where a packet arrives")
	}

	p = load(good)
	p.VerifySum()
	p.SumOK(true) // the nat hook at PREROUTING: trusted from here on
	spoil(p)
	p.ForwardSum()
	if !p.SumOK(false) {
		t.Error("a trusted sum is asked for again")
	}

	p = load(bad)
	if p.VerifySum() || p.SumUnnecessary() || !p.SumStale() {
		t.Error("a wrong sum is not known as such")
	}
	if p.SumOK(true) {
		t.Error("a wrong sum is right where a packet arrives")
	}
	if !p.SumOK(false) {
		t.Error("a kept sum is asked for again behind PREROUTING")
	}

	p = load(bad)
	p.CsumGood = true
	if !p.VerifySum() || !p.SumOK(true) || !p.SumUnnecessary() {
		t.Error("a link's word does not count")
	}
}
