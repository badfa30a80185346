package scenario

import (
	"errors"
	"strings"
	"testing"
)

// fake is a Player that answers from a table.
type fake map[string]func(r *Request) (*Answer, error)

func (f fake) Ask(r *Request) (*Answer, error) {
	if h, ok := f[r.Op]; ok {
		return h(r)
	}
	return nil, &Refused{r.Op, "unknown op " + r.Op}
}

func TestServeAnswersEachLineWithOneLine(t *testing.T) {
	t.Parallel()
	p := fake{
		"scenario": func(r *Request) (*Answer, error) { return &Answer{}, nil },
		"inject": func(r *Request) (*Answer, error) {
			return &Answer{Out: []OutPacket{{If: r.If, Hex: r.Hex[0]}}, Warn: []string{"<hm>"}}, nil
		},
		"counters": func(*Request) (*Answer, error) {
			return &Answer{Counters: map[string]map[string][]string{"v4": {"filter": {"[1:2] -A FORWARD"}}}}, nil
		},
		"end": func(*Request) (*Answer, error) { return &Answer{}, nil },
	}
	tests := []struct{ in, out string }{
		{`{"op":"scenario","name":"x","interfaces":[]}`, `{"ok":true}`},
		{`{"op":"inject","if":"wan","hex":["45"],"bind":{"p":1},"unknown":null}`,
			`{"out":[{"if":"wan","hex":"45"}],"ct":[],"expect":[],"events":[],"log":[],"warn":["\u003chm\u003e"]}`},
		{`{"op":"counters"}`, `{"v4":{"filter":["[1:2] -A FORWARD"]}}`},
		{`{"op":"end"}`, `{"ok":true}`},
		{`{"op":"fly"}`, `{"error":"unknown op fly"}`},
		{`{}`, `{"error":"bad request: \"op\" is missing"}`},
		{`{"op":7}`, `{"error":"bad request: json: cannot unmarshal number into Go struct field Request.op of type string"}`},
		{`nonsense`, `{"error":"bad request: invalid character 'o' in literal null (expecting 'u')"}`},
	}
	var in, want strings.Builder
	for _, tt := range tests {
		in.WriteString(tt.in + "\n")
		want.WriteString(tt.out + "\n")
	}
	var out strings.Builder
	if err := Serve(strings.NewReader(in.String()), &out, p); err != nil {
		t.Fatal(err)
	}
	if out.String() != want.String() {
		t.Errorf("got\n%swant\n%s", out.String(), want.String())
	}
}

func TestServeEndsWhenThePlayerIsBroken(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	p := fake{"sleep": func(*Request) (*Answer, error) { return nil, broken }}
	var out strings.Builder
	if err := Serve(strings.NewReader(`{"op":"sleep","ms":1}`+"\n"), &out, p); !errors.Is(err, broken) || out.Len() > 0 {
		t.Errorf("err %v, out %q", err, &out)
	}
}

func TestAnswersSurviveTheWire(t *testing.T) {
	t.Parallel()
	port := uint16(0)
	a := &Answer{Out: []OutPacket{{If: "wan", Hex: "45"}}, CT: []string{"x"}, Events: []Event{{Ev: "NEW", Orig: &EventTuple{Src: "1.2.3.4", SPort: &port}}}}
	line, err := a.encode("inject")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(line), `"sport":0`) {
		t.Errorf("port 0 is a port: %s", line)
	}
	b, err := decode("inject", line)
	if err != nil || b.Out[0] != a.Out[0] || *b.Events[0].Orig.SPort != 0 {
		t.Errorf("%+v, %v", b, err)
	}
	var refused *Refused
	if _, err := decode("inject", []byte(`{"error":"no"}`)); !errors.As(err, &refused) || refused.Text != "no" {
		t.Errorf("%v", err)
	}
}

func FuzzServe(f *testing.F) {
	f.Add([]byte(`{"op":"scenario","interfaces":[{"name":"a","addrs":["1.2.3.4/5",["1.1.1.1","2.2.2.2"]]}],"sysctls":{"a":1,"b":"c"}}`))
	f.Add([]byte("{\"op\":\"x\"}\n{}\n\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var out strings.Builder
		if err := Serve(strings.NewReader(string(in)), &out, fake{}); err != nil {
			t.Fatal(err)
		}
		want := strings.Count(string(in), "\n")
		if len(in) > 0 && in[len(in)-1] != '\n' {
			want++
		}
		if got := strings.Count(out.String(), "\n"); got != want {
			t.Errorf("%d lines in, %d answers", want, got)
		}
	})
}
