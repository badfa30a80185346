package natcheck

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moat-router/moat/integration/scenario"
	"github.com/moat-router/moat/policy/nat"
	"github.com/moat-router/moat/stack/netns/netnstest"
)

var write = flag.Bool("natcheck.record", false, "write what Linux does into testdata, and docs/rfc.md")

func measured(t *testing.T, c *Config) []Finding {
	t.Helper()
	f, err := Moat(c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// What the words of a rule promise is what packets find.
func TestBehavioursMeasureAsTheirWordsSay(t *testing.T) {
	t.Parallel()
	m := scenario.NewMachine(3)
	defer m.Close()
	for _, filtering := range []nat.Dependence{nat.EndpointIndependent, nat.AddressDependent, nat.AddressAndPortDependent} {
		for _, mapping := range []nat.Dependence{nat.EndpointIndependent, nat.AddressDependent, nat.AddressAndPortDependent} {
			how := nat.Behaviour{Mapping: mapping, Filtering: filtering}
			c := Behaving(&how)
			for name, row := range map[string]struct {
				measure func(*bench, *Config) Finding
				want    string
			}{
				"UDP mapping": {udpMapping, mapping.String()}, "UDP filtering": {udpFiltering, filtering.String()},
				"TCP mapping": {tcpMapping, mapping.String()}, "TCP filtering": {tcpFiltering, filtering.String()},
			} {
				b := &bench{player: m, virtual: true}
				if got := row.measure(b, c); b.err != nil || got.Measured != row.want {
					t.Errorf("%s: %s is %q (%v)", c.Options, name, got.Measured, b.err)
				}
			}
		}
	}
}

func TestShorthands(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][3]string{ // mapping, filtering, hairpinning
		"full-cone":       {"endpoint-independent", "endpoint-independent", "with the external source"},
		"restricted":      {"endpoint-independent", "address-dependent", "with the external source"},
		"port-restricted": {"endpoint-independent", "address-and-port-dependent", "with the external source"},
		"symmetric":       {"address-and-port-dependent", "address-and-port-dependent", "not supported"},
		"cgnat":           {"endpoint-independent", "endpoint-independent", "with the external source"},
	} {
		how, err := nat.Shorthand(name)
		if err != nil {
			t.Fatal(err)
		}
		c, m := Behaving(&how), scenario.NewMachine(5)
		for i, measure := range []func(*bench, *Config) Finding{udpMapping, udpFiltering, udpHairpin} {
			b := &bench{player: m, virtual: true}
			if got := measure(b, c); b.err != nil || got.Measured != want[i] {
				t.Errorf("%s: %q, want %q (%v)", name, got.Measured, want[i], b.err)
			}
		}
		m.Close()
	}
}

// With everything set moat meets every requirement that is measured, but one that it deviates from on purpose.
func TestStrictMeetsTheRFCs(t *testing.T) {
	t.Parallel()
	for i, f := range measured(t, Strict()) {
		if r := &Rows[i]; r.measure != nil && f.Met == (r.Name() == "RFC 5508 REQ-3a") {
			t.Errorf("%s: met is %v: %s", r.Name(), f.Met, f.Measured)
		}
	}
}

// Plain moat is Linux, row by row.
func TestPlainIsAsRecordedOfLinux(t *testing.T) {
	t.Parallel()
	linux, err := Recorded()
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range measured(t, Plain()) {
		if f != linux[i] {
			t.Errorf("%s: %+v, Linux %+v", Rows[i].Name(), f, linux[i])
		}
	}
}

func TestLinuxIsAsRecorded(t *testing.T) {
	if testing.Short() {
		t.Skip("real time and a real kernel: left out of short runs")
	}
	netnstest.Need(t)
	got, err := Linux()
	if err != nil {
		netnstest.Skip(t, "Linux cannot be measured here: %v", err)
	}
	if *write {
		b, err := record(got)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join("testdata", "linux-6.18.json"), append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	linux, err := Recorded()
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if got[i] != linux[i] {
			t.Errorf("%s: %+v, recorded %+v", Rows[i].Name(), got[i], linux[i])
		}
	}
}

func TestPageIsCurrent(t *testing.T) {
	t.Parallel()
	linux, err := Recorded()
	if err != nil {
		t.Fatal(err)
	}
	r := Report{Plain: measured(t, Plain()), Strict: measured(t, Strict()), Linux: linux}
	page := filepath.Join("..", "..", "..", "docs", "rfc.md")
	if *write {
		if err := os.WriteFile(page, []byte(r.Markdown()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != r.Markdown() {
		t.Error("docs/rfc.md is not what is measured: moat lab nat-check --markdown > docs/rfc.md")
	}
}

// A NAT that does nothing meets nothing that asks for something to pass: the measurements can fail.
func TestMeasurementsCanFail(t *testing.T) {
	t.Parallel()
	got, err := Measure(deaf{}, true, Plain())
	if err != nil {
		t.Fatal(err)
	}
	mayBeSilent := " RFC 4787 REQ-3a RFC 5382 REQ-4 RFC 5508 REQ-3 RFC 5508 REQ-3a "
	for i, f := range got {
		if r := &Rows[i]; f.Met && !strings.Contains(mayBeSilent, " "+r.Name()+" ") {
			t.Errorf("%s is met by a NAT that drops everything: %s", r.Name(), f.Measured)
		}
	}
}

// deaf drops everything.
type deaf struct{}

func (deaf) Ask(*scenario.Request) (*scenario.Answer, error) { return &scenario.Answer{}, nil }

func TestJudge(t *testing.T) {
	t.Parallel()
	yes, no := make([]Finding, len(Rows)), make([]Finding, len(Rows))
	for i := range yes {
		yes[i].Met = true
	}
	for _, c := range []struct {
		plain, strict []Finding
		want          Verdict
	}{{yes, nil, Met}, {yes, no, Met}, {no, yes, Configurable}, {no, no, Deviates}, {no, nil, Deviates}} {
		if got := Judge(0, c.plain, c.strict); got != c.want {
			t.Errorf("%v, want %v", got, c.want)
		}
	}
}

// RFC 5769 2.2: the sample answer, without its SOFTWARE, MESSAGE-INTEGRITY and FINGERPRINT attributes, which are skipped.
func TestSTUNVector(t *testing.T) {
	t.Parallel()
	b := []byte("\x01\x01\x00\x1c\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae" +
		"\x80\x22\x00\x0btest vector\x20" + "\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43")
	m, err := ParseMessage(b)
	if want := netip.MustParseAddrPort("192.0.2.1:32853"); err != nil || !m.Response || m.Mapped != want {
		t.Errorf("%+v, %v: want an answer with %v", m, err, want)
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add((&Message{}).Append(nil))
	f.Add((&Message{ChangeAddr: true, ChangePort: true}).Append(nil))
	f.Add((&Message{Response: true, Mapped: netip.MustParseAddrPort("192.0.2.1:32853")}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMessage(b)
		if err != nil {
			return
		}
		again, err := ParseMessage(m.Append(nil))
		if err != nil || again != m {
			t.Errorf("%+v is read back as %+v (%v)", m, again, err)
		}
	})
}
