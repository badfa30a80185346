package defrag

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/moat-router/moat/stack/packet"
)

// scenario is the part of a recorded scenario that reassembly can be held against.
type scenario struct {
	Name    string
	Sysctls map[string]any
	Steps   []struct {
		Op string
		If string
		Ms int
	}
	Expected []struct {
		InjectHex []string `json:"inject_hex"`
		Out       []struct{ If, Hex string }
	}
}

// In these scenarios a conntrack rule is loaded, what is whole is forwarded and nothing else is: what leaves on lan
// in a step is what became whole in it.
var forwarding = regexp.MustCompile(`^(A02|A06|G01|G02|G03|G04|G14|K02|K04)-`)

func TestWholeExactlyWhenTheKernelForwards(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("../../integration/testdata/scenarios/*.json")
	played := 0
	for _, f := range files {
		if !forwarding.MatchString(filepath.Base(f)) {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var sc scenario
		if err := json.Unmarshal(text, &sc); err != nil {
			t.Fatal(err)
		}
		played++
		t.Run(sc.Name, func(t *testing.T) { replay(t, &sc) })
	}
	if played == 0 {
		t.Skip("the recorded scenarios are not in integration/testdata")
	}
}

func replay(t *testing.T, sc *scenario) {
	d := New(DefaultOptions())
	var now packet.Time
	for i, st := range sc.Steps {
		now = now.Add(time.Duration(st.Ms) * time.Millisecond)
		d.Expire(now, func(Expired) {})
		var got [][]byte
		for _, h := range sc.Expected[i].InjectHex {
			raw, _ := hex.DecodeString(h)
			p := packet.New()
			p.Load(raw)
			if r := p.Parse(); r != packet.ReasonNone {
				t.Fatalf("step %d: not accepted: reason %d", i, r)
			}
			if whole, _ := d.Add(now, p, 1, UserConntrackIn(0)); whole != nil {
				got = append(got, append([]byte(nil), whole.Data[whole.L4:]...))
				d.Done(whole)
			}
		}
		var want [][]byte
		for _, o := range sc.Expected[i].Out {
			if o.If != "lan" {
				continue
			}
			raw, _ := hex.DecodeString(o.Hex)
			off, pay := fragmentOf(raw)
			if off == 0 {
				want = append(want, nil)
			}
			want[len(want)-1] = append(want[len(want)-1], pay...)
		}
		if len(got) != len(want) {
			t.Fatalf("step %d: %d datagrams whole, the kernel forwarded %d", i, len(got), len(want))
		}
		for j := range got {
			if string(got[j]) != string(want[j]) {
				t.Errorf("step %d: payload %x, the kernel forwarded %x", i, got[j], want[j])
			}
		}
	}
}

// fragmentOf cuts a well-formed datagram of the recordings: offset and payload.
func fragmentOf(b []byte) (off int, payload []byte) {
	if b[0]>>4 == 4 {
		return int(binary.BigEndian.Uint16(b[6:])&0x1fff) * 8, b[int(b[0]&15)*4:]
	}
	if b[6] == nhFragment {
		return int(binary.BigEndian.Uint16(b[42:]) &^ 7), b[48:]
	}
	return 0, b[40:]
}
