package bench

import (
	"fmt"
	"html"
	"slices"
	"strings"
)

// Load is one kind of traffic.
type Load struct {
	Name  string // of columns
	Unit  string
	Lower bool // less is better: latencies
}

// Loads are those of the comparison, in the order of columns.
var Loads = []Load{
	{Name: "TCP, one stream", Unit: "Gb/s"},
	{Name: "64-byte UDP, 64 outstanding", Unit: "kpps"},
	{Name: "TCP ping-pong, p50", Unit: "µs", Lower: true},
	{Name: "new TCP connections", Unit: "k/s"},
}

// Report collects what was measured: by contender and load, one value for each round.
type Report struct {
	Title      string
	Loads      []Load   // columns
	Contenders []string // the first is what ratios are of
	Plain      bool     // medians without ratios
	values     map[[2]string][]float64
}

// Add notes a value.
func (r *Report) Add(contender string, l Load, v float64) {
	if r.values == nil {
		r.values = map[[2]string][]float64{}
	}
	k := [2]string{contender, l.Name}
	r.values[k] = append(r.values[k], v)
}

// Median is the median of the rounds; false if there are none.
func (r *Report) Median(contender string, l Load) (float64, bool) {
	v := slices.Sorted(slices.Values(r.values[[2]string{contender, l.Name}]))
	if len(v) == 0 {
		return 0, false
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2, true
}

// Ratio is the contender's median by that of the first; false if either is missing.
func (r *Report) Ratio(contender string, l Load) (float64, bool) {
	a, ok := r.Median(contender, l)
	b, too := r.Median(r.Contenders[0], l)
	return a / b, ok && too && b != 0
}

// Table is the report in Markdown: medians, and in parentheses ratios.
func (r *Report) Table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |", r.Title)
	for _, l := range r.Loads {
		fmt.Fprintf(&b, " %s, %s |", l.Name, l.Unit)
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(r.Loads)) + "\n")
	for _, c := range r.Contenders {
		fmt.Fprintf(&b, "| %s |", c)
		for _, l := range r.Loads {
			m, ok := r.Median(c, l)
			ratio, comparable := r.Ratio(c, l)
			switch {
			case !ok:
				b.WriteString(" – |")
			case comparable && !r.Plain:
				fmt.Fprintf(&b, " %.3g (%.2f) |", m, ratio)
			default:
				fmt.Fprintf(&b, " %.3g |", m)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Chart is the ratios as an SVG picture, one group of bars for each load. Of latencies it shows the inverse, so that
// longer is better everywhere.
func (r *Report) Chart() string {
	const bar, gap, left, width = 16, 26, 190, 460
	height := 50 + len(r.Loads)*(gap+bar*len(r.Contenders))
	colors := []string{"#8a8a8a", "#1f6feb", "#54aeff", "#b6d7ff", "#d29922", "#bf8700", "#a371f7"}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", left+width+80, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/>`+"\n")
	fmt.Fprintf(&b, `<text x="10" y="20" font-size="14">%s (%s = 1, longer is better)</text>`+"\n", html.EscapeString(r.Title), html.EscapeString(r.Contenders[0]))
	y := 36
	for _, l := range r.Loads {
		fmt.Fprintf(&b, `<text x="10" y="%d" font-weight="bold">%s</text>`+"\n", y+12, html.EscapeString(l.Name))
		y += gap - 6
		for i, c := range r.Contenders {
			ratio, ok := r.Ratio(c, l)
			if ok && l.Lower && ratio != 0 {
				ratio = 1 / ratio
			}
			fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, left-8, y+12, html.EscapeString(c))
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.0f" height="%d" fill="%s"/>`, left, y+2, min(ratio, 1.5)/1.5*width, bar-4, colors[i%len(colors)])
			fmt.Fprintf(&b, `<text x="%.0f" y="%d">%.2f</text>`+"\n", left+min(ratio, 1.5)/1.5*width+6, y+12, ratio)
			y += bar
		}
		y += 6
	}
	b.WriteString("</svg>\n")
	return b.String()
}
