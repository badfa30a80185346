package topology

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Duration is a time.Duration written as "20ms".
type Duration time.Duration

// UnmarshalYAML reads "1.5s"; a bare 0 is nothing.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil || v < 0 {
		return fmt.Errorf("line %d: %q is no duration: want 20ms, 1.5s, 10m", n.Line, n.Value)
	}
	*d = Duration(v)
	return nil
}

// Share is a part of all datagrams, 0 to 1, written as "1%" or 0.01.
type Share float64

// UnmarshalYAML reads "1%" or 0.01.
func (s *Share) UnmarshalYAML(n *yaml.Node) error {
	text, percent := strings.CutSuffix(strings.TrimSpace(n.Value), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 1) {
		return fmt.Errorf("line %d: %q is no share: want 0.1%% to 100%%, or 0 to 1", n.Line, n.Value)
	}
	*s = Share(v)
	return nil
}

// Rate is in bits per second, written as "10mbit".
type Rate int64

var rateUnits = []struct {
	suffix string
	bits   float64
}{{"gbit", 1e9}, {"mbit", 1e6}, {"kbit", 1e3}, {"bit", 1}}

// UnmarshalYAML reads "512kbit", "10mbit", "1gbit".
func (r *Rate) UnmarshalYAML(n *yaml.Node) error {
	text := strings.ToLower(strings.TrimSpace(n.Value))
	for _, u := range rateUnits {
		number, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(v > 0) || v*u.bits > 1e15 {
			break
		}
		*r = Rate(v * u.bits)
		return nil
	}
	return fmt.Errorf("line %d: %q is no rate: want 512kbit, 10mbit, 1gbit", n.Line, n.Value)
}
