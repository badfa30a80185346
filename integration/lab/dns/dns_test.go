package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func zone(t *testing.T, domain string, records ...string) *Zone {
	t.Helper()
	z, err := NewZone(domain)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if err := z.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.AddHost("server", []netip.Addr{netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("2001:db8::9")}); err != nil {
		t.Fatal(err)
	}
	return z
}

// question is a datagram; size is what EDNS says, 0 for no EDNS.
func question(name string, typ dnsmessage.Type, size int) []byte {
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: typ, Class: dnsmessage.ClassINET}}}
	if size > 0 {
		var h dnsmessage.ResourceHeader
		h.SetEDNS0(size, dnsmessage.RCodeSuccess, false)
		m.Additionals = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.OPTResource{}}}
	}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

func answered(t *testing.T, z *Zone, name string, typ dnsmessage.Type) (data []string, m dnsmessage.Message) {
	t.Helper()
	b, _ := z.Datagram(question(name, typ, 0))
	if err := m.Unpack(b); err != nil {
		t.Fatal(err)
	}
	for _, r := range m.Answers {
		data = append(data, strings.TrimPrefix(r.Header.Type.String(), "Type")+" "+Data(r.Body))
	}
	return data, m
}

func TestZoneAnswersForRecordsAndHosts(t *testing.T) {
	t.Parallel()
	z := zone(t, "example.org", "www 300 IN A 192.0.2.1", "www AAAA 2001:db8::1", "@ MX 10 mail", "alias CNAME www", "far CNAME www.example.com.",
		"_sip._udp SRV 0 5 5060 pbx", `text TXT "two words" more`, "*.wild A 192.0.2.7", "a.wild TXT here", "loop1 CNAME loop2", "loop2 CNAME loop1", "@ NS server")
	for _, tt := range []struct {
		name string
		typ  dnsmessage.Type
		want []string
		code dnsmessage.RCode
	}{
		{"www.example.org.", dnsmessage.TypeA, []string{"A 192.0.2.1"}, 0},
		{"WWW.Example.ORG.", dnsmessage.TypeAAAA, []string{"AAAA 2001:db8::1"}, 0},
		{"www.example.org.", dnsmessage.TypeALL, []string{"A 192.0.2.1", "AAAA 2001:db8::1"}, 0},
		{"www.example.org.", dnsmessage.TypeMX, nil, 0},
		{"example.org.", dnsmessage.TypeMX, []string{"MX 10 mail.example.org."}, 0},
		{"alias.example.org.", dnsmessage.TypeA, []string{"CNAME www.example.org.", "A 192.0.2.1"}, 0},
		{"alias.example.org.", dnsmessage.TypeCNAME, []string{"CNAME www.example.org."}, 0},
		{"far.example.org.", dnsmessage.TypeA, []string{"CNAME www.example.com."}, dnsmessage.RCodeNameError},
		{"_sip._udp.example.org.", dnsmessage.TypeSRV, []string{"SRV 0 5 5060 pbx.example.org."}, 0},
		{"_udp.example.org.", dnsmessage.TypeA, nil, 0}, // exists, since something is below it (RFC 8020)
		{"text.example.org.", dnsmessage.TypeTXT, []string{"TXT two wordsmore"}, 0},
		{"x.y.wild.example.org.", dnsmessage.TypeA, []string{"A 192.0.2.7"}, 0},
		{"a.wild.example.org.", dnsmessage.TypeA, nil, 0},
		{"loop1.example.org.", dnsmessage.TypeA, slices.Repeat([]string{"CNAME loop2.example.org.", "CNAME loop1.example.org."}, 4), dnsmessage.RCodeServerFailure},
		{"server.example.org.", dnsmessage.TypeA, []string{"A 192.0.2.9"}, 0},
		{"server.", dnsmessage.TypeAAAA, []string{"AAAA 2001:db8::9"}, 0},
		{"9.2.0.192.in-addr.arpa.", dnsmessage.TypePTR, []string{"PTR server.example.org."}, 0},
		{"9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.", dnsmessage.TypePTR, []string{"PTR server.example.org."}, 0},
		{"nobody.example.org.", dnsmessage.TypeA, nil, dnsmessage.RCodeNameError},
		{"nobody.", dnsmessage.TypeA, nil, dnsmessage.RCodeNameError},
		{"www.example.com.", dnsmessage.TypeA, nil, dnsmessage.RCodeNameError},
	} {
		got, m := answered(t, z, tt.name, tt.typ)
		if !slices.Equal(got, tt.want) || m.RCode != tt.code || !m.Response || !m.Authoritative || m.ID != 7 {
			t.Errorf("%s %v: %v %v, want %v %v", tt.name, tt.typ, got, m.RCode, tt.want, tt.code)
		}
		if soa := len(m.Authorities) == 1; soa != (len(got) == 0 || tt.code == dnsmessage.RCodeNameError) && tt.code != dnsmessage.RCodeServerFailure {
			t.Errorf("%s %v: %d records of authority", tt.name, tt.typ, len(m.Authorities))
		}
	}
	if _, m := answered(t, z, "www.example.org.", dnsmessage.TypeA); m.Answers[0].Header.TTL != 300 {
		t.Error("the TTL is another")
	}
}

func TestRecordsOfAHostTakeThePlaceOfItsAddresses(t *testing.T) {
	t.Parallel()
	z := zone(t, "example.org", "server A 203.0.113.1")
	for _, name := range []string{"server.example.org.", "server."} {
		if got, _ := answered(t, z, name, dnsmessage.TypeA); !slices.Equal(got, []string{"A 203.0.113.1"}) {
			t.Errorf("%s: %v", name, got)
		}
		if got, _ := answered(t, z, name, dnsmessage.TypeAAAA); got != nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestAnswerThatDoesNotFitIsCutShort(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf("many A 192.0.2.%d", i))
	}
	z := zone(t, "", many...)
	for _, tt := range []struct {
		size int
		cut  bool
	}{{0, true}, {511, true}, {1232, false}, {4096, false}} {
		b, _ := z.Datagram(question("many.", dnsmessage.TypeA, tt.size))
		var m dnsmessage.Message
		if err := m.Unpack(b); err != nil {
			t.Fatal(err)
		}
		if m.Truncated != tt.cut || tt.cut != (len(m.Answers) == 0) || len(b) > max(tt.size, 512) {
			t.Errorf("EDNS %d: cut %v, %d answers, %d bytes", tt.size, m.Truncated, len(m.Answers), len(b))
		}
		if edns := len(m.Additionals) == 1; edns != (tt.size > 0) {
			t.Errorf("EDNS %d is answered with %v (RFC 6891 7)", tt.size, m.Additionals)
		}
	}
	q := question("many.", dnsmessage.TypeA, 0)
	said := append([]byte{0, byte(len(q))}, q...)
	for n := range len(said) {
		if a, used := z.Stream(said[:n]); a != nil || used != 0 {
			t.Fatalf("an answer to %d of %d bytes", n, len(said))
		}
	}
	a, used := z.Stream(append(said, 1, 2, 3))
	var m dnsmessage.Message
	if err := m.Unpack(a[2:]); err != nil || used != len(said) || len(m.Answers) != 40 || m.Truncated {
		t.Errorf("%d bytes used, %d answers, %v", used, len(m.Answers), err)
	}
}

func TestWhatIsNoQuestionGetsNoAnswerAndOddOnesAnError(t *testing.T) {
	t.Parallel()
	z := zone(t, "")
	answer, _ := z.Datagram(question("server.", dnsmessage.TypeA, 0))
	for _, b := range [][]byte{nil, {1, 2, 3}, answer} {
		if a, _ := z.Datagram(b); a != nil {
			t.Errorf("% x is answered", b)
		}
	}
	code := func(change func([]byte)) dnsmessage.RCode {
		b := question("server.", dnsmessage.TypeA, 0)
		change(b)
		a, _ := z.Datagram(b)
		var m dnsmessage.Message
		if err := m.Unpack(a); err != nil {
			t.Fatal(err)
		}
		return m.RCode
	}
	if c := code(func(b []byte) { b[2] |= 2 << 3 }); c != dnsmessage.RCodeNotImplemented {
		t.Errorf("opcode STATUS: %v", c)
	}
	if c := code(func(b []byte) { b[len(b)-1] = 3 }); c != dnsmessage.RCodeRefused {
		t.Errorf("class CH: %v", c)
	}
	if c := code(func(b []byte) { b[12] = 70 }); c != dnsmessage.RCodeFormatError {
		t.Errorf("a label that is longer than the message: %v", c)
	}
}

func TestWrongRecordsAreRefusedInWords(t *testing.T) {
	t.Parallel()
	for record, want := range map[string]string{
		"www":                  "want NAME [TTL] TYPE DATA",
		"www A":                "want NAME [TTL] TYPE DATA",
		"www 60 IN":            "it has no type",
		"www HINFO x y":        `"HINFO" is no type of record`,
		"www A 2001:db8::1":    "is no address of IPv4",
		"www AAAA 192.0.2.1":   "is no address of IPv6",
		"www MX mail":          "want MX PREFERENCE NAME",
		"www MX 70000 mail":    "want a number from 0 to 65535",
		"www..org A 192.0.2.1": "1 to 63 bytes",
		`www TXT "open`:        "a quote is not closed",
		"server CNAME www":     "a name with a CNAME has nothing else",
		"alias A 192.0.2.1":    "a name with a CNAME has nothing else",
		strings.Repeat("a.", 130) + " A 192.0.2.1": "longer than 253 bytes",
	} {
		z := zone(t, "", "alias CNAME server")
		if err := z.Add(record); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", record, err, want)
		}
	}
	if _, err := NewZone("a..b"); err == nil {
		t.Error("a domain with an empty label was taken")
	}
}

// script is a net.Conn that answers with what it was given.
type script struct {
	net.Conn
	answers [][]byte
}

func (c *script) Write(b []byte) (int, error) { return len(b), nil }
func (c *script) SetDeadline(time.Time) error { return nil }
func (c *script) Close() error                { return nil }
func (c *script) Read(b []byte) (int, error) {
	if len(c.answers) == 0 {
		return 0, &net.OpError{Op: "read", Err: context.DeadlineExceeded}
	}
	n := copy(b, c.answers[0])
	c.answers = c.answers[1:]
	return n, nil
}

func TestClientTakesOnlyTheAnswerToItsQuestion(t *testing.T) {
	t.Parallel()
	z := zone(t, "example.org")
	good, _ := z.Datagram(question("server.example.org.", dnsmessage.TypeA, 0))
	other, _ := z.Datagram(question("www.example.org.", dnsmessage.TypeA, 0))
	late := slices.Clone(good)
	late[0]++
	c := &Client{Servers: []netip.Addr{netip.MustParseAddr("192.0.2.53")}, ID: func() uint16 { return 7 },
		Dial: func(context.Context, string, netip.AddrPort) (net.Conn, error) {
			return &script{answers: [][]byte{{1, 2}, other, late, good}}, nil
		}}
	got, err := c.LookupAddrs(context.Background(), "4", "server.example.org")
	if err != nil || len(got) != 1 || got[0].String() != "192.0.2.9" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestClientGoesOnToTheNextServer(t *testing.T) {
	t.Parallel()
	z := zone(t, "example.org")
	good, _ := z.Datagram(question("server.example.org.", dnsmessage.TypeA, 0))
	var asked []string
	c := &Client{Servers: []netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("192.0.2.54")}, Domain: "example.org", ID: func() uint16 { return 7 },
		Dial: func(_ context.Context, network string, server netip.AddrPort) (net.Conn, error) {
			asked = append(asked, network+" "+server.String())
			if server.Addr().String() == "192.0.2.53" {
				return &script{}, nil
			}
			return &script{answers: [][]byte{good}}, nil
		}}
	if got, err := c.LookupAddrs(context.Background(), "4", "server"); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if want := []string{"udp 192.0.2.53:53", "udp 192.0.2.54:53"}; !slices.Equal(asked, want) {
		t.Errorf("asked %v, want %v", asked, want)
	}
	c.Servers = c.Servers[:1]
	var e *net.DNSError
	if _, err := c.LookupAddrs(context.Background(), "4", "server"); !errors.As(err, &e) || !e.IsTimeout || e.Server != "192.0.2.53" {
		t.Errorf("silence: %v", err)
	}
}

func FuzzZoneAnswersAnything(f *testing.F) {
	f.Add(question("server.", dnsmessage.TypeA, 4096))
	f.Add(question("1.2.0.192.in-addr.arpa.", dnsmessage.TypePTR, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		z, _ := NewZone("example.org")
		z.AddHost("server", []netip.Addr{netip.MustParseAddr("192.0.2.9")})
		if a, _ := z.Datagram(b); a != nil {
			var m dnsmessage.Message
			if err := m.Unpack(a); err != nil {
				t.Errorf("the answer cannot be read: %v", err)
			}
		}
		z.Stream(b)
	})
}
