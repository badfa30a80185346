package bench

import (
	"encoding/xml"
	"io"
	"strings"
	"testing"
)

func TestRatiosAreOfMedians(t *testing.T) {
	t.Parallel()
	r := Report{Title: "t", Loads: Loads, Contenders: []string{"kernel", "a<b", "absent"}}
	for _, v := range []float64{10, 100, 20} {
		r.Add("kernel", Loads[0], v)
	}
	for _, v := range []float64{30, 10} {
		r.Add("a<b", Loads[0], v)
	}
	if m, ok := r.Median("kernel", Loads[0]); !ok || m != 20 {
		t.Errorf("median of 10, 100, 20 is %v, %v", m, ok)
	}
	if m, ok := r.Ratio("a<b", Loads[0]); !ok || m != 1 {
		t.Errorf("20 of 20 is %v, %v", m, ok)
	}
	if _, ok := r.Ratio("absent", Loads[0]); ok {
		t.Error("who did not run has a ratio")
	}
	if want := "| a<b | 20 (1.00) | – | – | – |"; !strings.Contains(r.Table(), want) {
		t.Errorf("the table has no line %q:\n%s", want, r.Table())
	}
	r.Plain = true
	if want := "| a<b | 20 | – | – | – |"; !strings.Contains(r.Table(), want) {
		t.Errorf("the plain table has no line %q:\n%s", want, r.Table())
	}
	d := xml.NewDecoder(strings.NewReader(r.Chart()))
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("the chart is no XML: %v", err)
		}
	}
}
