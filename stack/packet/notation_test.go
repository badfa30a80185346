package packet

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// scenario is what these tests read of a recorded scenario: texts, and the bytes that they stand for.
type scenario struct {
	Steps []struct {
		Pkt json.RawMessage
	}
	Expected []struct {
		InjectHex []string `json:"inject_hex"`
		Out       []struct {
			Text, Hex string
			Mask      []string
			Sums      map[string]*bool
		}
	}
}

func scenarios(t testing.TB) map[string]scenario {
	files, _ := filepath.Glob("../../integration/testdata/scenarios/*.json")
	if len(files) == 0 {
		t.Fatal("no recorded scenarios found")
	}
	all := map[string]scenario{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var s scenario
		if err := json.Unmarshal(b, &s); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		all[strings.TrimSuffix(filepath.Base(f), ".json")] = s
	}
	return all
}

// texts is one packet text or a list of them.
func texts(raw json.RawMessage) (ts []string) {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}
	}
	_ = json.Unmarshal(raw, &ts)
	return ts
}

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBuildMakesTheInjectedBytesOfEveryScenario(t *testing.T) {
	t.Parallel()
	n := 0
	for name, s := range scenarios(t) {
		for i, step := range s.Steps {
			for j, text := range texts(step.Pkt) {
				if strings.Contains(text, "$") {
					continue
				}
				n++
				want := s.Expected[i].InjectHex[j]
				got, err := Build(text)
				if err != nil {
					t.Errorf("%s step %d: %s: %v", name, i, text, err)
				} else if hex.EncodeToString(got) != want {
					t.Errorf("%s step %d: %s\n got %x\nwant %s", name, i, text, got, want)
				}
			}
		}
	}
	if n < 500 {
		t.Errorf("only %d packets were compared", n)
	}
}

// The recorded bytes are canonical: masked fields and the checksums that depend on them are zero. Their text
// therefore differs from the recorded one exactly where a mask or a zeroed checksum shows.
func TestTextPrintsTheRecordedTextOfEveryPacketWithoutMask(t *testing.T) {
	t.Parallel()
	n := 0
	for name, s := range scenarios(t) {
		for i, e := range s.Expected {
			for _, o := range e.Out {
				b := unhex(t, o.Hex)
				if c := Canon(b, o.Mask); !bytes.Equal(c, b) {
					t.Errorf("%s step %d: Canon changes canonical bytes of %s", name, i, o.Text)
				}
				if len(o.Mask) > 0 {
					continue
				}
				n++
				w := Walk(b)
				if w.Text != o.Text && !unknownICMPv6(o.Text) {
					t.Errorf("%s step %d:\n got %s\nwant %s", name, i, w.Text, o.Text)
				}
				for _, sum := range w.Sums {
					want, ok := o.Sums[sum.Name]
					switch {
					case !ok:
						t.Errorf("%s step %d: %s: no checksum %q was recorded", name, i, o.Text, sum.Name)
					case want == nil && sum.State != SumUnknown, want != nil && sumState(*want) != sum.State:
						t.Errorf("%s step %d: %s: checksum %s is %v", name, i, o.Text, sum.Name, sum.State)
					}
				}
				if len(w.Sums) != len(o.Sums) {
					t.Errorf("%s step %d: %s: %d checksums, want %d", name, i, o.Text, len(w.Sums), len(o.Sums))
				}
			}
		}
	}
	if n < 250 {
		t.Errorf("only %d packets were compared", n)
	}
}

// unknownICMPv6 is the one recorded text (E15-echo-error-masq66) from before the notation took every ICMPv6 type below
// 128 for an error, as the kernel does.
func unknownICMPv6(text string) bool { return strings.Contains(text, "icmp6 100/0 len=8") }

func TestBuildSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                             "expected one of ip4",
		"ipv4 1.2.3.4>5.6.7.8":                         `"ipv4" is unknown`,
		"ip4 1.2.3.4":                                  "is not SRC>DST",
		"ip4 1.2.3.4>::1":                              "::1 is not an IPv4 address",
		"ip4 1.2.3.4>5.6.7.8 tll=3":                    `no key "tll"; it knows ttl`,
		"ip4 1.2.3.4>5.6.7.8 ttl=256":                  "not a number of 8 bits",
		"ip4 1.2.3.4>5.6.7.8 / udp 1>$p":               "variable $p is not bound",
		"ip4 1.2.3.4>5.6.7.8 / udp 1-2":                "is not SPORT>DPORT",
		"ip4 1.2.3.4>5.6.7.8 / tcp 1>2 SX":             `flag "X" is unknown`,
		"ip6 ::1>::2 / hbh 0104":                       "must be 8n-2 bytes",
		`ip6 ::1>::2 / text "x`:                        "is not closed",
		"ip4 1.2.3.4>5.6.7.8 || frag 8 idx=9":          "is behind the end",
		"ip4 1.2.3.4>5.6.7.8 / udp 1>2 len=8 / raw 00": "raw cannot follow",
	} {
		_, err := Build(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q in it", text, err, want)
		}
	}
}

func TestGetReadsNamedFields(t *testing.T) {
	t.Parallel()
	b := MustBuild("ip4 10.0.0.1>10.0.0.2 / icmp 3/3 / ip4 10.0.0.2>9.9.9.9 id=0x77 / udp 4000>53 len=4")
	for name, want := range map[string]uint64{"ip.id": 0x1234, "inner.ip.id": 0x77, "inner.udp.sport": 4000, "inner.udp.dport": 53} {
		if got, err := Get(b, name); err != nil || got != want {
			t.Errorf("%s = %d, %v; want %d", name, got, err, want)
		}
	}
	if _, err := Get(b, "tcp.seq"); err == nil {
		t.Error("tcp.seq was found in an ICMP error")
	}
}

func TestDiffNamesTheFieldsThatDiffer(t *testing.T) {
	t.Parallel()
	a := MustBuild("ip4 10.0.0.1>10.0.0.2 / udp 4000>53 len=4")
	b := MustBuild("ip4 10.0.0.1>10.0.0.2 id=9 / udp 4001>53 len=4")
	names, ok := Diff(a, b)
	if want := []string{"ip.id", "ip.csum", "udp.sport", "udp.csum"}; !ok || !slices.Equal(names, want) {
		t.Errorf("%v, %v; want %v", names, ok, want)
	}
	b[len(b)-1] ^= 1
	if _, ok := Diff(a, b); ok {
		t.Error("a difference in the payload has no name")
	}
}

func FuzzBuild(f *testing.F) {
	for _, s := range scenarios(f) {
		for _, step := range s.Steps {
			for _, text := range texts(step.Pkt) {
				f.Add(text)
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		b, err := Build(text)
		if err == nil {
			Walk(b)
		}
	})
}

func FuzzWalk(f *testing.F) {
	for _, s := range scenarios(f) {
		for _, e := range s.Expected {
			for _, h := range e.InjectHex {
				f.Add(unhex(f, h))
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 || len(b) > MaxData {
			return
		}
		w := Walk(b)
		if w.Text == "" {
			t.Error("no text")
		}
		for _, fd := range w.Fields {
			Canon(b, []string{fd.Name})
			if _, err := Get(b, fd.Name); err != nil {
				t.Error(err)
			}
		}
		p := New()
		p.Load(b)
		if strings.Contains(w.Text, "opts=") || p.Parse() != ReasonNone || p.Len() != len(b) {
			return // what is cut does not come back
		}
		if b2, err := Build(w.Text); err == nil {
			if again := Text(b2); again != w.Text {
				t.Errorf("%s\nis built as\n%s", w.Text, again)
			}
		}
	})
}
